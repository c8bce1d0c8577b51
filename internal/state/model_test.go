package state_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/kvtest"
)

// model is the tables as maps, and every question answered by looking at everything.
type model struct {
	clusters    map[string]*ecs.Cluster
	definitions map[ecs.DefinitionID]*ecs.TaskDefinition
	instances   map[ecs.InstanceID]*ecs.Instance
	tasks       map[ecs.TaskID]*ecs.Task
	tokens      map[string]*state.Token
	settings    map[string]*state.Setting
}

func newModel() *model {
	return &model{map[string]*ecs.Cluster{}, map[ecs.DefinitionID]*ecs.TaskDefinition{}, map[ecs.InstanceID]*ecs.Instance{},
		map[ecs.TaskID]*ecs.Task{}, map[string]*state.Token{}, map[string]*state.Setting{}}
}

func (m *model) clone() *model {
	return &model{maps.Clone(m.clusters), maps.Clone(m.definitions), maps.Clone(m.instances), maps.Clone(m.tasks), maps.Clone(m.tokens), maps.Clone(m.settings)}
}

// sorted gives the rows that are meant, in order.
func sorted[K comparable, V any](rows map[K]*V, is func(*V) bool, compare func(a, b *V) int) []*V {
	list := []*V{}
	for _, v := range rows {
		if is(v) {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, compare)
	return list
}

func byTaskID(a, b *ecs.Task) int { return bytes.Compare(a.ID[:], b.ID[:]) }

func (m *model) tasksWhere(is func(*ecs.Task) bool) []*ecs.Task { return sorted(m.tasks, is, byTaskID) }

// same compares pointers: rows are never copied.
func same[V any](what string, got iter.Seq[*V], want []*V) error {
	list := slices.Collect(got)
	if !slices.Equal(list, want) {
		return fmt.Errorf("%s: got %v, want %v", what, list, want)
	}
	return nil
}

// The names are few, so that they meet.
var (
	someClusters = []string{"", "a", "b"}
	someNames    = []string{"", "x", "y"}
	someTimes    = []ecs.Millis{0, 1, 2}
)

func someID(r *rapid.T, label string) (id [16]byte) {
	id[0] = byte(rapid.IntRange(0, 3).Draw(r, label))
	if id[0] > 0 {
		id[15] = byte(rapid.IntRange(0, 1).Draw(r, label+"'"))
	}
	return id
}

func someResources(r *rapid.T) ecs.Resources {
	port := rapid.Custom(func(r *rapid.T) ecs.Port {
		return ecs.Port{Number: rapid.Uint16Range(1, 3).Draw(r, "number"), UDP: rapid.Bool().Draw(r, "udp")}
	})
	return ecs.Resources{
		CPU: rapid.Int32Range(0, 9).Draw(r, "cpu"), MemoryMiB: rapid.Int32Range(0, 9).Draw(r, "memory"),
		Ports: rapid.SliceOfN(port, 0, 2).Draw(r, "ports"), GPUs: rapid.SliceOfN(rapid.SampledFrom(someNames), 0, 2).Draw(r, "gpus"),
		ENIs: rapid.Int32Range(0, 1).Draw(r, "enis"),
	}
}

func someTask(r *rapid.T) *ecs.Task {
	name := rapid.SampledFrom(someNames)
	status := rapid.SampledFrom([]ecs.TaskStatus{ecs.TaskPending, ecs.TaskRunning, ecs.TaskStopping, ecs.TaskStopped})
	var held *ecs.NetworkInterface
	if rapid.Bool().Draw(r, "awsvpc") {
		held = &ecs.NetworkInterface{SubnetID: name.Draw(r, "subnet"), Address: ecs.IPv4{0, 0, 0, rapid.ByteRange(0, 5).Draw(r, "address")}}
	}
	return &ecs.Task{
		Interface: held,
		ID:        someID(r, "task"), Cluster: rapid.SampledFrom(someClusters).Draw(r, "cluster"), Instance: someID(r, "on"),
		Definition: ecs.DefinitionID{Family: name.Draw(r, "family"), Revision: 1}, Group: name.Draw(r, "group"), StartedBy: name.Draw(r, "by"),
		LastStatus: status.Draw(r, "last"), DesiredStatus: status.Draw(r, "desired"),
		StoppedAt: rapid.SampledFrom(someTimes).Draw(r, "stopped"), Reserved: someResources(r),
		LaunchType:       rapid.SampledFrom([]string{"", ecs.LaunchEC2, ecs.LaunchFargate, ecs.LaunchExternal}).Draw(r, "launch"),
		CapacityProvider: name.Draw(r, "provider"), Containers: someContainers(r),
	}
}

// someContainers have ports that an agent chose, beyond those that someResources reserves.
func someContainers(r *rapid.T) []ecs.Container {
	if rapid.Bool().Draw(r, "nothing bound") {
		return nil
	}
	port := rapid.Int32Range(4, 6).Draw(r, "bound")
	return []ecs.Container{{NetworkBindings: []ecs.NetworkBinding{{HostPort: &port, BindIP: "0.0.0.0"}, {HostPort: &port, BindIP: "::"}}}}
}

func someInstance(r *rapid.T) *ecs.Instance {
	return &ecs.Instance{
		ID: someID(r, "instance"), Cluster: rapid.SampledFrom(someClusters).Draw(r, "cluster"),
		Status:      rapid.SampledFrom([]ecs.InstanceStatus{ecs.InstanceActive, ecs.InstanceDraining, ecs.InstanceInactive}).Draw(r, "status"),
		ClientToken: rapid.SampledFrom(someNames).Draw(r, "token"),
	}
}

// step does one random thing to both.
func step(r *rapid.T, tx *state.Tx, m *model) {
	cluster, name := rapid.SampledFrom(someClusters), rapid.SampledFrom(someNames)
	switch rapid.IntRange(0, 13).Draw(r, "what") {
	case 0:
		c := &ecs.Cluster{Name: cluster.Draw(r, "name")}
		tx.Clusters.Put(c)
		m.clusters[c.Name] = c
	case 1:
		n := cluster.Draw(r, "name")
		tx.Clusters.Delete(n)
		delete(m.clusters, n)
	case 2, 3:
		d := &ecs.TaskDefinition{Family: name.Draw(r, "family"), Revision: rapid.Int32Range(1, 12).Draw(r, "revision"), Daemon: rapid.Bool().Draw(r, "daemon"),
			Status: rapid.SampledFrom([]ecs.DefinitionStatus{ecs.DefinitionActive, ecs.DefinitionInactive}).Draw(r, "status")}
		tx.Definitions.Put(d)
		m.definitions[d.ID()] = d
	case 4:
		id := ecs.DefinitionID{Family: name.Draw(r, "family"), Revision: rapid.Int32Range(1, 12).Draw(r, "revision")}
		tx.Definitions.Delete(id)
		delete(m.definitions, id)
	case 5, 6:
		i := someInstance(r)
		tx.Instances.Put(i)
		m.instances[i.ID] = i
	case 7:
		id := ecs.InstanceID(someID(r, "instance"))
		tx.Instances.Delete(id)
		delete(m.instances, id)
	case 8:
		k := &state.Token{Key: name.Draw(r, "key"), ExpiresAt: rapid.SampledFrom(someTimes).Draw(r, "expires")}
		tx.Tokens.Put(k)
		m.tokens[k.Key] = k
	case 9:
		s := &state.Setting{Principal: name.Draw(r, "principal"), Name: name.Draw(r, "name")}
		tx.Settings.Put(s)
		m.settings[s.Principal+"/"+s.Name] = s
	case 10:
		id := ecs.TaskID(someID(r, "task"))
		tx.Tasks.Delete(id)
		delete(m.tasks, id)
	default:
		t := someTask(r)
		tx.Tasks.Put(t)
		m.tasks[t.ID] = t
	}
}

// check compares every answer of the tables with the model's.
func (m *model) check(t *state.Tables) error {
	always := func(*ecs.Task) bool { return true }
	errs := []error{
		same("clusters", t.Clusters.All(), sorted(m.clusters, func(*ecs.Cluster) bool { return true }, func(a, b *ecs.Cluster) int { return strings.Compare(a.Name, b.Name) })),
		same("tasks", t.Tasks.All(), m.tasksWhere(always)),
		same("stopped", t.Tasks.Stopped(), sorted(m.tasks, func(v *ecs.Task) bool { return v.StoppedAt != 0 }, func(a, b *ecs.Task) int {
			return cmp.Or(cmp.Compare(a.StoppedAt, b.StoppedAt), byTaskID(a, b))
		})),
		same("tokens", t.Tokens.Expired(), sorted(m.tokens, func(*state.Token) bool { return true }, func(a, b *state.Token) int {
			return cmp.Or(cmp.Compare(a.ExpiresAt, b.ExpiresAt), strings.Compare(a.Key, b.Key))
		})),
		same("settings", t.Settings.All(), sorted(m.settings, func(*state.Setting) bool { return true }, func(a, b *state.Setting) int {
			return cmp.Or(strings.Compare(a.Principal, b.Principal), strings.Compare(a.Name, b.Name))
		})),
		m.checkDefinitions(t),
		m.checkInstances(t),
		m.checkAddresses(t),
	}
	for _, c := range someClusters {
		errs = append(errs, m.checkCluster(t, c))
	}
	if t.Tasks.Len() != len(m.tasks) || t.Instances.Len() != len(m.instances) || t.Clusters.Len() != len(m.clusters) {
		errs = append(errs, errors.New("a length is wrong"))
	}
	return errors.Join(errs...)
}

// checkAddresses: every range has a free address exactly if not all of it is held, and what is given is free.
func (m *model) checkAddresses(t *state.Tables) error {
	held := map[string]map[ecs.IPv4]bool{}
	for _, task := range m.tasks {
		if i := task.Interface; i != nil && task.LastStatus < ecs.TaskStopped {
			if held[i.SubnetID] == nil {
				held[i.SubnetID] = map[ecs.IPv4]bool{}
			}
			held[i.SubnetID][i.Address] = true
		}
	}
	for _, subnet := range someNames {
		for from := range byte(6) {
			all := true
			for to := from; to < 6; to++ {
				all = all && held[subnet][ecs.IPv4{0, 0, 0, to}]
				got, ok := t.FreeAddress(subnet, ecs.IPv4{0, 0, 0, from}, ecs.IPv4{0, 0, 0, to})
				if ok == all || ok && (held[subnet][got] || got[3] < from || got[3] > to) {
					return fmt.Errorf("subnet %q, %d to %d: got %v, %v; held are %v", subnet, from, to, got, ok, held[subnet])
				}
			}
		}
	}
	return nil
}

func (m *model) checkDefinitions(t *state.Tables) error {
	var errs []error
	byRevision := func(a, b *ecs.TaskDefinition) int {
		return cmp.Or(strings.Compare(a.Family, b.Family), cmp.Compare(a.Revision, b.Revision))
	}
	errs = append(errs, same("definitions", t.Definitions.All(), sorted(m.definitions, func(d *ecs.TaskDefinition) bool { return !d.Daemon }, byRevision)),
		same("daemon definitions", t.Definitions.AllDaemon(), sorted(m.definitions, func(d *ecs.TaskDefinition) bool { return d.Daemon }, byRevision)))
	for i := range 2 * len(someNames) {
		of := ecs.DefinitionID{Family: someNames[i/2], Daemon: i%2 == 1}
		f := of.String()
		want := sorted(m.definitions, func(d *ecs.TaskDefinition) bool { return d.Family == of.Family && d.Daemon == of.Daemon }, byRevision)
		errs = append(errs, same("family "+f, t.Definitions.OfFamily(of), want))
		var latest *ecs.TaskDefinition
		for _, d := range want {
			if d.Status == ecs.DefinitionActive {
				latest = d
			}
			if t.Definitions.Get(d.ID()) != d {
				errs = append(errs, fmt.Errorf("%v is not found", d.ID()))
			}
		}
		if got := t.Definitions.LatestActive(of); got != latest {
			errs = append(errs, fmt.Errorf("latest of %s: %v, want %v", f, got, latest))
		}
	}
	return errors.Join(errs...)
}

func (m *model) checkInstances(t *state.Tables) error {
	var errs []error
	for a := range byte(4) {
		for b := range byte(2) {
			id := ecs.InstanceID{0: a, 15: b}
			on := m.tasksWhere(func(v *ecs.Task) bool { return v.Instance == id && !id.IsZero() })
			errs = append(errs, same("on instance", t.Tasks.OnInstance(id), on))
			var use ecs.Resources
			var counts state.Counts
			for _, v := range on {
				if v.LastStatus == ecs.TaskStopped {
					continue
				}
				use.CPU += v.Reserved.CPU
				use.MemoryMiB += v.Reserved.MemoryMiB
				use.ENIs += v.Reserved.ENIs
				use.Ports = append(use.Ports, v.Reserved.Ports...)
				if len(v.Containers) > 0 {
					use.Ports = append(use.Ports, ecs.Port{Number: uint16(*v.Containers[0].NetworkBindings[0].HostPort)})
				}
				use.GPUs = append(use.GPUs, v.Reserved.GPUs...)
				counts.Running += btoi(v.LastStatus == ecs.TaskRunning)
				counts.Pending += btoi(v.LastStatus == ecs.TaskPending && v.DesiredStatus == ecs.TaskRunning)
			}
			slices.SortFunc(use.Ports, func(a, b ecs.Port) int {
				return cmp.Or(cmp.Compare(a.Number, b.Number), int(btoi(a.UDP)-btoi(b.UDP)))
			})
			slices.Sort(use.GPUs)
			if diff := gocmp.Diff(use, t.InUse(id)); diff != "" {
				errs = append(errs, fmt.Errorf("in use: %s", diff))
			}
			if got := t.InstanceCounts(id); got != counts {
				errs = append(errs, fmt.Errorf("counts of an instance: %v, want %v", got, counts))
			}
			if got := t.Instances.Get(id); got != m.instances[id] {
				errs = append(errs, fmt.Errorf("instance %v: %v, want %v", id, got, m.instances[id]))
			}
		}
	}
	return errors.Join(errs...)
}

func btoi(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func (m *model) checkCluster(t *state.Tables, c string) error {
	instances := sorted(m.instances, func(v *ecs.Instance) bool { return v.Cluster == c }, func(a, b *ecs.Instance) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	errs := []error{
		same("tasks in cluster", t.Tasks.InCluster(c), m.tasksWhere(func(v *ecs.Task) bool { return v.Cluster == c })),
		same("instances in cluster", t.Instances.InCluster(c), instances),
	}
	errs = append(errs, m.checkPlacement(t, c, slices.DeleteFunc(slices.Clone(instances), func(v *ecs.Instance) bool {
		return v.Status != ecs.InstanceActive && v.Status != ecs.InstanceDraining
	})))
	var counts state.ClusterCounts
	byToken := map[string]bool{}
	for _, v := range instances {
		counts.Instances += btoi(v.Status != ecs.InstanceInactive)
		counts.Draining += btoi(v.Status == ecs.InstanceDraining)
		byToken[v.ClientToken] = byToken[v.ClientToken] || v.Status != ecs.InstanceInactive && v.ClientToken != ""
	}
	byProvider := map[string]int32{}
	for _, v := range m.tasks {
		if v.Cluster != c || v.LastStatus == ecs.TaskStopped {
			continue
		}
		n := state.Counts{Running: btoi(v.LastStatus == ecs.TaskRunning), Pending: btoi(v.LastStatus == ecs.TaskPending && v.DesiredStatus == ecs.TaskRunning)}
		counts.Live++
		counts.Running += n.Running
		counts.Pending += n.Pending
		launched := map[string]*state.Counts{"": &counts.EC2, ecs.LaunchEC2: &counts.EC2, ecs.LaunchFargate: &counts.Fargate, ecs.LaunchExternal: &counts.External}[v.LaunchType]
		launched.Running += n.Running
		launched.Pending += n.Pending
		byProvider[v.CapacityProvider]++
	}
	if got := t.ClusterCounts(c); got != counts {
		errs = append(errs, fmt.Errorf("counts of cluster %q: %v, want %v", c, got, counts))
	}
	for _, n := range someNames {
		got := t.Instances.ByClientToken(c, n)
		if (got != nil) != byToken[n] || got != nil && (got.Cluster != c || got.ClientToken != n || got.Status == ecs.InstanceInactive) {
			errs = append(errs, fmt.Errorf("by token %q: %v", n, got))
		}
		if n == "" {
			continue // Empty names are not asked for.
		}
		if got := t.ProviderTasks(c, n); got != byProvider[n] {
			errs = append(errs, fmt.Errorf("tasks of provider %q: %d, want %d", n, got, byProvider[n]))
		}
		in := func(is func(*ecs.Task) bool) []*ecs.Task {
			return m.tasksWhere(func(v *ecs.Task) bool { return v.Cluster == c && is(v) })
		}
		errs = append(errs,
			same("group", t.Tasks.OfGroup(c, n), in(func(v *ecs.Task) bool { return v.Group == n })),
			same("started by", t.Tasks.StartedBy(c, n), in(func(v *ecs.Task) bool { return v.StartedBy == n })),
			same("family", t.Tasks.OfFamily(c, n), in(func(v *ecs.Task) bool { return v.Definition.Family == n })))
	}
	return errors.Join(errs...)
}

// follow brings a replica of the model up to a commit, and checks the old values on the way.
func follow(replica *model, c *state.Commit) error {
	return errors.Join(
		followTable(replica.clusters, c.Clusters, func(v *ecs.Cluster) string { return v.Name }),
		followTable(replica.definitions, c.Definitions, (*ecs.TaskDefinition).ID),
		followTable(replica.instances, c.Instances, func(v *ecs.Instance) ecs.InstanceID { return v.ID }),
		followTable(replica.tasks, c.Tasks, func(v *ecs.Task) ecs.TaskID { return v.ID }),
		followTable(replica.tokens, c.Tokens, func(v *state.Token) string { return v.Key }),
		followTable(replica.settings, c.Settings, func(v *state.Setting) string { return v.Principal + "/" + v.Name }),
		replica.check(&c.View.Tables),
	)
}

func followTable[K comparable, V any](rows map[K]*V, changes []state.Change[V], key func(*V) K) error {
	seen := map[K]bool{}
	for _, ch := range changes {
		k := key(cmp.Or(ch.Old, ch.New))
		if rows[k] != ch.Old || seen[k] {
			return fmt.Errorf("%v: the change is from %v, the row was %v; seen before: %v", k, ch.Old, rows[k], seen[k])
		}
		seen[k] = true
		if ch.New == nil {
			delete(rows, k)
		} else {
			rows[k] = ch.New
		}
	}
	return nil
}

// TestTablesAreAsTheModel puts and deletes at random, in Updates some of which are aborted and some refused, several to a batch and
// batches of any size: every question is answered as by the model, in every Tx and every View; views never change; the feed
// is the sequence of the differences.
func TestTablesAreAsTheModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g := newGate()
		kv, _ := faulty(g.plan)
		s, err := state.Open(t.Context(), state.Config{KV: kv, BatchOps: rapid.IntRange(1, 8).Draw(r, "batch"), MaxWaiting: 100})
		if err != nil {
			r.Fatal(err)
		}
		run := startRunning(s)
		defer run.stop(g)
		feed := s.Watch()
		durable, replica := newModel(), newModel()
		views := map[*state.View]*model{s.View(): newModel()}
		for range rapid.IntRange(1, 4).Draw(r, "rounds") {
			durable = modelRound(r, t, s, g, durable)
			for last := s.View(); feed.View() != last; {
				c, err := feed.Next(t.Context())
				if err == nil {
					err = follow(replica, c)
				}
				if err != nil {
					r.Fatalf("feed: %v", err)
				}
				views[c.View] = replica.clone()
			}
			if err := durable.check(&s.View().Tables); err != nil {
				r.Fatalf("view: %v", err)
			}
		}
		for v, m := range views {
			if err := m.check(&v.Tables); err != nil {
				r.Fatalf("an older view has changed: %v", err)
			}
		}
	})
}

// modelRound lets several Updates join batches while the first commit is held up, and returns what is durable then.
func modelRound(r *rapid.T, t *testing.T, s *state.Store, g *gate, durable *model) *model {
	m := durable
	aborted := errors.New("aborted")
	var results []chan error
	for range rapid.IntRange(1, 6).Draw(r, "updates") {
		results = append(results, enqueue(t, s, func(tx *state.Tx) error {
			next := m.clone()
			for range rapid.IntRange(0, 8).Draw(r, "steps") {
				step(r, tx, next)
			}
			if err := next.check(&tx.Tables); err != nil {
				r.Errorf("in the Tx: %v", err)
			}
			if rapid.IntRange(0, 3).Draw(r, "abort") == 0 {
				return aborted
			}
			m = next
			return nil
		}))
	}
	refuse := rapid.IntRange(0, 4).Draw(r, "refuse") == 0
	refused := 0
	for _, result := range results {
		if awaitResult(result, g, refuse) {
			refused++
		}
	}
	if refused > 0 {
		return modelOfView(s.View())
	}
	return m
}

// awaitResult lets commits pass, or refuses them, until there is a result.
func awaitResult(result chan error, g *gate, refuse bool) (refused bool) {
	for {
		select {
		case err := <-result:
			return errors.Is(err, kvtest.ErrRefused)
		case <-g.arrived:
			if refuse {
				g.decide <- kvtest.Refuse
			} else {
				g.decide <- kvtest.None
			}
		}
	}
}

// modelOfView takes the rows from a view: after a refusal it says itself which Updates are left, and its indexes must fit them.
func modelOfView(v *state.View) *model {
	m := newModel()
	for c := range v.Clusters.All() {
		m.clusters[c.Name] = c
	}
	for d := range v.Definitions.All() {
		m.definitions[d.ID()] = d
	}
	for d := range v.Definitions.AllDaemon() {
		m.definitions[d.ID()] = d
	}
	for i := range v.Instances.All() {
		m.instances[i.ID] = i
	}
	for t := range v.Tasks.All() {
		m.tasks[t.ID] = t
	}
	for k := range v.Tokens.Expired() {
		m.tokens[k.Key] = k
	}
	for x := range v.Settings.All() {
		m.settings[x.Principal+"/"+x.Name] = x
	}
	return m
}

// running is a Store's Run that a property ends itself.
type running struct {
	cancel context.CancelFunc
	ended  chan error
}

func startRunning(s *state.Store) running {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return running{cancel, ended}
}

// stop lets what is left pass.
func (r running) stop(g *gate) {
	r.cancel()
	awaitResult(r.ended, g, false)
}
