package state

import (
	"fmt"
	"hash/maphash"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/secrets"
)

// Tables is all there is, at one moment. What only reads takes a *Tables, which a [View] and a [Tx] both have.
type Tables struct {
	Clusters    *Clusters
	Definitions *Definitions
	Families    *Families
	Instances   *Instances
	Tasks       *Tasks
	Tokens      *Tokens
	Settings    *Settings
	// CapacityProviders are those that were made, by name; FARGATE and FARGATE_SPOT are not stored.
	CapacityProviders *Records[ecs.CapacityProvider]
	// Subnets are by id.
	Subnets *Records[ecs.Subnet]
	// Services are by CLUSTER/NAME, INACTIVE ones included; ServiceEvents by CLUSTER/NAME/NUMBER, the oldest first.
	Services      *Records[ecs.Service]
	ServiceEvents *Records[ecs.ServiceEvent]
	// ServiceDeployments and ServiceRevisions are by CLUSTER/SERVICE/ID, those of the past included.
	ServiceDeployments *Records[ecs.ServiceDeployment]
	ServiceRevisions   *Records[ecs.ServiceRevision]
	// Daemons are by CLUSTER/NAME, DaemonRevisions and DaemonDeployments by CLUSTER/DAEMON/ID.
	Daemons           *Records[ecs.Daemon]
	DaemonRevisions   *Records[ecs.DaemonRevision]
	DaemonDeployments *Records[ecs.DaemonDeployment]
	// Secrets and Parameters are by name, their values by name and version; only the values are secret, and are encrypted.
	Secrets         *Records[secrets.Secret]
	SecretValues    *Records[secrets.SecretValue]
	Parameters      *Records[secrets.Parameter]
	ParameterValues *Records[secrets.ParameterValue]
	// EventRules are by BUS/NAME. EventOutbox has what rules are still to be told of, the oldest first; EventRetries, by
	// BUS/RULE/TARGET/EVENT, what a target has not taken yet.
	EventRules   *Records[EventRule]
	EventOutbox  *Records[EventRecord]
	EventRetries *Records[EventRetry]
	// SystemKeys are by name. JoinTokens and AgentKeys are by id.
	SystemKeys *Records[secrets.SystemKey]
	JoinTokens *Records[ecs.JoinToken]
	AgentKeys  *Records[ecs.AgentKey]
	// EventBuses, EventConnections and EventDestinations are by name.
	EventBuses        *Records[EventBus]
	EventConnections  *Records[EventConnection]
	EventDestinations *Records[EventDestination]

	derived *derived
}

// View is a durable snapshot. It never changes and may be read by many goroutines. Its tables' Put and Delete panic.
type View struct {
	Tables
	// Revision is that of the commit that led to this view; of the beginning of the term before the first.
	Revision int64
}

// Tx is what the function of one Update reads and writes: everything written before it, durable or not yet, and its own
// writes. It must not be used after the function has returned.
type Tx struct {
	Tables
}

// tableID names a table in the journal; the order is that of loading: what derived values need comes first.
type tableID uint8

const (
	clustersTable tableID = iota
	definitionsTable
	familiesTable
	instancesTable
	tasksTable
	tokensTable
	settingsTable
	capacityProvidersTable
	subnetsTable
	servicesTable
	serviceEventsTable
	serviceDeploymentsTable
	serviceRevisionsTable
	secretsTable
	secretValuesTable
	parametersTable
	parameterValuesTable
	eventRulesTable
	eventOutboxTable
	eventRetriesTable
	systemKeysTable
	joinTokensTable
	agentKeysTable
	eventBusesTable
	eventConnectionsTable
	eventDestinationsTable
	daemonsTable
	daemonRevisionsTable
	daemonDeploymentsTable
	tableCount
)

// anyTable is a table without its types, as undoing and loading see it.
type anyTable interface {
	// name is the first element of the table's keys.
	name() string
	// replace makes a row of old into new; either may be nil, not both.
	replace(old, new any)
	// decode reads a stored value and tells which key it belongs to.
	decode(value []byte, in *interner) (row any, key string, err error)
	// rows iterates over all rows and their keys.
	rows(yield func(key string, row any) bool)
	// counterpart gives the row of this table with the key of that row, or nil.
	counterpart(row any) any
}

// The tables of records.
var (
	capacityProviders = recordKind[ecs.CapacityProvider]{
		id: capacityProvidersTable, first: "capacity-providers", key: func(v *ecs.CapacityProvider) string { return v.Name },
	}
	subnets       = recordKind[ecs.Subnet]{id: subnetsTable, first: "subnets", key: func(v *ecs.Subnet) string { return v.ID }}
	services      = recordKind[ecs.Service]{id: servicesTable, first: "services", key: (*ecs.Service).Key}
	serviceEvents = recordKind[ecs.ServiceEvent]{
		id: serviceEventsTable, first: "service-events",
		// The number is padded, so that the order is that of numbers.
		key: func(v *ecs.ServiceEvent) string { return fmt.Sprintf("%s/%s/%012d", v.Cluster, v.Service, v.Number) },
	}
	serviceDeployments = recordKind[ecs.ServiceDeployment]{id: serviceDeploymentsTable, first: "service-deployments", key: (*ecs.ServiceDeployment).Key}
	serviceRevisions   = recordKind[ecs.ServiceRevision]{id: serviceRevisionsTable, first: "service-revisions", key: (*ecs.ServiceRevision).Key}
	daemons            = recordKind[ecs.Daemon]{id: daemonsTable, first: "daemons", key: (*ecs.Daemon).Key}
	daemonRevisions    = recordKind[ecs.DaemonRevision]{id: daemonRevisionsTable, first: "daemon-revisions", key: (*ecs.DaemonRevision).Key}
	daemonDeployments  = recordKind[ecs.DaemonDeployment]{id: daemonDeploymentsTable, first: "daemon-deployments", key: (*ecs.DaemonDeployment).Key}
	secretRecords      = recordKind[secrets.Secret]{id: secretsTable, first: "secrets", key: (*secrets.Secret).Key}
	secretValues       = recordKind[secrets.SecretValue]{id: secretValuesTable, first: "secret-values", key: (*secrets.SecretValue).Key}
	parameters         = recordKind[secrets.Parameter]{id: parametersTable, first: "parameters", key: (*secrets.Parameter).Key}
	parameterValues    = recordKind[secrets.ParameterValue]{id: parameterValuesTable, first: "parameter-values", key: (*secrets.ParameterValue).Key}
	eventRules         = recordKind[EventRule]{id: eventRulesTable, first: "event-rules", key: (*EventRule).Key}
	eventOutbox        = recordKind[EventRecord]{id: eventOutboxTable, first: "event-outbox", key: eventRecordKey}
	eventRetries       = recordKind[EventRetry]{id: eventRetriesTable, first: "event-retries", key: (*EventRetry).Key}
	eventBuses         = recordKind[EventBus]{id: eventBusesTable, first: "event-buses", key: (*EventBus).Key}
	eventConnections   = recordKind[EventConnection]{id: eventConnectionsTable, first: "event-connections", key: (*EventConnection).Key}
	eventDestinations  = recordKind[EventDestination]{id: eventDestinationsTable, first: "event-destinations", key: (*EventDestination).Key}
)

// SystemKeysTable is the name of the table SystemKeys where it is stored.
const SystemKeysTable = "system-keys"

// The tables of who may join.
var (
	systemKeys = recordKind[secrets.SystemKey]{id: systemKeysTable, first: SystemKeysTable, key: (*secrets.SystemKey).Key}
	joinTokens = recordKind[ecs.JoinToken]{id: joinTokensTable, first: "join-tokens", key: func(v *ecs.JoinToken) string { return v.ID }}
	agentKeys  = recordKind[ecs.AgentKey]{id: agentKeysTable, first: "agent-keys", key: func(v *ecs.AgentKey) string { return v.ID }}
)

func newTables(w *writer) *Tables {
	h := hasher{seed: maphash.MakeSeed()}
	d := newDerived(w, h)
	return &Tables{
		Clusters:           newClusters(w),
		Definitions:        newDefinitions(w),
		Families:           newFamilies(w),
		Instances:          newInstances(w, d, h),
		Tasks:              newTasks(w, d, h),
		Tokens:             newTokens(w),
		Settings:           newSettings(w),
		CapacityProviders:  newRecords(w, capacityProviders),
		Subnets:            newRecords(w, subnets),
		Services:           newRecords(w, services),
		ServiceEvents:      newRecords(w, serviceEvents),
		ServiceDeployments: newRecords(w, serviceDeployments),
		ServiceRevisions:   newRecords(w, serviceRevisions),
		Daemons:            newRecords(w, daemons),
		DaemonRevisions:    newRecords(w, daemonRevisions),
		DaemonDeployments:  newRecords(w, daemonDeployments),
		Secrets:            newRecords(w, secretRecords),
		SecretValues:       newRecords(w, secretValues),
		Parameters:         newRecords(w, parameters),
		ParameterValues:    newRecords(w, parameterValues),
		EventRules:         newRecords(w, eventRules),
		EventOutbox:        newRecords(w, eventOutbox),
		EventRetries:       newRecords(w, eventRetries),
		SystemKeys:         newRecords(w, systemKeys),
		JoinTokens:         newRecords(w, joinTokens),
		AgentKeys:          newRecords(w, agentKeys),
		EventBuses:         newRecords(w, eventBuses),
		EventConnections:   newRecords(w, eventConnections),
		EventDestinations:  newRecords(w, eventDestinations),
		derived:            d,
	}
}

// copy makes an independent copy in constant time; with a nil writer it is read-only.
func (t *Tables) copy(w *writer) *Tables {
	d := t.derived.copy(w)
	return &Tables{
		Clusters:           t.Clusters.copy(w),
		Definitions:        t.Definitions.copy(w),
		Families:           t.Families.copy(w),
		Instances:          t.Instances.copy(w, d),
		Tasks:              t.Tasks.copy(w, d),
		Tokens:             t.Tokens.copy(w),
		Settings:           t.Settings.copy(w),
		CapacityProviders:  t.CapacityProviders.copy(w),
		Subnets:            t.Subnets.copy(w),
		Services:           t.Services.copy(w),
		ServiceEvents:      t.ServiceEvents.copy(w),
		ServiceDeployments: t.ServiceDeployments.copy(w),
		ServiceRevisions:   t.ServiceRevisions.copy(w),
		Daemons:            t.Daemons.copy(w),
		DaemonRevisions:    t.DaemonRevisions.copy(w),
		DaemonDeployments:  t.DaemonDeployments.copy(w),
		Secrets:            t.Secrets.copy(w),
		SecretValues:       t.SecretValues.copy(w),
		Parameters:         t.Parameters.copy(w),
		ParameterValues:    t.ParameterValues.copy(w),
		EventRules:         t.EventRules.copy(w),
		EventOutbox:        t.EventOutbox.copy(w),
		EventRetries:       t.EventRetries.copy(w),
		SystemKeys:         t.SystemKeys.copy(w),
		JoinTokens:         t.JoinTokens.copy(w),
		AgentKeys:          t.AgentKeys.copy(w),
		EventBuses:         t.EventBuses.copy(w),
		EventConnections:   t.EventConnections.copy(w),
		EventDestinations:  t.EventDestinations.copy(w),
		derived:            d,
	}
}

func (t *Tables) table(id tableID) anyTable {
	return [tableCount]anyTable{
		clustersTable:           t.Clusters,
		definitionsTable:        t.Definitions,
		familiesTable:           t.Families,
		instancesTable:          t.Instances,
		tasksTable:              t.Tasks,
		tokensTable:             t.Tokens,
		settingsTable:           t.Settings,
		capacityProvidersTable:  t.CapacityProviders,
		subnetsTable:            t.Subnets,
		servicesTable:           t.Services,
		serviceEventsTable:      t.ServiceEvents,
		serviceDeploymentsTable: t.ServiceDeployments,
		serviceRevisionsTable:   t.ServiceRevisions,
		daemonsTable:            t.Daemons,
		daemonRevisionsTable:    t.DaemonRevisions,
		daemonDeploymentsTable:  t.DaemonDeployments,
		secretsTable:            t.Secrets,
		secretValuesTable:       t.SecretValues,
		parametersTable:         t.Parameters,
		parameterValuesTable:    t.ParameterValues,
		eventRulesTable:         t.EventRules,
		eventOutboxTable:        t.EventOutbox,
		eventRetriesTable:       t.EventRetries,
		systemKeysTable:         t.SystemKeys,
		joinTokensTable:         t.JoinTokens,
		agentKeysTable:          t.AgentKeys,
		eventBusesTable:         t.EventBuses,
		eventConnectionsTable:   t.EventConnections,
		eventDestinationsTable:  t.EventDestinations,
	}[id]
}

// InUse is the sum of what the tasks of an instance take that have not STOPPED: Ports are those reserved and those that
// agents reported, in order. The slices are shared: they must not be modified.
func (t *Tables) InUse(id ecs.InstanceID) ecs.Resources {
	u := t.derived.usage.get(id)
	if u == nil {
		return ecs.Resources{}
	}
	return ecs.Resources{CPU: u.CPU, MemoryMiB: u.MemoryMiB, Ports: u.ports, GPUs: u.gpus, ENIs: u.ENIs}
}

// Counts are numbers of tasks as ECS counts them: Running those whose last status is RUNNING, Pending those that are to
// run and have not come that far.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html
type Counts struct{ Running, Pending int32 }

// ClusterCounts are what ECS counts in a cluster.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Cluster.html
type ClusterCounts struct {
	Running, Pending int32
	// Instances are those that are ACTIVE or DRAINING.
	Instances int32
	// Draining are those of them that are DRAINING.
	Draining int32
	// Live are the tasks that have not STOPPED, also those that are neither counted as running nor as pending.
	Live int32
	// EC2, Fargate and External are Running and Pending by launch type; a task that says none is of EC2.
	EC2, Fargate, External Counts
}

// of gives the counts of a launch type.
func (c *ClusterCounts) of(launchType string) *Counts {
	switch launchType {
	case ecs.LaunchFargate:
		return &c.Fargate
	case ecs.LaunchExternal:
		return &c.External
	}
	return &c.EC2
}

// InstanceCounts counts the tasks placed on an instance.
func (t *Tables) InstanceCounts(id ecs.InstanceID) Counts {
	u := t.derived.usage.get(id)
	if u == nil {
		return Counts{}
	}
	return u.Counts
}

// ClusterCounts counts the tasks and instances of a cluster.
func (t *Tables) ClusterCounts(name string) ClusterCounts {
	c := t.derived.clusters.get(name)
	if c == nil {
		return ClusterCounts{}
	}
	return c.ClusterCounts
}

// ProviderTasks is how many tasks of a cluster have not STOPPED that were placed by a capacity provider.
func (t *Tables) ProviderTasks(cluster, provider string) int32 {
	n := t.derived.providers.get(providerOf{cluster, provider})
	if n == nil {
		return 0
	}
	return *n
}
