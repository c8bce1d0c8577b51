package engine

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// specsRuntime keeps the specifications of what was started.
type specsRuntime struct {
	runtime.Runtime
	specs chan *runtime.Spec
}

func (r specsRuntime) Start(ctx context.Context, spec *runtime.Spec) (*runtime.Status, error) {
	r.specs <- spec
	return r.Runtime.Start(ctx, spec)
}

// TestShare: what containers are given by pidMode and ipcMode, and that what holds shared namespaces is there once, before them,
// and goes with the task.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		pid, ipc string
		holds    bool
		want     func(id string) runtime.Spec
	}{
		{"", "", false, func(string) runtime.Spec { return runtime.Spec{} }},
		{"host", "", false, func(string) runtime.Spec { return runtime.Spec{PidNS: "host"} }},
		{"", "host", false, func(string) runtime.Spec { return runtime.Spec{IpcNS: "host"} }},
		{"", "none", false, func(string) runtime.Spec { return runtime.Spec{NoShm: true} }},
		{"task", "", true, func(id string) runtime.Spec { return runtime.Spec{PidNS: id} }},
		{"host", "task", true, func(id string) runtime.Spec { return runtime.Spec{PidNS: "host", IpcNS: id} }},
		{"task", "task", true, func(id string) runtime.Spec { return runtime.Spec{PidNS: id, IpcNS: id} }},
	} {
		t.Run(c.pid+" "+c.ipc, func(t *testing.T) {
			specs := make(chan *runtime.Spec, 10)
			bubble(t, func(cfg *Config) { cfg.Runtime = specsRuntime{cfg.Runtime, specs} }, func(t *testing.T, m *machine, n *node) {
				d := definition("serve", "serve")
				d.PidMode, d.IpcMode = c.pid, c.ipc
				d.ContainerDefinitions[1].LinuxParameters = &ecs.LinuxParameters{SharedMemorySize: ptr(int32(7))}
				id := n.start(d)
				n.until(id, ecs.TaskRunning)
				tk := n.find(id)
				started := len(specs)
				if c.holds {
					if h := <-specs; !h.Hold || h.ID != tk.holderID() || h.Linux.ShmSize != 7*mib || h.CgroupParent == "" || h.Labels[LabelTask] != id.String() {
						t.Errorf("first there is %+v", h)
					}
					started--
				}
				if started != 2 {
					t.Errorf("%d containers were started", started)
				}
				for range started {
					want := c.want(tk.holderID())
					if s := <-specs; s.PidNS != want.PidNS || s.IpcNS != want.IpcNS || s.NoShm != want.NoShm || s.Hold {
						t.Errorf("%q %q %v, want %+v", s.PidNS, s.IpcNS, s.NoShm, want)
					}
				}
				n.stopAndWait(id)
			})
		})
	}
}

// TestShareKilled: an agent that was killed finds what holds a task's namespaces, and lets it go with the task.
func TestShareKilled(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		n := m.boot(t, m.config(t), true)
		<-n.Ready()
		d := definition("sleep 100", "serve")
		d.PidMode = "task"
		d.ContainerDefinitions[0].Essential = ptr(false)
		d.ContainerDefinitions[1].DependsOn = []ecs.ContainerDependency{{ContainerName: "a", Condition: "SUCCESS"}}
		id := n.start(d)
		synctest.Wait()
		holder := n.find(id).holderID()
		n.stop()
		n = m.boot(t, m.config(t), true)
		defer n.stop()
		n.until(id, ecs.TaskRunning)
		list, err := m.runtime.List(t.Context())
		if err != nil || len(list) != 3 || !slices.ContainsFunc(list, func(s *runtime.Status) bool { return s.ID == holder && s.State == runtime.Running }) {
			t.Errorf("%v, %v", list, err)
		}
		n.stopAndWait(id)
		m.clean(t, n)
	})
}
