package nodelink

import (
	"slices"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

// Metrics takes what is measured. Measure is called from many goroutines and must not block; what it is given is its own. A
// message that an agent sends twice comes twice.
type Metrics interface {
	Measure(at time.Time, instance ecs.InstanceID, tasks []acs.TaskMetrics)
}

// Measured is the last that was measured of a task.
type Measured struct {
	At time.Time
	acs.TaskMetrics
}

// measures has the last of every task that runs, and so is as large as the tasks are many.
type measures struct {
	mu sync.RWMutex
	of map[ecs.TaskID]Measured
}

// Measured gives the last that the agent of a task's instance said that the task takes. Safe for concurrent use.
func (s *Server) Measured(id ecs.TaskID) (Measured, bool) {
	s.measures.mu.RLock()
	defer s.measures.mu.RUnlock()
	m, ok := s.measures.of[id]
	return m, ok
}

// measured takes over what an agent says of its instance's tasks; what cannot be is left out.
func (s *Server) measured(instance ecs.InstanceID, m *acs.Metrics) {
	view, now := s.cfg.Store.View(), time.Now()
	var tasks []acs.TaskMetrics
	for i := range m.Tasks {
		id, ok := taskOf(m.Tasks[i].TaskARN)
		if !ok {
			continue
		}
		t := view.Tasks.Get(id)
		if t == nil || t.Instance != instance || t.LastStatus >= ecs.TaskStopped {
			continue
		}
		if containers := usable(t, m.Tasks[i].Containers); len(containers) > 0 {
			tasks = append(tasks, acs.TaskMetrics{Task: id, Containers: containers})
		}
	}
	if len(tasks) == 0 {
		return
	}
	s.measures.put(now, tasks)
	if s.cfg.Metrics != nil {
		s.cfg.Metrics.Measure(now, instance, tasks)
	}
}

func (m *measures) put(at time.Time, tasks []acs.TaskMetrics) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		m.of = map[ecs.TaskID]Measured{}
	}
	for _, t := range tasks {
		m.of[t.Task] = Measured{At: at, TaskMetrics: t}
	}
}

// settle forgets tasks that do not run any more.
func (m *measures) settle(c *state.Commit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ch := range c.Tasks {
		switch {
		case ch.New != nil && ch.New.LastStatus >= ecs.TaskStopped:
			delete(m.of, ch.New.ID)
		case ch.New == nil && ch.Old != nil:
			delete(m.of, ch.Old.ID)
		}
	}
}

// usable are the containers of a task that are its own, each once, with the sets that can be true, in whole numbers.
func usable(t *ecs.Task, said []acs.ContainerMetrics) []acs.ContainerMetrics {
	var out []acs.ContainerMetrics
	for _, c := range said {
		own := slices.ContainsFunc(t.Containers, func(o ecs.Container) bool { return o.Name == c.Name })
		again := slices.ContainsFunc(out, func(o acs.ContainerMetrics) bool { return o.Name == c.Name })
		if !own || again {
			continue
		}
		sets := []**acs.StatsSet{&c.CPU, &c.Memory}
		if c.Network != nil {
			n := *c.Network
			c.Network = &n
			sets = append(sets, &n.RxBytes, &n.TxBytes, &n.RxRate, &n.TxRate)
		}
		if c.Storage != nil {
			st := *c.Storage
			c.Storage = &st
			sets = append(sets, &st.Read, &st.Write)
		}
		for _, set := range sets {
			if !(*set).Usable() {
				*set = nil
				continue
			}
			whole := (*set).Whole()
			*set = &whole
		}
		if c.Restart != nil && c.Restart.Count < 0 {
			c.Restart = nil
		}
		out = append(out, c)
	}
	return out
}

// taskOf reads a task's ARN.
func taskOf(text string) (ecs.TaskID, bool) {
	arn, err := ecs.ParseARN(text)
	if err != nil || arn.Type != "task" {
		return ecs.TaskID{}, false
	}
	id, err := ecs.ParseTaskID(arn.Resource)
	return id, err == nil
}
