package nodelink

import (
	"encoding/json"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// check gives one of an instance's checks.
func (f *fixture) check(kind string) ecs.InstanceCheck {
	f.t.Helper()
	for _, c := range f.srv.Health(f.inst) {
		if c.Type == kind {
			return c
		}
	}
	f.t.Fatalf("no check %s", kind)
	return ecs.InstanceCheck{}
}

// until waits for what the server does after it was told something.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func (f *fixture) deregister() {
	f.update(func(tx *state.Tx) {
		i := *tx.Instances.Get(f.inst)
		i.Status = ecs.InstanceInactive
		tx.Instances.Put(&i)
	})
}

func TestHealthOfOurAgent(t *testing.T) {
	f := newFixture(t, time.Minute)
	if c := f.check(ecs.CheckAgentConnectivity); c.Status != ecs.CheckImpaired {
		t.Errorf("before a connection: %+v", c)
	}
	a := f.dial()
	expect[acs.Tasks](a, acs.TypeSync)
	if c := f.check(ecs.CheckAgentConnectivity); c.Status != ecs.CheckOK || c.Changed == 0 || c.Updated == 0 {
		t.Errorf("connected: %+v", c)
	}
	if c := f.check(ecs.CheckContainerRuntime); c.Status != ecs.CheckInsufficientData {
		t.Errorf("nothing said: %+v", c)
	}
	a.send(acs.TypeInstanceStatus, acs.InstanceStatus{Statuses: []acs.StatusResult{{Type: acs.CheckContainerRuntime, Status: ecs.CheckImpaired, Reason: "no answer", LastStatusChange: 1.5, LastUpdated: 2}}})
	until(t, "the check is taken over", func() bool { return f.check(ecs.CheckContainerRuntime).Status == ecs.CheckImpaired })
	if c := f.check(ecs.CheckContainerRuntime); c.Reason != "no answer" || c.Changed != 1500 || c.Updated != 2000 || f.srv.Health(f.inst).Overall() != ecs.CheckImpaired {
		t.Errorf("%+v", c)
	}
	a.conn.CloseNow()
	until(t, "the agent is gone", func() bool { return f.check(ecs.CheckAgentConnectivity).Status == ecs.CheckImpaired })
	if c := f.check(ecs.CheckContainerRuntime); c.Status != ecs.CheckInsufficientData || c.Updated != 2000 {
		t.Errorf("of an agent that is gone: %+v", c)
	}
	f.deregister()
	until(t, "it is forgotten", func() bool {
		f.srv.peers.mu.Lock()
		defer f.srv.peers.mu.Unlock()
		return len(f.srv.peers.of) == 0
	})
}

// TestHealthOfAmazonsAgent: what it says of its instance over telemetry is taken over; what cannot be is not.
func TestHealthOfAmazonsAgent(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	expect[acs.Heartbeat](f.dialForeign("true"), acs.TypeHeartbeat)
	until(t, "it is connected", func() bool { return f.srv.Connected(f.inst) })
	a := f.telemetry()
	future := float64(time.Now().Add(time.Hour).Unix())
	a.signed("let me in", acs.TypeInstanceStatus, acs.InstanceStatus{Statuses: []acs.StatusResult{
		{Type: acs.CheckContainerRuntime, Status: ecs.CheckOK, LastStatusChange: -1, LastUpdated: future},
		{Type: acs.CheckContainerRuntime, Status: ecs.CheckImpaired}, {Type: "EBSDaemon", Status: "FINE"}, {Type: "Moon", Status: ecs.CheckOK},
	}})
	expect[struct{}](a, "AckPublishInstanceStatus")
	h := f.srv.Health(f.inst)
	if c := f.check(ecs.CheckContainerRuntime); len(h) != 2 || c.Status != ecs.CheckOK || c.Changed != 0 || c.Updated > ecs.MillisOf(time.Now()) || h.Overall() != ecs.CheckOK {
		t.Errorf("%+v", h)
	}
}

// recorder is a store of metrics.
type recorder chan []acs.TaskMetrics

func (r recorder) Measure(_ time.Time, _ ecs.InstanceID, tasks []acs.TaskMetrics) { r <- tasks }

// TestMetrics: what is measured of the instance's own tasks is kept while they run; what cannot be true is not.
func TestMetrics(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	got := make(recorder, 1)
	f.srv.cfg.Metrics = got
	mine, ended := f.newTask(), f.newTask()
	f.report(acs.TaskState{ID: ended, Status: ecs.TaskStopped})
	var other ecs.TaskID
	f.update(func(tx *state.Tx) {
		other = lifecycle.Create(tx, 1, lifecycle.Spec{Cluster: "default", Definition: f.def, Instance: ecs.NewInstanceID()}).ID
	})
	set := func(min, max, sum float64) map[string]any {
		return map[string]any{"min": min, "max": max, "sum": sum, "sampleCount": 2, "overflowMax": 1}
	}
	containers := []map[string]any{
		{"containerName": "c", "cpuStatsSet": set(1, 2, 3), "memoryStatsSet": set(-1, 2, 3), "networkStatsSet": map[string]any{"rxBytes": set(5, 6, 11), "txBytes": set(6, 5, 11)}},
		{"containerName": "c", "cpuStatsSet": set(7, 7, 7)}, {"containerName": "of another"},
	}
	var tasks []map[string]any
	for _, arn := range []string{place.TaskARN("default", mine), place.TaskARN("default", ended), place.TaskARN("default", other), "no ARN"} {
		tasks = append(tasks, map[string]any{"taskArn": arn, "containerMetrics": containers})
	}
	a := f.telemetry()
	a.signed("let me in", acs.TypeMetrics, map[string]any{"taskMetrics": tasks})
	expect[struct{}](a, "AckPublishMetric")
	stored := <-got
	m, ok := f.srv.Measured(mine)
	if !ok || len(stored) != 1 || len(stored[0].Containers) != 1 || len(m.Containers) != 1 {
		t.Fatalf("kept %+v, stored %+v", m, stored)
	}
	c := m.Containers[0]
	if c.CPU == nil || *c.CPU != (acs.StatsSet{Min: 1, Max: 3, Sum: 3, Count: 2}) || c.Memory != nil || c.Network.RxBytes == nil || c.Network.TxBytes != nil {
		b, _ := json.Marshal(c)
		t.Errorf("%s", b)
	}
	for _, id := range []ecs.TaskID{ended, other} {
		if _, ok := f.srv.Measured(id); ok {
			t.Errorf("kept of %s", id)
		}
	}
	f.report(acs.TaskState{ID: mine, Status: ecs.TaskStopped})
	until(t, "what was measured is forgotten", func() bool { _, ok := f.srv.Measured(mine); return !ok })
}
