package placement

import (
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/placement/query"
	"roadstead.dev/roadstead/internal/state"
)

// Attributes by which instances say for which launch types they are.
const (
	// attributeExternal is what agents outside EC2 say of themselves; launch type EXTERNAL asks for it.
	attributeExternal = "ecs.capability.external"
	// AttributeFargate marks instances that run tasks of launch type FARGATE, and with the value FargateOnly those that run
	// none of launch type EC2.
	AttributeFargate = "roadstead.capability.fargate"
	FargateOnly      = "only"
)

// check is a request made ready for looking at many instances.
type check struct {
	Request
	tables   *state.Tables
	needs    ecs.Resources
	gpus     int
	required []ecs.Attribute
	// native are the attributes that Roadstead's own agents must have beside these.
	native []string
	// ec2 tells that instances for FARGATE only are not for these tasks.
	ec2 bool
	// provider is the capacity provider whose instances alone are considered; empty is any.
	provider string
	distinct bool
	members  []memberOf
	order    order
	// counts tells that candidates' counts of the group matter.
	counts bool
	seed   uint64
	facts  query.Facts
	groups groupsOf
	// daemons are the critical ones of the cluster, without which their instances take no other tasks.
	daemons []daemon
}

// daemon is the group of a daemon's tasks, and the capacity providers of its instances.
type daemon struct {
	group     string
	providers []string
}

// memberOf is a constraint; without an expression nothing meets it.
type memberOf struct {
	text string
	expr *query.Expr
	// static depends on what instances are registered with alone; changes depends on the tasks that are placed.
	static, changes bool
}

func newCheck(t *state.Tables, r Request) *check {
	c := &check{Request: r, tables: t, needs: r.Definition.Needs(r.Overrides), required: r.Definition.RequiresAttributes}
	c.native = r.Definition.NativeRequirements(r.Overrides)
	_, c.gpus = r.Definition.NeedsGPUs(r.Overrides)
	if c.Group == "" {
		c.Group = "family:" + r.Definition.Family
	}
	switch {
	case ecs.IsFargateProvider(r.CapacityProvider) || r.LaunchType == ecs.LaunchFargate:
		c.required = append(slices.Clip(c.required), ecs.Attribute{Name: AttributeFargate})
	case r.LaunchType == ecs.LaunchExternal:
		c.required = append(slices.Clip(c.required), ecs.Attribute{Name: attributeExternal})
	default:
		c.ec2, c.provider = true, r.CapacityProvider
	}
	c.required = append(slices.Clip(c.required), r.Attributes...)
	for _, p := range r.Constraints {
		if p.Type == ecs.ConstraintDistinctInstance {
			c.distinct = true
			continue
		}
		c.addMember(p.Expression)
	}
	for _, p := range r.Definition.PlacementConstraints {
		c.addMember(p.Expression)
	}
	c.order = newOrder(r.Strategy)
	c.counts = c.distinct || c.order.instances || c.order.attributes != nil
	c.seed = c.newSeed()
	c.groups.check = c
	if _, is := ecs.DaemonOfGroup(c.Group); !is {
		c.addDaemons()
	}
	return c
}

func (c *check) addDaemons() {
	for d := range c.tables.Daemons.Under(c.Cluster) {
		if d.Status != ecs.DaemonActive || len(d.Revisions) == 0 {
			continue
		}
		if r := c.tables.DaemonRevisions.Get(d.Key() + "/" + d.Revisions[0]); r != nil && r.Critical {
			c.daemons = append(c.daemons, daemon{ecs.DaemonGroup(d.Name), r.CapacityProviders})
		}
	}
}

// lacksDaemon tells whether a critical daemon of an instance's does not run there.
func (c *check) lacksDaemon(id ecs.InstanceID) bool {
	if len(c.daemons) == 0 {
		return false
	}
	i := c.tables.Instances.Get(id)
	for _, d := range c.daemons {
		if i != nil && slices.Contains(d.providers, i.CapacityProvider) && !c.runs(d.group, id) {
			return true
		}
	}
	return false
}

func (c *check) runs(group string, id ecs.InstanceID) bool {
	for t := range c.tables.Tasks.OnInstance(id) {
		if t.Group == group && t.IsWanted() && t.LastStatus == ecs.TaskRunning && t.HealthStatus != ecs.HealthUnhealthy {
			return true
		}
	}
	return false
}

// takes tells whether an instance takes tasks at this moment: its agent is there, and so are its daemons.
func (c *check) takes(id ecs.InstanceID) bool { return c.connected(id) && !c.lacksDaemon(id) }

func (c *check) addMember(expression string) {
	m := memberOf{text: expression}
	if e, err := query.Parse(expression); err == nil {
		m.expr, m.static, m.changes = e, e.Static(), e.Counts()
	}
	c.members = append(c.members, m)
}

// considers tells whether an instance is one of those that a request is about at all.
func (c *check) considers(i *ecs.Instance) bool {
	return i.Status == ecs.InstanceActive && (c.provider == "" || c.provider == i.CapacityProvider)
}

// reason looks at everything that a task needs, once, before the first is placed.
func (c *check) reason(n *candidate) string {
	switch {
	case !c.connected(n.instance.ID):
		return ReasonAgent
	case c.lacksDaemon(n.instance.ID):
		return ReasonDaemon
	case !c.suits(n.instance):
		return ReasonAttribute
	}
	if reason := c.resources(n); reason != "" {
		return reason
	}
	if reason := c.devices(n); reason != "" {
		return reason
	}
	for i := range c.members {
		if !c.meets(&c.members[i], n) {
			return ReasonMemberOf
		}
	}
	if c.distinct && n.group > 0 {
		return ReasonDistinct
	}
	return ""
}

func (c *check) connected(id ecs.InstanceID) bool { return c.Connected == nil || c.Connected(id) }

// suits looks at attributes.
func (c *check) suits(i *ecs.Instance) bool {
	for _, a := range c.required {
		value, ok := i.Attribute(a.Name)
		if !ok || (a.Value != "" && a.Value != value) {
			return false
		}
	}
	if i.Native {
		for _, name := range c.native {
			if _, ok := i.Attribute(name); !ok {
				return false
			}
		}
	}
	if c.ec2 {
		value, _ := i.Attribute(AttributeFargate)
		return value != FargateOnly
	}
	return true
}

// resources looks at amounts.
func (c *check) resources(n *candidate) string {
	switch {
	case n.cpu < c.needs.CPU:
		return ReasonCPU
	case n.memory < c.needs.MemoryMiB:
		return ReasonMemory
	case n.enis < c.needs.ENIs:
		return ReasonENI
	}
	return ""
}

// devices looks at what is taken by name, which seldom is, and notes which GPUs and which hosts' network interfaces are free.
func (c *check) devices(n *candidate) string {
	n.checked = true
	if c.needs.ENIs > 0 && !n.instance.Native {
		// Amazon's agents have those interfaces alone that their hosts offer.
		if n.enis = int32(len(c.tables.SpareInterfaces(n.instance, c.Subnets))); n.enis < c.needs.ENIs {
			return ReasonENI
		}
	}
	if c.gpus == 0 && len(c.needs.Ports) == 0 {
		return ""
	}
	in := c.tables.InUse(n.instance.ID)
	if c.gpus > 0 {
		n.gpus = nil
		for _, id := range n.instance.Registered.GPUs {
			if !slices.Contains(in.GPUs, id) {
				n.gpus = append(n.gpus, id)
			}
		}
		if len(n.gpus) < c.gpus {
			return ReasonGPU
		}
	}
	for _, p := range c.needs.Ports {
		if slices.Contains(in.Ports, p) || slices.Contains(n.instance.Registered.Ports, p) {
			return ReasonPorts
		}
	}
	return ""
}

// fits looks at what changes while tasks of the request are placed.
func (c *check) fits(n *candidate) string {
	if reason := c.resources(n); reason != "" {
		return reason
	}
	switch {
	case len(n.gpus) < c.gpus:
		return ReasonGPU
	case len(c.needs.Ports) > 0 && n.placed > 0:
		return ReasonPorts
	}
	for i := range c.members {
		if m := &c.members[i]; m.changes && !c.meets(m, n) {
			return ReasonMemberOf
		}
	}
	if c.distinct && n.group > 0 {
		return ReasonDistinct
	}
	return ""
}

// meets evaluates an expression for a candidate; what is placed counts as pending.
func (c *check) meets(m *memberOf, n *candidate) bool {
	if m.expr == nil {
		return false
	}
	c.facts = query.Facts{Instance: n.instance}
	if !m.static {
		c.facts.Connected = c.connected(n.instance.ID)
	}
	if m.changes {
		counts := c.tables.InstanceCounts(n.instance.ID)
		c.facts.Running, c.facts.Pending = counts.Running, counts.Pending+n.placed
		c.groups.instance, c.groups.placed = n.instance.ID, n.placed
		c.facts.Groups = &c.groups
	}
	return m.expr.Matches(&c.facts)
}

// groupsOf are the groups of the tasks on an instance, with those placed.
type groupsOf struct {
	check    *check
	instance ecs.InstanceID
	placed   int32
}

var _ query.Groups = (*groupsOf)(nil)

func (g *groupsOf) Has(group string) bool {
	return g.placed > 0 && group == g.check.Group || g.check.tables.GroupCount(g.check.Cluster, group, g.instance) > 0
}

func (g *groupsOf) Any(is func(string) bool) bool {
	if g.placed > 0 && is(g.check.Group) {
		return true
	}
	for t := range g.check.tables.Tasks.OnInstance(g.instance) {
		if t.DesiredStatus == ecs.TaskRunning && t.LastStatus < ecs.TaskStopped && t.Group != "" && is(t.Group) {
			return true
		}
	}
	return false
}

// Filter makes a condition on instances of an expression, with the counts and groups of their tasks as they are in the tables:
// the filter of ListContainerInstances. It is for one goroutine. A nil connected means that all agents are.
func Filter(t *state.Tables, cluster string, e *query.Expr, connected func(ecs.InstanceID) bool) func(*ecs.Instance) bool {
	c := &check{Request: Request{Cluster: cluster, Connected: connected}, tables: t}
	c.groups.check = c
	m := memberOf{expr: e, changes: true}
	return func(i *ecs.Instance) bool { return c.meets(&m, &candidate{instance: i}) }
}
