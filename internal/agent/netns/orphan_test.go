package netns

import (
	"os"
	"slices"
	"testing"
)

// TestOrphans: a bridge whose data directory was deleted goes when another manager starts, unless a container hangs on it
// or its process lives.
func TestOrphans(t *testing.T) {
	must(t, setLoopbackUp())
	before := kernelState(t)
	make := func(name string) (*Manager, string) {
		dir := t.TempDir() + "/net"
		m, err := New(Config{DataDir: dir, Name: name})
		must(t, err)
		return m, dir
	}
	dead, deadDir := make("dead")
	must(t, dead.Close(ctx))
	alive, aliveDir := make("alive")
	inUse, inUseDir := make("inuse")
	id, _ := setup(t, inUse)
	tasks, tasksDir := make("tasks")
	task := setupTaskID(t, tasks, 1)
	must(t, tasks.Close(ctx))
	must(t, inUse.Close(ctx))
	kept, _ := make("kept")
	must(t, kept.Close(ctx))
	must(t, os.RemoveAll(deadDir))
	must(t, os.Rename(aliveDir, aliveDir+".away"))
	must(t, os.Rename(inUseDir, inUseDir+".away"))
	must(t, os.Rename(tasksDir, tasksDir+".away"))

	newManager(t, "next")
	have := kernelState(t)
	for name, want := range map[string]bool{"dead": false, "alive": true, "inuse": true, "tasks": true, "kept": true} {
		if slices.Contains(have.Links, "rs"+name) != want || slices.Contains(have.Tables, "roadstead_"+name) != want {
			t.Errorf("%s is there: want %v; %v %v", name, want, have.Links, have.Tables)
		}
	}

	must(t, os.Rename(aliveDir+".away", aliveDir))
	must(t, os.Rename(inUseDir+".away", inUseDir))
	must(t, os.Rename(tasksDir+".away", tasksDir))
	must(t, alive.Destroy(ctx))
	for _, m := range []*Manager{inUse, tasks, kept} {
		again, err := New(m.cfg)
		must(t, err)
		if m == inUse && again.networks[id] == nil || m == tasks && again.networks[task] == nil {
			t.Error("a container's network is lost")
		}
		must(t, again.Destroy(ctx))
	}
	if now := kernelState(t); len(now.Tables) != len(before.Tables)+2 { // those of next
		t.Errorf("left behind: %v", now)
	}
}
