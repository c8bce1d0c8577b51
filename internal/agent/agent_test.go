package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	domain "roadstead.dev/roadstead/internal/ecs"
)

// onFakeTime runs a test with a scripted server and a machine, all in one bubble.
func onFakeTime(t *testing.T, f func(t *testing.T, b *box)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, done := newBox(t, dir)
		defer done()
		f(t, b)
	})
}

func TestAgentRunsTasks(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		cfg := b.config()
		cfg.Attributes = []domain.Attribute{{Name: "rack", Value: "7"}}
		connected := 0
		cfg.OnConnected = func() { connected++ }
		stop := b.boot(cfg)
		p := b.server.accept()
		checkRegistration(t, b.server.callsOf("RegisterContainerInstance")[0].body)
		if p.query["containerInstanceArn"] != testARN || p.query["roadstead"] != "1" || p.query["protocolVersion"] != "2" || p.query["agentVersion"] != "1.2.3" {
			t.Errorf("query: %v", p.query)
		}
		p.tasks(acs.TypeSync, &acs.Tasks{})
		p.send(acs.TypeHeartbeat, acs.Heartbeat{MessageID: "h-1", Healthy: true})
		if beat := expect[acs.HeartbeatAck](p, acs.TypeHeartbeatAck); beat.MessageID != "h-1" {
			t.Errorf("heartbeat: %+v", beat)
		}
		synctest.Wait()
		if connected != 1 {
			t.Errorf("said %d times that it is connected", connected)
		}
		d, run := task("serve", "serve")
		p.tasks(acs.TypeTasks, runMessage(d, run))
		s := p.until(run.ID, domain.TaskRunning)
		if len(s.Containers) != 2 || s.StartedAt == 0 {
			t.Errorf("running: %+v", s)
		}
		p.tasks(acs.TypeTasks, &acs.Tasks{Stop: []domain.TaskID{run.ID}})
		s = p.until(run.ID, domain.TaskStopped)
		if *s.Containers[0].ExitCode != 143 {
			t.Errorf("stopped: %+v", s)
		}
		synctest.Wait()
		if list, _ := b.runtime.List(context.Background()); len(list) != 0 {
			t.Errorf("%d containers are left", len(list))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func checkRegistration(t *testing.T, body map[string]any) {
	t.Helper()
	names := map[string]any{}
	for _, a := range body["attributes"].([]any) {
		m := a.(map[string]any)
		names[m["name"].(string)] = m["value"]
	}
	for _, want := range []string{acs.CapabilityNative, "com.amazonaws.ecs.capability.docker-remote-api.1.18", "com.amazonaws.ecs.capability.logging-driver.json-file", "ecs.os-type"} {
		if _, ok := names[want]; !ok {
			t.Errorf("registered without %s", want)
		}
	}
	if names["rack"] != "7" {
		t.Errorf("custom attribute: %v", names["rack"])
	}
	for _, never := range []string{"com.amazonaws.ecs.capability.logging-driver.awslogs", "ecs.capability.efs", "ecs.capability.task-eni"} {
		if _, ok := names[never]; ok {
			t.Errorf("registered with %s, which it cannot do", never)
		}
	}
	for _, r := range body["totalResources"].([]any) {
		m := r.(map[string]any)
		switch m["name"] {
		case "CPU":
			if m["integerValue"] != 2048.0 {
				t.Errorf("CPU: %v", m)
			}
		case "PORTS_UDP":
			if set := m["stringSetValue"].([]any); len(set) != 1 || set[0] != "53" {
				t.Errorf("PORTS_UDP: %v", m)
			}
		}
	}
}

// TestRestart kills the agent in all but name: it ends while tasks run, one of them ends meanwhile, and the next agent knows
// the instance, the running task and the exit code.
func TestRestart(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		cfg := b.config()
		cfg.Attributes = []domain.Attribute{{Name: "rack", Value: "7"}}
		stop := b.boot(cfg)
		p := b.server.accept()
		p.tasks(acs.TypeSync, &acs.Tasks{})
		d, keeps := task("serve")
		_, ends := task("sleep 60")
		d2 := *d
		d2.Revision, d2.ContainerDefinitions = 2, []domain.ContainerDefinition{{Name: "a", Image: "busybox", Command: []string{"fake", "after=60s", "exit=9"}}}
		ends.Definition = d2.ID()
		p.tasks(acs.TypeTasks, &acs.Tasks{Definitions: []*domain.TaskDefinition{d, &d2}, Run: []acs.RunTask{keeps, ends}})
		states := map[domain.TaskID]acs.TaskState{}
		for len(states) < 2 {
			for _, s := range p.states() {
				states[s.ID] = s
			}
		}
		p.conn.CloseNow()
		stop()
		time.Sleep(2 * time.Minute) // fake time

		stop = b.boot(cfg)
		p = b.server.accept()
		calls := b.server.callsOf("RegisterContainerInstance")
		again := calls[len(calls)-1].body
		if again["containerInstanceArn"] != testARN {
			t.Errorf("registered as %v", again["containerInstanceArn"])
		}
		for _, a := range again["attributes"].([]any) {
			if a.(map[string]any)["name"] == "rack" {
				t.Error("custom attributes are sent again")
			}
		}
		after := map[domain.TaskID]acs.TaskState{}
		for len(after) < 2 {
			for _, s := range p.states() {
				after[s.ID] = s
			}
		}
		if s := after[keeps.ID]; s.Status != domain.TaskRunning || s.StartedAt != states[keeps.ID].StartedAt || s.Containers[0].RuntimeID != states[keeps.ID].Containers[0].RuntimeID {
			t.Errorf("the running task: %+v, was %+v", s, states[keeps.ID])
		}
		if s := after[ends.ID]; s.Status != domain.TaskStopped || *s.Containers[0].ExitCode != 9 || s.StopCode != domain.StopEssentialContainerExit {
			t.Errorf("the task that ended meanwhile: %+v", s)
		}
		p.tasks(acs.TypeSync, &acs.Tasks{Stop: []domain.TaskID{keeps.ID}})
		p.until(keeps.ID, domain.TaskStopped)
		p.conn.CloseNow()
		stop()
	})
}

func TestServerAway(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		stop := b.boot(b.config())
		p := b.server.accept()
		d, run := task("sleep 7200", "serve")
		off := false
		d.ContainerDefinitions[1].Essential = &off
		p.tasks(acs.TypeSync, runMessage(d, run))
		p.until(run.ID, domain.TaskRunning)
		b.server.script(func(op string, w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"__type":"ServiceUnavailableException"}`)
			return true
		})
		p.conn.CloseNow()
		time.Sleep(5 * time.Hour) // fake time: the task ends in it
		b.server.script(nil)
		p = b.server.accept()
		s := p.states()
		if len(s) != 1 || s[0].ID != run.ID || s[0].Status != domain.TaskStopped || s[0].StartedAt == 0 {
			t.Errorf("after hours away: %+v", s)
		}
		p.conn.CloseNow()
		stop()
	})
}

func TestBackoff(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		refuse := func(op string, w http.ResponseWriter) bool {
			if op == "ws" {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"ServerException":"not now"}`)
			}
			return op == "ws"
		}
		b.server.script(refuse)
		stop := b.boot(b.config())
		time.Sleep(30 * time.Minute)
		b.server.mu.Lock()
		dials := b.server.dials
		b.server.mu.Unlock()
		base := float64(backoffFirst)
		for i := 1; i < len(dials); i++ {
			wait := float64(dials[i].Sub(dials[i-1]))
			if wait < base*0.8 || wait > base*1.2 {
				t.Errorf("wait %d is %v, want about %v", i, time.Duration(wait), time.Duration(base))
			}
			base = min(base*1.5, float64(backoffMost))
		}
		if len(dials) < 25 || len(dials) > 40 {
			t.Errorf("%d tries in half an hour", len(dials))
		}
		b.server.script(nil)
		p := b.server.accept()
		for range 10 {
			time.Sleep(30 * time.Second)
			p.send(acs.TypeHeartbeat, acs.Heartbeat{MessageID: "h"})
			expect[acs.HeartbeatAck](p, acs.TypeHeartbeatAck)
		}
		begin := time.Now()
		p.conn.CloseNow()
		p = b.server.accept()
		if wait := time.Since(begin); wait > 400*time.Millisecond {
			t.Errorf("%v to come back after a good session", wait)
		}
		p.conn.CloseNow()
		stop()
	})
}

func TestSilentServerIsLeft(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		stop := b.boot(b.config())
		b.server.accept()
		begin := time.Now()
		p := b.server.accept()
		if wait := time.Since(begin); wait < silence || wait > silence+time.Second {
			t.Errorf("left after %v", wait)
		}
		p.conn.CloseNow()
		stop()
	})
}

func TestRefusals(t *testing.T) {
	refuse := func(name string) func(string, http.ResponseWriter) bool {
		return func(op string, w http.ResponseWriter) bool {
			if op == "ws" {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"`+name+`":"go away"}`)
			}
			return op == "ws"
		}
	}
	t.Run("an unknown instance registers anew", func(t *testing.T) {
		onFakeTime(t, func(t *testing.T, b *box) {
			b.server.script(refuse("InvalidInstanceException"))
			stop := b.boot(b.config())
			time.Sleep(10 * time.Second)
			calls := b.server.callsOf("RegisterContainerInstance")
			if len(calls) < 2 || calls[1].body["containerInstanceArn"] != nil {
				t.Errorf("registrations: %v", calls)
			}
			stop()
		})
	})
	t.Run("a deregistered one stays away for an hour", func(t *testing.T) {
		onFakeTime(t, func(t *testing.T, b *box) {
			b.server.script(refuse("InactiveInstanceException"))
			stop := b.boot(b.config())
			time.Sleep(50 * time.Minute)
			if n := len(b.server.callsOf("DiscoverPollEndpoint")); n != 1 {
				t.Errorf("%d connections in the first hour", n)
			}
			time.Sleep(20 * time.Minute)
			if n := len(b.server.callsOf("DiscoverPollEndpoint")); n != 2 {
				t.Errorf("%d connections after it", n)
			}
			stop()
		})
	})
	t.Run("what is wrong for good ends the agent", func(t *testing.T) {
		onFakeTime(t, func(t *testing.T, b *box) {
			b.server.script(func(op string, w http.ResponseWriter) bool {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"__type":"InvalidParameterException","message":"no"}`)
				return true
			})
			stop := b.boot(b.config())
			time.Sleep(time.Minute)
			if err := stop(); !errors.Is(err, ErrFatal) {
				t.Errorf("ended with %v", err)
			}
		})
	})
	t.Run("the default cluster is made", func(t *testing.T) {
		onFakeTime(t, func(t *testing.T, b *box) {
			b.server.script(func(op string, w http.ResponseWriter) bool {
				if op != "RegisterContainerInstance" || len(b.server.callsOf("CreateCluster")) > 0 {
					return false
				}
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"__type":"ClientException","message":"Cluster not found."}`)
				return true
			})
			cfg := b.config()
			cfg.Cluster = ""
			stop := b.boot(cfg)
			b.server.accept().conn.CloseNow()
			stop()
		})
	})
	t.Run("another cluster wants another data directory", func(t *testing.T) {
		onFakeTime(t, func(t *testing.T, b *box) {
			stop := b.boot(b.config())
			b.server.accept().conn.CloseNow()
			stop()
			cfg := b.config()
			cfg.Cluster = "other"
			stop = b.boot(cfg)
			time.Sleep(time.Minute)
			if err := stop(); !errors.Is(err, ErrFatal) {
				t.Errorf("ended with %v", err)
			}
		})
	})
}

func TestUnknownTasks(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		stop := b.boot(b.config())
		p := b.server.accept()
		d, run := task("serve")
		p.tasks(acs.TypeSync, runMessage(d, run))
		p.until(run.ID, domain.TaskRunning)

		stray := domain.NewTaskID()
		_, lost := task("serve")
		lost.Known = domain.TaskRunning
		_, undefined := task("serve")
		undefined.Definition.Revision = 99
		p.tasks(acs.TypeTasks, &acs.Tasks{Run: []acs.RunTask{lost, undefined}, Stop: []domain.TaskID{stray}})
		got := map[domain.TaskID]acs.TaskState{}
		for len(got) < 3 {
			for _, s := range p.states() {
				got[s.ID] = s
			}
		}
		if s := got[stray]; s.Status != domain.TaskStopped {
			t.Errorf("stop of an unknown task: %+v", s)
		}
		if s := got[lost.ID]; s.Status != domain.TaskStopped || !strings.Contains(s.Reason, "lost") {
			t.Errorf("a lost task: %+v", s)
		}
		if s := got[undefined.ID]; s.Status != domain.TaskStopped || s.StopCode != domain.StopTaskFailedToStart {
			t.Errorf("a task without a definition: %+v", s)
		}
		// A sync without the running task: it ends, and nothing is said of it.
		p.tasks(acs.TypeSync, &acs.Tasks{})
		synctest.Wait()
		if list, _ := b.runtime.List(context.Background()); len(list) != 0 {
			t.Errorf("%d containers run that the server does not know", len(list))
		}
		if !p.silent(acs.TypeStates) {
			t.Error("a task that the server does not know is reported")
		}
		p.conn.CloseNow()
		stop()
	})
}

func TestGarbageDoesNotEndTheSession(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		stop := b.boot(b.config())
		p := b.server.accept()
		for _, frame := range []string{
			"", "{", "null", "[]", `"x"`, `{"type":"RoadsteadTasksMessage"}`, `{"type":"RoadsteadTasksMessage","message":[]}`,
			`{"type":"RoadsteadTasksMessage","message":{"run":[{"id":"zz"}]}}`, `{"type":"RoadsteadTasksMessage","message":{"run":{}}}`,
			`{"type":"PayloadMessage","message":{}}`, `{"type":"HeartbeatMessage","message":{"messageId":7}}`, "\x00\xff\xfe",
			strings.Repeat(`{"type":`, 100000), `{"type":"RoadsteadStatesAck","message":{"messageId":"never sent"}}`,
			`{"type":"RoadsteadTasksMessage","message":{"messageId":"nulls","definitions":[null]}}`,
		} {
			if strings.Contains(frame, "\xff") {
				// Not text: the library may refuse it at the framing.
				if err := p.conn.Write(context.Background(), websocket.MessageBinary, []byte(frame)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			p.raw(frame)
		}
		if ack := expect[acs.TasksAck](p, acs.TypeTasksAck); ack.MessageID != "nulls" {
			t.Errorf("acknowledged %q", ack.MessageID)
		}
		d, run := task("serve")
		p.tasks(acs.TypeTasks, runMessage(d, run))
		p.until(run.ID, domain.TaskRunning)
		p.conn.CloseNow()
		stop()
	})
}

func TestHugeFrame(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		stop := b.boot(b.config())
		p := b.server.accept()
		p.conn.Write(context.Background(), websocket.MessageText, make([]byte, acs.MaxFrame+2))
		p = b.server.accept()
		p.tasks(acs.TypeSync, &acs.Tasks{})
		p.conn.CloseNow()
		stop()
	})
}

// TestUnreliableServer drops connections at bad moments, says things twice and acknowledges what was never sent: each task is
// still run once and reported to its end.
func TestUnreliableServer(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		stop := b.boot(b.config())
		p := b.server.accept()
		d, run := task("serve")
		msg := runMessage(d, run)
		p.tasks(acs.TypeSync, msg)
		p.tasks(acs.TypeTasks, msg) // twice
		first := expect[acs.States](p, acs.TypeStates)
		p.send(acs.TypeStatesAck, acs.StatesAck{MessageID: "s-77"})
		p.conn.CloseNow() // not acknowledged

		p = b.server.accept()
		again := expect[acs.States](p, acs.TypeStates)
		if again.Tasks[0].ID != first.Tasks[0].ID || again.Tasks[0].Status != domain.TaskRunning {
			t.Errorf("sent again: %+v", again)
		}
		p.send(acs.TypeStatesAck, acs.StatesAck{MessageID: again.MessageID})
		p.send(acs.TypeStatesAck, acs.StatesAck{MessageID: again.MessageID})
		// Half a message, then nothing.
		w, err := p.conn.Writer(context.Background(), websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(`{"type":"RoadsteadTasksMessage","message":{"messageId":"half","stop":["`))
		p.conn.CloseNow()

		p = b.server.accept()
		run.Known = domain.TaskRunning
		p.tasks(acs.TypeSync, runMessage(d, run))
		p.tasks(acs.TypeTasks, &acs.Tasks{Stop: []domain.TaskID{run.ID}})
		p.until(run.ID, domain.TaskStopped)
		// The server's view was a little behind: the task is asked for once more, and its end is told once more.
		run.Known = domain.TaskPending
		p.tasks(acs.TypeTasks, runMessage(d, run))
		if s := p.until(run.ID, domain.TaskStopped); len(s.Containers) != 1 || s.Containers[0].ExitCode == nil {
			t.Errorf("told once more: %+v", s)
		}
		if n := b.images.Asked(); n != 1 {
			t.Errorf("the image was pulled %d times, the task has run more than once", n)
		}
		p.conn.CloseNow()
		stop()
	})
}

// TestStopWithADeafServer ends the agent while the server reads nothing and answers no close.
func TestStopWithADeafServer(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		deaf := make(chan struct{})
		b.server.mu.Lock()
		b.server.deaf = deaf
		b.server.mu.Unlock()
		stop := b.boot(b.config())
		b.server.accept()
		synctest.Wait()
		begin := time.Now()
		stop()
		if took := time.Since(begin); took > 2*farewell {
			t.Errorf("the agent took %v to stop", took)
		}
		close(deaf)
	})
}

// TestRegistrationRepeated: until the server has said which instance a machine is, each try is the same registration, over
// restarts too; one that follows it is another.
func TestRegistrationRepeated(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		var tries atomic.Int32
		b.server.script(func(op string, w http.ResponseWriter) bool {
			if op != "RegisterContainerInstance" {
				return false
			}
			if n := tries.Add(1); n%2 == 0 {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"__type":"ClientException","message":"Cluster not found."}`)
			}
			return true // with nothing: an answer that was cut off
		})
		stop := b.boot(b.config())
		time.Sleep(10 * time.Second)
		stop()
		stop = b.boot(b.config())
		time.Sleep(10 * time.Second)
		b.server.script(nil)
		b.server.accept().conn.CloseNow()
		stop()
		b.server.script(func(op string, w http.ResponseWriter) bool {
			if op == "ws" {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"InvalidInstanceException":"go away"}`)
			}
			return op == "ws"
		})
		stop = b.boot(b.config())
		time.Sleep(10 * time.Second)
		stop()

		calls := b.server.callsOf("RegisterContainerInstance")
		token, _ := calls[0].body["clientToken"].(string)
		first := 0
		for _, c := range calls {
			if c.body["containerInstanceArn"] != nil {
				break
			}
			if first++; c.body["clientToken"] != token || token == "" {
				t.Errorf("a try with %v, the first with %q", c.body["clientToken"], token)
			}
		}
		if first < 6 {
			t.Errorf("%d tries", first)
		}
		rest := calls[first:]
		if len(rest) < 2 || rest[0].body["clientToken"] != nil || rest[1].body["clientToken"] == nil || rest[1].body["clientToken"] == token {
			t.Errorf("later: %v", rest)
		}
	})
}

// TestAgentTellsOfItsMachine: after each heartbeat the agent says how its runtime is, and since when.
func TestAgentTellsOfItsMachine(t *testing.T) {
	onFakeTime(t, func(t *testing.T, b *box) {
		defer b.boot(b.config())()
		p := b.server.accept()
		p.tasks(acs.TypeSync, &acs.Tasks{})
		status := func() acs.StatusResult {
			t.Helper()
			p.send(acs.TypeHeartbeat, acs.Heartbeat{MessageID: "h", Healthy: true})
			s := expect[acs.InstanceStatus](p, acs.TypeInstanceStatus)
			if len(s.Statuses) != 1 || s.Statuses[0].Type != acs.CheckContainerRuntime {
				t.Fatalf("%+v", s)
			}
			return s.Statuses[0]
		}
		first := status()
		time.Sleep(20 * time.Second)
		second := status()
		if first.Status != domain.CheckOK || second.Status != domain.CheckOK || second.LastStatusChange != first.LastStatusChange || second.LastUpdated < first.LastUpdated+20 {
			t.Errorf("%+v, %+v", first, second)
		}
	})
}

// deadRuntime answers nothing until it is let go.
type deadRuntime struct {
	runtime.Runtime
	let chan struct{}
	err error
}

func (d *deadRuntime) List(context.Context) ([]*runtime.Status, error) {
	<-d.let
	return nil, d.err
}

func TestCheckup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadRuntime{let: make(chan struct{}), err: errors.New("broken")}
		c := newCheckup(d)
		begin := time.Now()
		hung, ok := c.run(t.Context())
		if !ok || hung.Statuses[0].Status != domain.CheckImpaired || time.Since(begin) != checkTimeout || !strings.Contains(hung.Statuses[0].Reason, "no answer") {
			t.Errorf("hung: %+v", hung)
		}
		if _, ok := c.run(t.Context()); ok {
			t.Error("a second check beside one that hangs")
		}
		close(d.let)
		synctest.Wait()
		time.Sleep(time.Minute)
		failed, _ := c.run(t.Context())
		if r := failed.Statuses[0]; r.Status != domain.CheckImpaired || r.Reason != "broken" || r.LastStatusChange != hung.Statuses[0].LastStatusChange {
			t.Errorf("failed: %+v", r)
		}
		d.err = nil
		if well, _ := c.run(t.Context()); well.Statuses[0].Status != domain.CheckOK || well.Statuses[0].LastStatusChange == hung.Statuses[0].LastStatusChange || well.Statuses[0].Reason != "" {
			t.Errorf("well again: %+v", well)
		}
	})
}
