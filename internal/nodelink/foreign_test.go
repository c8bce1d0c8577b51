package nodelink

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

// newForeignFixture has an instance that Amazon's agent registered.
func newForeignFixture(t *testing.T, heartbeat time.Duration) *fixture {
	return asForeign(newFixture(t, heartbeat))
}

func asForeign(f *fixture) *fixture {
	f.def = &ecs.TaskDefinition{
		Family: "f", Revision: 2, Status: ecs.DefinitionActive, TaskRoleArn: "arn:aws:iam::000000000000:role/web",
		ContainerDefinitions: []ecs.ContainerDefinition{{Name: "c", Image: "i", Memory: new(int32(64))}},
	}
	f.update(func(tx *state.Tx) {
		i := *tx.Instances.Get(f.inst)
		i.Native = false
		tx.Instances.Put(&i)
		tx.Definitions.Put(f.def)
	})
	f.srv.cfg.Lend = func(t *ecs.Task, role, roleType string, expires time.Time) (*payload.Credentials, error) {
		if role == "arn:aws:iam::000000000000:role/none" {
			return nil, errors.New("no such role")
		}
		return &payload.Credentials{ID: t.ID.String() + roleType, RoleARN: role, Expiration: expires.UTC().Format(time.RFC3339)}, nil
	}
	return f
}

func (f *fixture) dialForeign(sendCredentials string) *agent {
	f.t.Helper()
	q := url.Values{
		"containerInstanceArn": {place.InstanceARN("default", f.inst)}, "sendCredentials": {sendCredentials}, "protocolVersion": {"2"}, "seqNum": {"1"},
		"agentVersion": {"1.105.1"}, "agentHash": {"a8b3e7d3"}, "dockerVersion": {"DockerVersion: 20.10.24+dfsg1"},
	}
	conn, _, err := websocket.Dial(f.t.Context(), f.url+"?"+q.Encode(), &websocket.DialOptions{HTTPClient: f.client, HTTPHeader: http.Header{"Authorization": {"let me in"}}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.CloseNow() })
	return &agent{f.t, conn}
}

func (a *agent) ack(id string) { a.send(payload.TypeAck, payload.Ack{MessageID: id}) }

// started expects a payload that starts a task and gives it.
func (f *fixture) started(a *agent, id ecs.TaskID) payload.Message {
	f.t.Helper()
	m := expect[payload.Message](a, payload.TypePayload)
	if len(m.Tasks) != 1 || m.Tasks[0].ARN != place.TaskARN("default", id) || m.Tasks[0].DesiredStatus != payload.DesiredRunning {
		f.t.Fatalf("payload %+v, want the start of %s", m, id)
	}
	if m.MessageID == "" || m.ClusterARN != place.ClusterARN("default") || m.ContainerInstanceARN != place.InstanceARN("default", f.inst) {
		f.t.Errorf("envelope %+v", m.Envelope)
	}
	return m
}

func (f *fixture) report(r acs.TaskState) {
	f.update(func(tx *state.Tx) {
		if err := lifecycle.Report(tx, 5, r); err != nil {
			f.t.Error(err)
		}
	})
}

func TestForeignLife(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	early := f.newTask()
	a := f.dialForeign("true")
	expect[acs.Heartbeat](a, acs.TypeHeartbeat)
	m := f.started(a, early)
	if c := m.Tasks[0].RoleCredentials; c == nil || c.ID != early.String()+payload.RoleTypeTask || m.Tasks[0].ExecutionCredentials != nil {
		t.Errorf("credentials %+v", c)
	}
	manifest := expect[payload.Manifest](a, payload.TypeManifest)
	if len(manifest.Tasks) != 1 || manifest.Tasks[0].TaskARN != m.Tasks[0].ARN || manifest.Tasks[0].DesiredStatus != payload.DesiredRunning {
		t.Errorf("manifest %+v", manifest)
	}
	a.ack(m.MessageID)
	late := f.newTask()
	next := f.started(a, late)
	if m.SeqNum >= manifest.Timeline || manifest.Timeline >= next.SeqNum || next.SeqNum != next.Timeline {
		t.Errorf("numbers %d, %d, %d", m.SeqNum, manifest.Timeline, next.SeqNum)
	}
	f.update(func(tx *state.Tx) { lifecycle.Stop(tx, 2, tx.Tasks.Get(late), ecs.StopUserInitiated, "") })
	if stop := expect[payload.Message](a, payload.TypePayload); len(stop.Tasks) != 1 || stop.Tasks[0].DesiredStatus != payload.DesiredStopped || stop.Tasks[0].Containers != nil {
		t.Errorf("stop %+v", stop)
	}
	if !f.srv.Connected(f.inst) {
		t.Error("not connected")
	}
	if i := f.store.View().Instances.Get(f.inst); i.AgentVersion != "1.105.1" || i.AgentHash != "a8b3e7d3" || i.RuntimeVersion != "DockerVersion: 20.10.24+dfsg1" {
		t.Errorf("versions: %+v", i)
	}
}

// TestForeignReconnects: what may not have arrived comes again, what runs does not, and no number is given twice, even by another
// server.
func TestForeignReconnects(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	running, unacknowledged, stopping := f.newTask(), f.newTask(), f.newTask()
	a := f.dialForeign("true")
	for range 3 {
		expect[payload.Message](a, payload.TypePayload)
	}
	last := expect[payload.Manifest](a, payload.TypeManifest).Timeline
	f.report(acs.TaskState{ID: running, Status: ecs.TaskRunning})
	f.update(func(tx *state.Tx) { lifecycle.Stop(tx, 2, tx.Tasks.Get(stopping), ecs.StopUserInitiated, "") })
	expect[payload.Message](a, payload.TypePayload)
	a.conn.CloseNow()

	b := f.dialForeign("false")
	stop := expect[payload.Message](b, payload.TypePayload)
	if stop.Tasks[0].ARN != place.TaskARN("default", stopping) || stop.SeqNum <= last {
		t.Errorf("stops come first: %+v after %d", stop, last)
	}
	f.started(b, unacknowledged)
	manifest := expect[payload.Manifest](b, payload.TypeManifest)
	want := map[string]string{
		place.TaskARN("default", running): payload.DesiredRunning, place.TaskARN("default", unacknowledged): payload.DesiredRunning, place.TaskARN("default", stopping): payload.DesiredStopped,
	}
	for _, id := range manifest.Tasks {
		if want[id.TaskARN] != id.DesiredStatus || id.TaskClusterARN == "" {
			t.Errorf("manifest: %+v", id)
		}
		delete(want, id.TaskARN)
	}
	if len(want) > 0 {
		t.Errorf("not in the manifest: %v", want)
	}
	// An agent that has just started has lost the credentials of what it runs.
	c := f.dialForeign("true")
	got := expect[payload.CredentialsMessage](c, payload.TypeCredentials)
	if got.TaskARN != place.TaskARN("default", running) || got.RoleType != payload.RoleTypeTask || got.Credentials.ID != running.String()+payload.RoleTypeTask || got.TaskClusterARN == "" || got.MessageID == "" {
		t.Errorf("credentials %+v", got)
	}
}

// TestForeignStopVerification: an agent is told to stop what is not to run, and nothing else.
func TestForeignStopVerification(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	keep, ended := f.newTask(), f.newTask()
	f.report(acs.TaskState{ID: ended, Status: ecs.TaskStopped})
	var elsewhere ecs.TaskID
	f.update(func(tx *state.Tx) {
		elsewhere = lifecycle.Create(tx, 1, lifecycle.Spec{Cluster: "default", Definition: f.def, Instance: ecs.NewInstanceID()}).ID
	})
	a := f.dialForeign("true")
	manifest := expect[payload.Manifest](a, payload.TypeManifest)
	q := payload.StopVerification{MessageID: manifest.MessageID}
	unknown := place.TaskARN("default", ecs.NewTaskID())
	for _, arn := range []string{place.TaskARN("default", keep), place.TaskARN("default", ended), place.TaskARN("default", elsewhere), unknown, "", "arn:aws:ecs:x", place.ClusterARN("default")} {
		q.StopCandidates = append(q.StopCandidates, payload.Identity{TaskARN: arn, DesiredStatus: payload.DesiredStopped})
	}
	a.send(payload.TypeStopVerification, q)
	got := expect[payload.StopVerified](a, payload.TypeStopVerified)
	var arns []string
	for _, s := range got.StopTasks {
		arns = append(arns, s.TaskARN)
	}
	if want := []string{place.TaskARN("default", ended), place.TaskARN("default", elsewhere), unknown}; got.MessageID != manifest.MessageID || !slices.Equal(arns, want) {
		t.Errorf("%+v, want %v", got, want)
	}
}

// TestForeignWindow: an agent that acknowledges nothing has so many messages before it and no more; a task that it reports
// STOPPED, since it could not read it, makes room as an acknowledgement does.
func TestForeignWindow(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	a := f.dialForeign("false")
	expect[payload.Manifest](a, payload.TypeManifest)
	var sent []payload.Message
	tasks := map[string]ecs.TaskID{}
	for range window + 2 {
		id := f.newTask()
		tasks[place.TaskARN("default", id)] = id
	}
	for range window {
		sent = append(sent, expect[payload.Message](a, payload.TypePayload))
	}
	a.send(payload.TypeNack, payload.Ack{MessageID: "of another", Reason: "no"})
	a.ack(sent[0].MessageID)
	expect[payload.Message](a, payload.TypePayload)
	f.report(acs.TaskState{ID: tasks[sent[1].Tasks[0].ARN], Status: ecs.TaskStopped})
	expect[payload.Message](a, payload.TypePayload)
}

// TestForeignCannot: what Amazon's agent cannot be given ends with a reason, and what cannot be translated holds up nothing.
func TestForeignCannot(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	good := f.def
	bad := *good
	bad.Revision, bad.NetworkMode = 3, ecs.NetworkAwsvpc
	roleless := *good
	roleless.Revision, roleless.TaskRoleArn = 4, "arn:aws:iam::000000000000:role/none"
	f.update(func(tx *state.Tx) { tx.Definitions.Put(&bad); tx.Definitions.Put(&roleless) })
	a := f.dialForeign("false")
	f.def = &bad
	first := f.newTask()
	f.def = &roleless
	second := f.newTask()
	f.def = good
	f.started(a, f.newTask())
	for id, why := range map[ecs.TaskID]string{first: "awsvpc", second: "no such role"} {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			task := f.store.View().Tasks.Get(id)
			if task.LastStatus == ecs.TaskStopped && task.StopCode == ecs.StopTaskFailedToStart && strings.Contains(task.StoppedReason, why) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v", task)
			}
		}
	}
}

func TestForeignBrokenAgents(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	for _, frame := range []string{"", "{", `{"type":"AckRequest","message":7}`, `{"type":"TaskStopVerificationMessage","message":{"stopCandidates":{}}}`} {
		a := f.dialForeign("false")
		if err := a.conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		if code := a.ended(); code != websocket.StatusPolicyViolation {
			t.Errorf("%q: closed with %v", frame, code)
		}
	}
	a := f.dialForeign("false")
	expect[payload.Manifest](a, payload.TypeManifest)
	a.send("SomethingNew", map[string]int{"x": 1})
	a.ack("what never was")
	f.started(a, f.newTask())
}

// TestTelemetry: a signed frame with health is taken over for the instance's own tasks alone.
func TestTelemetry(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	mine := f.newTask()
	var other ecs.TaskID
	f.update(func(tx *state.Tx) {
		other = lifecycle.Create(tx, 1, lifecycle.Spec{Cluster: "default", Definition: f.def, Instance: ecs.NewInstanceID()}).ID
	})
	f.report(acs.TaskState{ID: mine, Status: ecs.TaskRunning})
	a := f.telemetry()
	type container struct {
		ContainerName string `json:"containerName"`
		HealthStatus  string `json:"healthStatus"`
	}
	type task struct {
		TaskARN    string      `json:"taskArn"`
		Containers []container `json:"containers"`
	}
	unhealthy := []container{{"c", "UNHEALTHY"}, {"c", "BROKEN"}, {"no such", "HEALTHY"}}
	a.signed("let me in", payload.TypeHealth, map[string]any{"tasks": []task{
		{place.TaskARN("default", mine), unhealthy}, {place.TaskARN("default", other), unhealthy}, {place.TaskARN("default", ecs.NewTaskID()), unhealthy}, {"", nil},
	}})
	expect[struct{}](a, payload.TypeHealthAck)
	v := f.store.View()
	if v.Tasks.Get(mine).HealthStatus != ecs.HealthUnhealthy || v.Tasks.Get(other).HealthStatus != "" {
		t.Errorf("health %q and %q", v.Tasks.Get(mine).HealthStatus, v.Tasks.Get(other).HealthStatus)
	}
	a.signed("let me in", acs.TypeMetrics, map[string]any{"metadata": map[string]any{"fin": true}})
	expect[struct{}](a, payload.TypeMetricsAck)
	a.signed("let me in", acs.TypeInstanceStatus, map[string]any{})
	expect[struct{}](a, payload.TypeInstanceStatusAck)
	a.signed("let me in", "SomethingNew", map[string]any{})
	a.signed("let me in", acs.TypeMetrics, map[string]any{})
	expect[struct{}](a, payload.TypeMetricsAck)
}

func TestTelemetryRefused(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	for _, frame := range []string{"", "{}", "Authorization: no\r\n\r\n{}", "Authorization: let me in\r\n\r\n", "Authorization: let me in\r\n\r\n{", "\x00\r\n\r\n{}",
		"Authorization: let me in\r\n\r\n" + `{"type":"PublishHealthRequest","message":{"tasks":7}}`, "Authorization: another\r\n\r\n" + `{"type":"PublishMetricsRequest","message":{}}`} {
		a := f.telemetry()
		if err := a.conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		if code := a.ended(); code != websocket.StatusPolicyViolation {
			t.Errorf("%q: closed with %v", frame, code)
		}
	}
}

func (f *fixture) telemetry() *agent {
	f.t.Helper()
	q := url.Values{"containerInstance": {place.InstanceARN("default", f.inst)}}
	conn, _, err := websocket.Dial(f.t.Context(), f.url+"/tcs/ws?"+q.Encode(), &websocket.DialOptions{HTTPClient: f.client, HTTPHeader: http.Header{"Authorization": {"let me in"}}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.CloseNow() })
	return &agent{f.t, conn}
}

// signed sends a frame in the form of TCS.
func (a *agent) signed(authorization, name string, message any) {
	a.t.Helper()
	body, err := json.Marshal(map[string]any{"type": name, "message": message})
	if err != nil {
		a.t.Fatal(err)
	}
	frame := "Authorization: " + authorization + "\r\nHost: roadstead\r\nX-Amz-Date: 20260101T000000Z\r\n\r\n" + string(body)
	if err := a.conn.Write(a.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		a.t.Fatal(err)
	}
}
