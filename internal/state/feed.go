package state

import (
	"context"
	"sync/atomic"

	"roadstead.dev/roadstead/internal/ecs"
)

// Commit is what one durable batch changed, and the view after it. Changes are in no particular order.
type Commit struct {
	Revision           int64
	View               *View
	Clusters           []Change[ecs.Cluster]
	Definitions        []Change[ecs.TaskDefinition]
	Families           []Change[ecs.Family]
	Instances          []Change[ecs.Instance]
	Tasks              []Change[ecs.Task]
	Tokens             []Change[Token]
	Settings           []Change[Setting]
	CapacityProviders  []Change[ecs.CapacityProvider]
	Subnets            []Change[ecs.Subnet]
	Services           []Change[ecs.Service]
	ServiceEvents      []Change[ecs.ServiceEvent]
	ServiceDeployments []Change[ecs.ServiceDeployment]
	ServiceRevisions   []Change[ecs.ServiceRevision]
	Daemons            []Change[ecs.Daemon]
	DaemonDeployments  []Change[ecs.DaemonDeployment]
	EventRules         []Change[EventRule]
	EventOutbox        []Change[EventRecord]
	EventRetries       []Change[EventRetry]
	JoinTokens         []Change[ecs.JoinToken]
	AgentKeys          []Change[ecs.AgentKey]
	EventBuses         []Change[EventBus]
	EventConnections   []Change[EventConnection]
	EventDestinations  []Change[EventDestination]
}

// Change is a row's way from before a commit to after it: Old is nil where it was added, New where it was deleted. Several
// changes of a row within a commit are one.
type Change[T any] struct{ Old, New *T }

// Feed gives every commit from a moment on. It is read by one goroutine.
type Feed struct{ at *link }

// link is one commit in the chain that feeds walk along; who is behind holds what is ahead of it, and nobody else does.
type link struct {
	commit *Commit
	// next is set before ready is closed.
	next  atomic.Pointer[link]
	ready chan struct{}
}

func newLink(c *Commit) *link { return &link{commit: c, ready: make(chan struct{})} }

// advance makes a commit the store's view, and then gives it to the feeds: who has heard of a commit finds it in the view. Only
// Run's goroutine advances.
func (s *Store) advance(c *Commit) {
	last, n := s.tail.Load(), newLink(c)
	last.next.Store(n)
	s.tail.Store(n)
	close(last.ready)
}

// View is the snapshot that the next commit changes.
func (f *Feed) View() *View { return f.at.commit.View }

// Ready tells whether Next would return at once.
func (f *Feed) Ready() bool {
	select {
	case <-f.at.ready:
		return true
	default:
		return false
	}
}

// Coming is closed when Next returns at once.
func (f *Feed) Coming() <-chan struct{} { return f.at.ready }

// Next waits for the commit after the last one given. Its only error is ctx's.
func (f *Feed) Next(ctx context.Context) (*Commit, error) {
	select {
	case <-f.at.ready:
	default:
		select {
		case <-f.at.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	f.at = f.at.next.Load()
	return f.at.commit, nil
}

// add sorts a change into its table's list; one that comes to nothing is left out.
func (c *Commit) add(ch change) {
	if ch.old == nil && ch.new == nil {
		return
	}
	switch ch.table {
	case clustersTable:
		c.Clusters = appendChange(c.Clusters, ch)
	case definitionsTable:
		c.Definitions = appendChange(c.Definitions, ch)
	case familiesTable:
		c.Families = appendChange(c.Families, ch)
	case instancesTable:
		c.Instances = appendChange(c.Instances, ch)
	case tasksTable:
		c.Tasks = appendChange(c.Tasks, ch)
	case tokensTable:
		c.Tokens = appendChange(c.Tokens, ch)
	case settingsTable:
		c.Settings = appendChange(c.Settings, ch)
	case capacityProvidersTable:
		c.CapacityProviders = appendChange(c.CapacityProviders, ch)
	case subnetsTable:
		c.Subnets = appendChange(c.Subnets, ch)
	case servicesTable:
		c.Services = appendChange(c.Services, ch)
	case serviceEventsTable:
		c.ServiceEvents = appendChange(c.ServiceEvents, ch)
	case serviceDeploymentsTable:
		c.ServiceDeployments = appendChange(c.ServiceDeployments, ch)
	case serviceRevisionsTable:
		c.ServiceRevisions = appendChange(c.ServiceRevisions, ch)
	case daemonsTable:
		c.Daemons = appendChange(c.Daemons, ch)
	case daemonDeploymentsTable:
		c.DaemonDeployments = appendChange(c.DaemonDeployments, ch)
	case eventRulesTable:
		c.EventRules = appendChange(c.EventRules, ch)
	case eventOutboxTable:
		c.EventOutbox = appendChange(c.EventOutbox, ch)
	case eventRetriesTable:
		c.EventRetries = appendChange(c.EventRetries, ch)
	case joinTokensTable:
		c.JoinTokens = appendChange(c.JoinTokens, ch)
	case agentKeysTable:
		c.AgentKeys = appendChange(c.AgentKeys, ch)
	case eventBusesTable:
		c.EventBuses = appendChange(c.EventBuses, ch)
	case eventConnectionsTable:
		c.EventConnections = appendChange(c.EventConnections, ch)
	case eventDestinationsTable:
		c.EventDestinations = appendChange(c.EventDestinations, ch)
	}
}

func appendChange[T any](list []Change[T], ch change) []Change[T] {
	return append(list, Change[T]{Old: ptr[T](ch.old), New: ptr[T](ch.new)})
}
