// Package engine runs the tasks of one container instance.
//
// A task is a state machine: what is observed of its containers and what is desired of it are in one struct, and step, a
// pure function, decides the one next action. Actions that take time (pull, start, stop) are done by workers, and what comes
// of them is observed in turn. Nothing polls. What must survive the agent is journalled before anything depends on it.
package engine

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/agent/metadata"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// Config is what an engine needs. Runtime, Images, Journal and Log must be set.
type Config struct {
	Runtime runtime.Runtime
	Images  runtime.Images
	Journal Journal
	// Recovered is what the journal had when it was opened.
	Recovered []*journal.Record
	// DataDir keeps logs and volumes, RunDir what need not outlive a restart of the machine: best on a file system in
	// memory, where a file is made in no time. Default is DataDir/run. Without a DataDir there are no files.
	DataDir, RunDir string
	// Network is for containers on the bridge; without it tasks that want it fail. Logs is for awslogs likewise.
	Network Network
	Logs    Logs
	// Secrets is where containers' secrets come from; without it tasks that have some fail.
	Secrets SecretSource
	Log     *slog.Logger
	// Endpoint leads containers to what they can ask about themselves; nil for none. Zone is shown to them.
	Endpoint *Endpoint
	Zone     string
	// Region is what containers are told in AWS_REGION.
	Region     string
	PullPolicy runtime.PullPolicy
	// StopTimeout is how long a container may take to end after its stop signal, where its definition says nothing.
	// Default 30 s.
	StopTimeout time.Duration
	// LogGrace is how long the end of a task waits for the last output of its containers to be shipped. Shipping goes on
	// after it. Default 10 s, as long as Docker waits for a log driver.
	LogGrace time.Duration
	// LogsWait is how long json-file logs are kept after a task has ended. Default 3 h, as
	// ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION; negative is not at all.
	LogsWait time.Duration
	// Simulated says that nothing is really run: what containers ask of the machine is taken as given, and no file of the
	// machine is touched.
	Simulated bool
	// Starts is how many containers start at the same time. Default two to a core.
	Starts int
}

// Times that are not settings.
const (
	// startTimeout is the stock agent's bound on a start.
	startTimeout = 3 * time.Minute
	// retryDelay is the time to the next try of what should not fail.
	retryDelay = time.Second
	// goneFor is how long an ended and reported task is remembered: a server may ask for it once more, from a view that
	// is a little behind.
	goneFor = time.Minute
)

// How many signals are sent, and tasks removed, at the same time. Removals are apart: one that hangs holds up no stop.
const (
	stopWorkers    = 4
	removalWorkers = 2
)

// Engine runs tasks. Its methods may be called at once from many goroutines.
type Engine struct {
	cfg                     Config
	files                   layout
	outbox                  *outbox
	starts, stops, removals *queue
	// ready is closed once Run knows what is on the machine; ctx is Run's and set before.
	ready chan struct{}
	ctx   context.Context
	// background counts the goroutines that Run waits for.
	background sync.WaitGroup
	// ending guards ended, which says that background takes nobody in any more.
	ending sync.Mutex
	ended  bool

	// volumes is held while volumes are looked up, made and filled.
	volumes sync.Mutex

	mu          sync.Mutex
	tasks       map[ecs.TaskID]*task
	definitions map[ecs.DefinitionID]*ecs.TaskDefinition
	// exposed and roles are by the ids in the endpoint's paths.
	exposed map[string]containerKey
	roles   map[string]metadata.Role
	// gone are tasks that have ended and are not on the machine any more, and goneAt the same in the order they went.
	gone   map[ecs.TaskID]acs.TaskState
	goneAt []departure
}

type departure struct {
	at time.Time
	id ecs.TaskID
}

// New makes an engine; Run must run for it to do anything.
func New(cfg Config) *Engine {
	if cfg.StopTimeout == 0 {
		cfg.StopTimeout = 30 * time.Second
	}
	if cfg.LogGrace == 0 {
		cfg.LogGrace = 10 * time.Second
	}
	if cfg.LogsWait == 0 {
		cfg.LogsWait = 3 * time.Hour
	}
	if cfg.Starts == 0 {
		cfg.Starts = 2 * goruntime.NumCPU()
	}
	if cfg.RunDir == "" && cfg.DataDir != "" {
		cfg.RunDir = filepath.Join(cfg.DataDir, "run")
	}
	return &Engine{
		cfg: cfg, files: layout{cfg.DataDir, cfg.RunDir}, outbox: newOutbox(), starts: newQueue(), stops: newQueue(), removals: newQueue(), ready: make(chan struct{}),
		exposed: map[string]containerKey{}, roles: map[string]metadata.Role{},
		tasks: map[ecs.TaskID]*task{}, definitions: map[ecs.DefinitionID]*ecs.TaskDefinition{},
		gone: map[ecs.TaskID]acs.TaskState{},
	}
}

// Run finds out what is on the machine and then runs tasks until ctx ends. It leaves their containers running. It may be
// called once.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.ctx = ctx
	if err := e.recover(ctx); err != nil {
		cancel()
		e.wait()
		return fmt.Errorf("find the tasks of an earlier run: %w", err)
	}
	for q, workers := range map[*queue]int{e.starts: e.cfg.Starts, e.stops: stopWorkers, e.removals: removalWorkers} {
		for range workers {
			e.spawn(func() { q.run(ctx) })
		}
	}
	close(e.ready)
	<-ctx.Done()
	e.wait()
	e.closeShipments()
	return nil
}

// spawn runs f as one of the goroutines that Run waits for. At Run's end it does nothing any more: a session can still bring
// work then, which the next run finds in the journal.
func (e *Engine) spawn(f func()) {
	e.ending.Lock()
	defer e.ending.Unlock()
	if !e.ended {
		e.background.Go(f)
	}
}

// wait waits for all that was spawned.
func (e *Engine) wait() {
	e.ending.Lock()
	e.ended = true
	e.ending.Unlock()
	e.background.Wait()
}

func (e *Engine) closeShipments() {
	for _, t := range e.all() {
		t.mu.Lock()
		for i := range t.live {
			if s := t.live[i].shipment; s != nil {
				s.Close()
			}
		}
		t.mu.Unlock()
	}
}

func (e *Engine) all() []*task {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*task, 0, len(e.tasks))
	for _, t := range e.tasks {
		list = append(list, t)
	}
	return list
}

func (e *Engine) find(id ecs.TaskID) *task {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tasks[id]
}

// Ready is closed once the engine takes work.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// Tasks counts the tasks on the machine, those that have ended and are not yet reported or removed among them.
func (e *Engine) Tasks() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.tasks)
}

// Apply takes what the server wants. With whole, m is all there should be: other tasks end unreported. When it returns nil
// all of it is journalled and may be acknowledged. A message that is applied again changes nothing.
func (e *Engine) Apply(ctx context.Context, m *acs.Tasks, whole bool) error {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return fmt.Errorf("apply tasks: %w", ctx.Err())
	}
	e.learn(m.Definitions, whole)
	if whole {
		e.forgetOthers(m)
	}
	// Stops come first: they free what a new task may need.
	for _, id := range m.Stop {
		e.stopTask(id)
	}
	for i := range m.Run {
		e.runTask(&m.Run[i])
	}
	return nil
}

// learn takes up a message's definitions. A server gives each once in a connection, and begins again with a sync.
func (e *Engine) learn(definitions []*ecs.TaskDefinition, anew bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if anew {
		// Those in use are taken from the tasks, so that what is in memory stays shared.
		clear(e.definitions)
		for _, t := range e.tasks {
			e.definitions[t.run.Definition] = t.definition
		}
	}
	for _, d := range definitions {
		if d != nil && e.definitions[d.ID()] == nil {
			e.definitions[d.ID()] = d
		}
	}
}

// forgetOthers ends the tasks that the server does not know.
func (e *Engine) forgetOthers(m *acs.Tasks) {
	known := make(map[ecs.TaskID]bool, len(m.Run)+len(m.Stop))
	for _, id := range m.Stop {
		known[id] = true
	}
	for i := range m.Run {
		known[m.Run[i].ID] = true
	}
	for _, t := range e.all() {
		if known[t.run.ID] {
			continue
		}
		t.mu.Lock()
		if !t.state.Forgotten {
			e.cfg.Log.Warn("the server does not know a task; it ends", "task", t.run.ID)
			t.state.Forgotten, t.seen.settled = true, true
			t.desireStop("", "")
			t.dirty = true
			e.advance(t)
		}
		t.mu.Unlock()
	}
}

// stopTask ends a task. One that is not here is reported as ended: nothing of it can be running.
func (e *Engine) stopTask(id ecs.TaskID) {
	t := e.find(id)
	if t == nil {
		e.outbox.put(&absent{e.remembered(id)})
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen.finished {
		t.news = true
	}
	t.desireStop("", "")
	e.advance(t)
}

// remembered is what is known of a task that is not here.
func (e *Engine) remembered(id ecs.TaskID) acs.TaskState {
	e.mu.Lock()
	defer e.mu.Unlock()
	if state, ok := e.gone[id]; ok {
		return state
	}
	return acs.TaskState{ID: id, Status: ecs.TaskStopped}
}

// runTask takes a new task up; one that is here already goes on as it is.
func (e *Engine) runTask(run *acs.RunTask) {
	if t := e.find(run.ID); t != nil {
		t.mu.Lock()
		if run.Known != t.status() && t.status() > ecs.TaskPending {
			t.news = true
			e.advance(t)
		}
		t.mu.Unlock()
		return
	}
	if past := e.remembered(run.ID); past.Containers != nil {
		e.outbox.put(&absent{past})
		return
	}
	if run.Known > ecs.TaskPending {
		e.cfg.Log.Error("a task that ran here is lost", "task", run.ID)
		e.outbox.put(absentTask(run.ID, "", "The container instance has lost the task: neither its journal nor its containers are there"))
		return
	}
	if err := e.accept(run); err != nil {
		e.cfg.Log.Error("task refused", "task", run.ID, "err", err)
		e.outbox.put(absentTask(run.ID, ecs.StopTaskFailedToStart, shorten(err.Error())))
	}
}

// accept journals a new task and sets it going.
func (e *Engine) accept(run *acs.RunTask) error {
	e.mu.Lock()
	def := e.definitions[run.Definition]
	e.mu.Unlock()
	if def == nil {
		return fmt.Errorf("the server did not send task definition %s", run.Definition)
	}
	t, err := newTask(*run, def)
	if err != nil {
		return err
	}
	t.engine = e
	if err := e.cfg.Journal.Create(&journal.Record{Task: t.run, Definition: def, State: t.state}); err != nil {
		return fmt.Errorf("ResourceInitializationError: %w", err)
	}
	e.mu.Lock()
	e.tasks[run.ID] = t
	e.expose(t)
	e.mu.Unlock()
	e.cfg.Log.Debug("task accepted", "task", run.ID, "definition", run.Definition)
	t.mu.Lock()
	defer t.mu.Unlock()
	e.advance(t)
	return nil
}
