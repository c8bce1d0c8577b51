package nodelink

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

// Bounds of a session with Amazon's agent.
const (
	// window is how many messages it may have before it that it has not acknowledged.
	window = 32
	// patience is how long one is waited for; the task is sent again then if nothing has been heard of it.
	patience = time.Minute
	// sequences are reserved so many at a time, since a server that starts again must not give a number twice.
	sequences = 1000
	// life is how long a connection lasts at most, as at Amazon; the agent comes back at once.
	life = 30 * time.Minute
	// roleLife is how long credentials of roles last; they are renewed after a third of it.
	roleLife = 6 * time.Hour
	// expired is said, with a normal closure, when a connection has lasted long enough.
	expired = "ConnectionExpired: Reconnect to continue"
)

// foreign is a session of Amazon's own agent, which takes tasks one by one, in Docker's terms, and reports by calls of the
// API. What is to be sent is kept as tasks' ids: how a task is then is looked up when its turn comes.
type foreign struct {
	*line
	cluster string
	// endpoint is this server's address, as the agent has it.
	endpoint string
	// forgetful: the agent has just started, and keeps credentials in memory alone.
	forgetful bool

	// The rest is guarded by mu. starts and stops are what is due, in order; listed has the ids in either.
	starts, stops []ecs.TaskID
	listed        map[ecs.TaskID]bool
	// manifest says that the whole truth is to be told, after what is due now.
	manifest bool
	// lend are credentials that are due, and asking those that were sent.
	lend   []loan
	asking asking
	// waiting are the messages that are not acknowledged, by id.
	waiting map[string]sent
	// update is what was sent of an update of the agent itself.
	update updating
	// sequence is the last number given, and reserved the last that may be given.
	sequence, reserved int64
}

type sent struct {
	task ecs.TaskID
	at   time.Time
}

func newForeign(l *line, cluster, endpoint string, forgetful bool) *foreign {
	return &foreign{line: l, cluster: cluster, endpoint: endpoint, forgetful: forgetful, listed: map[ecs.TaskID]bool{}, waiting: map[string]sent{}, asking: asking{}}
}

// endpointOf is the server as the agent of a request calls it.
func endpointOf(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// sync has those tasks sent that the agent may not have, or may not have stopped: it takes a task that it has for nothing new.
func (f *foreign) sync(view *state.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t := range view.Tasks.OnInstance(f.instance) {
		if f.forgetful {
			f.srv.loans.forget(t.ID)
		}
		switch {
		case t.LastStatus >= ecs.TaskStopped:
		case t.DesiredStatus == ecs.TaskStopped:
			f.due(&f.stops, t.ID)
		case t.LastStatus < ecs.TaskRunning:
			f.due(&f.starts, t.ID)
		}
	}
	f.renew(view)
	f.manifest = true
	f.poke()
}

func (f *foreign) run(_ *state.View, t *ecs.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due(&f.starts, t.ID)
	f.poke()
}

func (f *foreign) stop(t *ecs.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// It may be listed to be started; then it is looked at twice, and told to stop twice at most.
	delete(f.listed, t.ID)
	f.due(&f.stops, t.ID)
	f.poke()
}

func (f *foreign) due(list *[]ecs.TaskID, id ecs.TaskID) {
	if !f.listed[id] {
		f.listed[id] = true
		*list = append(*list, id)
	}
}

// ended takes a task out of the window: the agent acknowledges no message with a task that it could not read, and reports
// the task STOPPED.
func (f *foreign) ended(id ecs.TaskID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for message, w := range f.waiting {
		if w.task == id {
			delete(f.waiting, message)
		}
	}
	f.asking.drop(id)
	f.poke()
}

func (f *foreign) serve(ctx context.Context) error {
	return f.line.serve(ctx, func(ctx context.Context) error { return f.read(ctx, f.receive) }, f.write)
}

func (f *foreign) write(ctx context.Context) error {
	beat := time.NewTicker(f.srv.cfg.Heartbeat)
	defer beat.Stop()
	// Agents that came at once do not all go at once.
	over := time.NewTimer(life - rand.N(life/6))
	defer over.Stop()
	// Something is said at once, whether there are tasks or not: the agent takes it that it is connected.
	if err := f.heartbeat(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-over.C:
			return f.conn.Close(websocket.StatusNormalClosure, expired)
		case <-beat.C:
			f.remind()
			f.mu.Lock()
			f.renew(f.srv.cfg.Store.View())
			f.mu.Unlock()
			if err := f.giveUpInterfaces(ctx); err != nil {
				return err
			}
			if err := f.heartbeat(ctx); err != nil {
				return err
			}
		case <-f.wake:
		}
		err := f.sendDue(ctx)
		if err == nil {
			err = f.sendUpdate(ctx)
		}
		if err != nil {
			// Cut off without a word, the agent would be back at once, and again.
			f.end("the server cannot go on: " + err.Error())
			return err
		}
	}
}

// remind has tasks sent again that were not acknowledged for long.
func (f *foreign) remind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for message, w := range f.waiting {
		if time.Since(w.at) > patience {
			delete(f.waiting, message)
			if !w.task.IsZero() {
				f.due(&f.starts, w.task)
			}
		}
	}
}

// renew makes those credentials due, of the tasks that the agent has, that are not fresh. f.mu is held.
func (f *foreign) renew(view *state.View) {
	if f.srv.cfg.Lend == nil {
		return
	}
	now := time.Now()
	f.lend = f.lend[:0]
	for t := range view.Tasks.OnInstance(f.instance) {
		def := view.Definitions.Get(t.Definition)
		if def == nil || t.LastStatus < ecs.TaskRunning || t.LastStatus >= ecs.TaskStopped {
			continue
		}
		for _, which := range []loan{{t.ID, payload.RoleTypeTask}, {t.ID, payload.RoleTypeExecution}} {
			if roleOf(t, def, which) != "" && !f.srv.loans.fresh(which, now) && !f.asking.pending(which, now) {
				f.lend = append(f.lend, which)
			}
		}
	}
}

func roleOf(t *ecs.Task, def *ecs.TaskDefinition, which loan) string {
	task, execution := def.Roles(t.Overrides)
	if which.roleType == payload.RoleTypeExecution {
		return execution
	}
	return task
}

// sendDue sends what is due, as far as the window allows: stops first, since they free what a start may need.
func (f *foreign) sendDue(ctx context.Context) error {
	for {
		id, which, kind := f.next()
		var err error
		switch kind {
		case dueNothing:
			return nil
		case dueTask:
			err = f.sendTask(ctx, id)
		case dueCredentials:
			err = f.sendCredentials(ctx, which)
		case dueManifest:
			err = f.sendManifest(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// due is a kind of message.
type due int

const (
	dueNothing due = iota
	dueTask
	dueCredentials
	dueManifest
)

// next is what is to be sent: a task, a loan or the manifest.
func (f *foreign) next() (ecs.TaskID, loan, due) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) >= window {
		return ecs.TaskID{}, loan{}, dueNothing
	}
	for _, list := range []*[]ecs.TaskID{&f.stops, &f.starts} {
		if len(*list) > 0 {
			id := (*list)[0]
			*list = (*list)[1:]
			delete(f.listed, id)
			return id, loan{}, dueTask
		}
	}
	if len(f.lend) > 0 {
		which := f.lend[0]
		f.lend = f.lend[1:]
		return ecs.TaskID{}, which, dueCredentials
	}
	if f.manifest {
		f.manifest = false
		return ecs.TaskID{}, loan{}, dueManifest
	}
	return ecs.TaskID{}, loan{}, dueNothing
}

// sendTask tells the agent what is desired of a task now.
func (f *foreign) sendTask(ctx context.Context, id ecs.TaskID) error {
	view := f.srv.cfg.Store.View()
	t := view.Tasks.Get(id)
	if t == nil || t.LastStatus >= ecs.TaskStopped || t.Instance != f.instance {
		return nil
	}
	message := payload.Stop(f.srv.cfg.Place, t)
	if t.DesiredStatus < ecs.TaskStopped {
		i, err := f.ownInterface(view, t)
		if err == nil && i != nil && awaits(t) {
			return f.sendInterface(ctx, t, i)
		}
		if err == nil {
			message, err = f.start(view, t, i)
		}
		if err != nil {
			return f.giveUp(ctx, t, err)
		}
	}
	n, err := f.number(ctx)
	if err != nil {
		return err
	}
	e := f.envelope()
	f.mu.Lock()
	f.waiting[e.MessageID] = sent{id, time.Now()}
	f.mu.Unlock()
	return f.send(ctx, payload.TypePayload, payload.Message{Envelope: e, SeqNum: n, Timeline: n, Tasks: []payload.Task{message}})
}

func (f *foreign) start(view *state.View, t *ecs.Task, own *payload.Interface) (payload.Task, error) {
	def := view.Definitions.Get(t.Definition)
	if def == nil {
		return payload.Task{}, fmt.Errorf("the task definition %s is not there any more", t.Definition)
	}
	terms := payload.Terms{Place: f.srv.cfg.Place, Endpoint: f.endpoint, Interface: own}
	var err error
	if terms.Role, err = f.credentials(t, def, loan{t.ID, payload.RoleTypeTask}); err != nil {
		return payload.Task{}, err
	}
	if terms.Execution, err = f.credentials(t, def, loan{t.ID, payload.RoleTypeExecution}); err != nil {
		return payload.Task{}, err
	}
	return payload.Start(terms, t, def)
}

// credentials makes a task's of a role, which the agent will acknowledge; nil where it has none.
func (f *foreign) credentials(t *ecs.Task, def *ecs.TaskDefinition, which loan) (*payload.Credentials, error) {
	role := roleOf(t, def, which)
	if role == "" || f.srv.cfg.Lend == nil {
		return nil, nil
	}
	now := time.Now()
	expires := now.Add(roleLife)
	c, err := f.srv.cfg.Lend(t, role, which.roleType, expires)
	if err != nil {
		return nil, fmt.Errorf("credentials of role %s: %w", role, err)
	}
	f.mu.Lock()
	f.asking[c.ID] = asked{which, now, expires}
	f.mu.Unlock()
	return c, nil
}

// giveUp ends a task that Amazon's agent cannot be given, and says why.
func (f *foreign) giveUp(ctx context.Context, t *ecs.Task, why error) error {
	f.srv.cfg.Log.Warn("a task cannot run on Amazon's agent", "task", t.ID, "instance", f.instance, "err", why)
	return f.report(ctx, acs.TaskState{ID: t.ID, Status: ecs.TaskStopped, StopCode: ecs.StopTaskFailedToStart, Reason: "CannotCreateContainerError: " + why.Error()})
}

// report applies what is known of a task of the instance.
func (f *foreign) report(ctx context.Context, r acs.TaskState) error {
	return f.srv.cfg.Store.Update(ctx, func(tx *state.Tx) error {
		if t := tx.Tasks.Get(r.ID); t == nil || t.Instance != f.instance {
			return nil
		}
		return lifecycle.Report(tx, ecs.MillisOf(time.Now()), r)
	})
}

// sendCredentials gives a task new ones under the id that it knows.
func (f *foreign) sendCredentials(ctx context.Context, which loan) error {
	view := f.srv.cfg.Store.View()
	t := view.Tasks.Get(which.task)
	if t == nil || t.LastStatus >= ecs.TaskStopped {
		return nil
	}
	def := view.Definitions.Get(t.Definition)
	if def == nil {
		return nil
	}
	c, err := f.credentials(t, def, which)
	if err != nil {
		// Those that it has last for a while yet, and the next heartbeat tries again.
		f.srv.cfg.Log.Error("a task's credentials could not be renewed", "task", t.ID, "err", err)
		return nil
	}
	if c == nil {
		return nil
	}
	return f.send(ctx, payload.TypeCredentials, payload.CredentialsMessage{
		MessageID: f.srv.messageID(), TaskARN: f.srv.cfg.Place.TaskARN(t.Cluster, t.ID), TaskClusterARN: f.srv.cfg.Place.ClusterARN(t.Cluster), RoleType: which.roleType, Credentials: c,
	})
}

// lent takes an agent's word that it has credentials.
func (f *foreign) lent(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.asking[id]; ok {
		delete(f.asking, id)
		f.srv.loans.note(a.loan, a.expires)
	}
}

func (f *foreign) envelope() payload.Envelope {
	return payload.Envelope{
		MessageID: f.srv.messageID(), ClusterARN: f.srv.cfg.Place.ClusterARN(f.cluster),
		ContainerInstanceARN: f.srv.cfg.Place.InstanceARN(f.cluster, f.instance), GeneratedAt: time.Now().UnixMilli(),
	}
}

// number gives the next of the instance's numbers. Agents keep the highest that they have seen, over restarts of theirs and ours.
func (f *foreign) number(ctx context.Context) (int64, error) {
	if f.sequence == f.reserved {
		err := f.srv.cfg.Store.Update(ctx, func(tx *state.Tx) error {
			old := tx.Instances.Get(f.instance)
			if old == nil {
				return fmt.Errorf("instance %s is not there any more", f.instance)
			}
			i := *old
			i.Sequence += sequences
			f.sequence, f.reserved = old.Sequence, i.Sequence
			tx.Instances.Put(&i)
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("reserve numbers of messages: %w", err)
		}
	}
	f.sequence++
	return f.sequence, nil
}

func (f *foreign) receive(ctx context.Context, name string, body json.RawMessage) error {
	switch name {
	case acs.TypeHeartbeatAck:
		return nil
	case payload.TypeCredentialsAck:
		var ack payload.CredentialsAck
		if err := json.Unmarshal(body, &ack); err != nil {
			return f.refuse(err)
		}
		f.lent(ack.CredentialsID)
		return nil
	case payload.TypeAck, payload.TypeNack:
		var ack payload.Ack
		if err := json.Unmarshal(body, &ack); err != nil {
			return f.refuse(err)
		}
		if name == payload.TypeNack {
			f.srv.cfg.Log.Warn("an agent refuses a message", "instance", f.instance, "message", ack.MessageID, "reason", ack.Reason)
		}
		f.mu.Lock()
		delete(f.waiting, ack.MessageID)
		f.poke()
		f.mu.Unlock()
		return f.answered(ctx, ack.MessageID, name == payload.TypeAck)
	case payload.TypeStopVerification:
		var v payload.StopVerification
		if err := json.Unmarshal(body, &v); err != nil {
			return f.refuse(err)
		}
		return f.verifyStops(ctx, &v)
	default:
		f.srv.cfg.Log.Debug("unknown message from an agent", "instance", f.instance, "type", name)
		return nil
	}
}
