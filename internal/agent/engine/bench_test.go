package engine

import (
	goruntime "runtime"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/ecs"
)

// BenchmarkTask is one task from the server's message to its RUNNING report, with a container that starts at once: what the
// engine itself adds to a start.
func BenchmarkTask(b *testing.B) {
	m := newMachine(b)
	n := m.boot(b, m.config(b), true)
	defer n.stop()
	<-n.Ready()
	d := definition("serve")
	for b.Loop() {
		r := runOf(d)
		n.apply(false, &acs.Tasks{Definitions: []*ecs.TaskDefinition{d}, Run: []acs.RunTask{r}})
		n.until(r.ID, ecs.TaskRunning)
		b.StopTimer()
		n.stopAndWait(r.ID)
		b.StartTimer()
	}
}

// TestMemoryPerTask keeps a running task small: thousands of simulated ones are to fit in a process.
func TestMemoryPerTask(t *testing.T) {
	const tasks = 5000
	m := newMachine(t)
	cfg := m.config(t)
	cfg.Journal, cfg.DataDir = journal.None{}, ""
	n := m.boot(t, cfg, true)
	defer n.stop()
	<-n.Ready()
	d := definition("serve")
	msg := &acs.Tasks{Definitions: []*ecs.TaskDefinition{d}}
	for range tasks {
		msg.Run = append(msg.Run, runOf(d))
	}
	measure := func() int64 {
		goruntime.GC()
		var s goruntime.MemStats
		goruntime.ReadMemStats(&s)
		return int64(s.HeapAlloc + s.StackInuse)
	}
	before := measure()
	begin := time.Now()
	n.apply(false, msg)
	for _, r := range msg.Run {
		n.until(r.ID, ecs.TaskRunning)
	}
	took := time.Since(begin)
	n.mu.Lock()
	clear(n.history)
	clear(n.states)
	n.mu.Unlock()
	per := (measure() - before) / tasks
	t.Logf("%d tasks in %v, %d bytes each with the fake's container", tasks, took, per)
	if !raceEnabled && per > 16<<10 {
		t.Errorf("a task takes %d bytes", per)
	}
}
