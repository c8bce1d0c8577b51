package standin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/coder/websocket"
)

const invalid = "InvalidParameterException"

// TestReports: reports come in any order, twice, and of what is not known.
func TestReports(t *testing.T) {
	l := newLab(t, 0)
	a := l.join()
	a.connect("true")
	t.Run("backwards", func(t *testing.T) {
		arn := l.sleep(a)
		a.ack(a.payload(arn, "RUNNING").MessageID)
		for _, r := range [][2]string{{"PENDING", ""}, {"STOPPED", `,"exitCode":7`}, {"RUNNING", ""}, {"STOPPED", `,"exitCode":9`}, {"PENDING", ""}} {
			if out := a.report(arn, r[0], r[1]); out.exception != "" {
				t.Fatalf("%v: %+v", r, out)
			}
		}
		if task := l.describe("default", arn); *task.LastStatus != "STOPPED" || *task.Containers[0].ExitCode != 7 || task.StopCode != types.TaskStopCodeEssentialContainerExited {
			t.Errorf("%s, %d, %s", *task.LastStatus, *task.Containers[0].ExitCode, task.StopCode)
		}
	})
	t.Run("one container twice in a report", func(t *testing.T) {
		arn := l.sleep(a)
		a.ack(a.payload(arn, "RUNNING").MessageID)
		a.must("SubmitTaskStateChange", `{"cluster":"default","task":"`+arn+`","status":"STOPPED","containers":[{"containerName":"c","runtimeId":"r","status":"RUNNING"},{"containerName":"c","exitCode":3,"status":"STOPPED"}]}`)
		if c := l.until(arn, "STOPPED").Containers[0]; *c.ExitCode != 3 || *c.RuntimeId != "r" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		unknown := strings.Replace(l.sleep(a), "/default/", "/default/ffffffff", 1)
		for _, arn := range []string{"", "x", "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef", unknown[:len(unknown)-8], "arn:aws:ecs:us-east-1:000000000000:task/none/0123456789abcdef0123456789abcdef"} {
			if out := a.report(arn, "STOPPED", ""); out.exception != invalid {
				t.Errorf("task %q: %+v; the agent would try for ever", arn, out)
			}
		}
		if out := a.report(unknown, "FINE", ""); out.exception != invalid {
			t.Errorf("a status that is none: %+v", out)
		}
	})
	t.Run("containers and bindings that are not there", func(t *testing.T) {
		arn := l.sleep(a)
		many := strings.Repeat(`{"bindIP":"0.0.0.0","containerPort":1,"hostPort":2,"protocol":"tcp"},`, 2000)
		if out := a.report(arn, "RUNNING", `,"networkBindings":[`+many[:len(many)-1]+`]`); out.exception != invalid {
			t.Errorf("2000 bindings: %+v", out.exception)
		}
		a.must("SubmitTaskStateChange", `{"cluster":"default","task":"`+arn+`","status":"RUNNING","containers":[{"containerName":"none","status":"RUNNING"},{"containerName":"c","runtimeId":"`+strings.Repeat("r", 100_000)+`","status":"RUNNING"}]}`)
		if task := l.until(arn, "RUNNING"); len(task.Containers) != 1 || len(*task.Containers[0].RuntimeId) != 255 || len(task.Containers[0].NetworkBindings) != 0 {
			t.Errorf("%+v", task.Containers)
		}
	})
}

// TestDelivery: a payload comes again until it is acknowledged or its task is STOPPED, numbers only grow, and stops are told.
func TestDelivery(t *testing.T) {
	l := newLab(t, 0)
	a := l.join()
	a.connect("true")
	arn := l.sleep(a)
	first := a.payload(arn, "RUNNING")
	a.acs.conn.CloseNow()
	a.openACS("false")
	second := a.payload(arn, "RUNNING")
	if second.SeqNum <= first.SeqNum || second.MessageID == first.MessageID || second.Tasks[0].RoleCredentials.CredentialsID != first.Tasks[0].RoleCredentials.CredentialsID {
		t.Errorf("first %+v, then %+v", first, second)
	}
	a.ack(second.MessageID)
	a.report(arn, "RUNNING", "")
	if _, err := l.ecs.StopTask(t.Context(), &ecs.StopTaskInput{Task: &arn}); err != nil {
		t.Fatal(err)
	}
	stop := a.payload(arn, "STOPPED")
	a.ack(stop.MessageID)
	a.report(arn, "STOPPED", `,"exitCode":137`)
	if task := l.until(arn, "STOPPED"); task.StopCode != types.TaskStopCodeUserInitiated || *task.Containers[0].ExitCode != 137 {
		t.Errorf("%+v", task)
	}
	// The agent has a task of an earlier life that nobody knows: it asks before it ends it.
	a.acs.conn.CloseNow()
	a.openACS("true")
	var manifest struct {
		MessageID string
		Timeline  int64
		Tasks     []any
	}
	unmarshal(t, a.acs.expect("TaskManifestMessage", nil), &manifest)
	if manifest.Timeline <= stop.SeqNum || len(manifest.Tasks) != 0 {
		t.Errorf("manifest %+v after %d", manifest, stop.SeqNum)
	}
	stray := "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef"
	a.acs.send("TaskStopVerificationMessage", `{"messageId":"`+manifest.MessageID+`","stopCandidates":[{"taskArn":"`+stray+`","taskClusterArn":"x","desiredStatus":"STOPPED"}]}`)
	var verified struct {
		MessageID string
		StopTasks []struct{ TaskARN string }
	}
	unmarshal(t, a.acs.expect("TaskStopVerificationAck", nil), &verified)
	if verified.MessageID != manifest.MessageID || len(verified.StopTasks) != 1 || verified.StopTasks[0].TaskARN != stray {
		t.Errorf("%+v", verified)
	}
}

// TestGarbage: what cannot be read ends the connection of who sent it, with a code on which agents wait; others do not notice.
func TestGarbage(t *testing.T) {
	l := newLab(t, 0)
	good := l.join()
	good.connect("true")
	deep := strings.Repeat("[", 100_000)
	for name, b := range map[string]string{
		"nothing": "", "no JSON": "GET / HTTP/1.1", "half": `{"type":"AckRequest","mess`, "a list": `[]`, "deep": `{"type":"AckRequest","message":` + deep + `}`,
		"no characters": "\xff\xfe\x00", "null": "null", "no message": `{"type":"AckRequest"}`,
		"a number for a text": `{"type":"AckRequest","message":{"messageId":7}}`, "a text for a list": `{"type":"PublishHealthRequest","message":{"tasks":"x"}}`,
	} {
		bad := l.join()
		if name != "a text for a list" {
			bad.openACS("false")
			bad.acs.raw(websocket.MessageText, []byte(b))
			if code := bad.acs.closed(); code != websocket.StatusPolicyViolation {
				t.Errorf("%s: closed with %v", name, code)
			}
		}
		if name != "a number for a text" {
			bad.openTCS()
			bad.tcs.raw(websocket.MessageBinary, bad.tcs.seal(bad.key, []byte(b)))
			if code := bad.tcs.closed(); code != websocket.StatusPolicyViolation {
				t.Errorf("%s, signed: closed with %v", name, code)
			}
		}
	}
	bad := l.join()
	bad.openTCS()
	bad.tcs.raw(websocket.MessageText, []byte(`{"type":"PublishMetricsRequest","message":{}}`))
	if code := bad.tcs.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("not signed: closed with %v", code)
	}
	bad.openACS("false")
	bad.acs.raw(websocket.MessageText, bytes.Repeat([]byte("x"), 3<<20))
	if code := bad.acs.closed(); code != websocket.StatusMessageTooBig && code != -1 {
		t.Errorf("3 MiB: closed with %v", code)
	}
	for _, body := range []string{"", "{", "[]", "null", `{"task":7}`, `{"containers":null,"status":"RUNNING"}`, deep} {
		if out := bad.call("SubmitTaskStateChange", body); out.exception == "" || out.exception == "ServerException" || out.exception == "InternalFailure" {
			t.Errorf("call with %.20q: %+v", body, out)
		}
	}
	arn := l.sleep(good)
	good.ack(good.payload(arn, "RUNNING").MessageID)
	good.report(arn, "RUNNING", "")
	l.until(arn, "RUNNING")
}

// TestAnothersKey: an agent speaks for the instances alone that it registered.
func TestAnothersKey(t *testing.T) {
	l := newLab(t, 0)
	owner, thief := l.join(), l.join()
	owner.connect("true")
	arn := l.sleep(owner)
	owner.ack(owner.payload(arn, "RUNNING").MessageID)
	victim := *thief
	victim.instance = owner.instance
	for path, query := range map[string]string{"/acs": victim.acsQuery("true").Encode(), "/tcs": victim.tcsQuery().Encode()} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.info.Endpoint+path+"/ws?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		sign(t, thief.key, req, nil)
		if _, refusal := thief.dial(req); refusal != "AccessDeniedException" {
			t.Errorf("%s: %q", path, refusal)
		}
	}
	for operation, body := range map[string]string{
		"RegisterContainerInstance":     registration(t, owner.instance, nil),
		"SubmitTaskStateChange":         `{"cluster":"default","task":"` + arn + `","status":"STOPPED"}`,
		"SubmitContainerStateChange":    `{"cluster":"default","task":"` + arn + `","containerName":"c","status":"STOPPED"}`,
		"DeregisterContainerInstance":   `{"containerInstance":"` + owner.instance + `","force":true}`,
		"UpdateContainerInstancesState": `{"containerInstances":["` + owner.instance + `"],"status":"DRAINING"}`,
		"StopTask":                      `{"task":"` + arn + `"}`,
		"RunTask":                       `{"taskDefinition":"sleep"}`,
		"RegisterTaskDefinition":        `{"family":"x","containerDefinitions":[{"name":"c","image":"i","memory":8}]}`,
	} {
		if out := thief.call(operation, body); out.exception != "AccessDeniedException" {
			t.Errorf("%s: %+v", operation, out)
		}
	}
	// A frame that another key has signed, on a connection that is the owner's.
	owner.tcs.raw(websocket.MessageText, owner.tcs.seal(thief.key, []byte(`{"type":"PublishMetricsRequest","message":{}}`)))
	if code := owner.tcs.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", code)
	}
	if task := l.describe("default", arn); *task.LastStatus == "STOPPED" {
		t.Error("another's agent stopped the task")
	}
	if i := l.describeInstance(owner.instance); *i.Status != "ACTIVE" || !i.AgentConnected {
		t.Errorf("the owner's instance: %+v", i)
	}
}

// TestOldFrames: what was said once is not taken again from whoever says it later.
func TestOldFrames(t *testing.T) {
	l := newLab(t, 0)
	a := l.join()
	request := a.upgrade(a.key, a.endpoint+"/acs", a.acsQuery("true"))
	first, refusal := a.dial(request)
	if refusal != "" {
		t.Fatal(refusal)
	}
	first.expect("HeartbeatMessage", nil)
	a.openTCS()
	old := a.tcs.pack("PublishMetricsRequest", `{}`)
	a.tcs.raw(websocket.MessageText, old)
	a.tcs.expect("AckPublishMetric", nil)
	// Signatures have dates in seconds, and an agent may connect twice within one.
	time.Sleep(4 * time.Second)
	if _, refusal := a.dial(request); refusal != "AccessDeniedException" {
		t.Errorf("the request that opened the connection: %q", refusal)
	}
	a.tcs.send("PublishMetricsRequest", `{}`)
	a.tcs.expect("AckPublishMetric", nil)
	a.tcs.raw(websocket.MessageText, old)
	if code := a.tcs.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("the frame: closed with %v", code)
	}
}

// TestInactive: an instance that was deregistered is told so, in the one way that makes its agent wait, and is none again.
func TestInactive(t *testing.T) {
	l := newLab(t, 0)
	a := l.join()
	a.connect("true")
	if _, err := l.ecs.DeregisterContainerInstance(t.Context(), &ecs.DeregisterContainerInstanceInput{ContainerInstance: &a.instance}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*socket{a.acs, a.tcs} {
		if code := s.closed(); code != websocket.StatusPolicyViolation {
			t.Errorf("closed with %v", code)
		}
	}
	for _, req := range []*http.Request{a.upgrade(a.key, a.endpoint+"/acs", a.acsQuery("false")), a.upgrade(a.key, a.endpoint+"/tcs", a.tcsQuery())} {
		if _, refusal := a.dial(req); refusal != "InactiveInstanceException" {
			t.Errorf("refused with %q", refusal)
		}
	}
	if out := a.call("RegisterContainerInstance", registration(t, a.instance, nil)); out.exception != "ClientException" {
		t.Errorf("as the instance that it was: %+v", out)
	}
	if fresh := text(a.must("RegisterContainerInstance", registration(t, "", nil)), "containerInstance", "containerInstanceArn"); fresh == a.instance {
		t.Error("the ARN of the deregistered instance was given again")
	}
}

// TestLies: an agent cannot make its instance what no machine is, nor have tasks placed where there is no room for them.
func TestLies(t *testing.T) {
	l := newLab(t, 0)
	a := l.join()
	resource := func(name string, value any) map[string]any {
		if n, ok := value.(int); ok {
			return map[string]any{"name": name, "type": "INTEGER", "integerValue": n}
		}
		return map[string]any{"name": name, "type": "STRINGSET", "stringSetValue": value}
	}
	total := func(list ...map[string]any) func(map[string]any) {
		return func(body map[string]any) { body["totalResources"] = list }
	}
	ports := make([]string, 0, 70_000)
	for i := range 70_000 {
		ports = append(ports, fmt.Sprint(i%65_536))
	}
	attributes := make([]map[string]string, 2000)
	for i := range attributes {
		attributes[i] = map[string]string{"name": fmt.Sprint("a", i), "value": strings.Repeat("v", 100)}
	}
	cpu, memory := resource("CPU", 1024), resource("MEMORY", 1024)
	for name, change := range map[string]func(map[string]any){
		"nothing":           total(),
		"negative":          total(resource("CPU", -1), memory),
		"more than any has": total(resource("CPU", 1<<31-1), memory),
		"more memory":       total(cpu, resource("MEMORY", 1<<31-1)),
		"twice":             total(cpu, cpu, memory),
		"unknown":           total(cpu, memory, resource("LUCK", 7)),
		"ports of no kind":  total(cpu, memory, resource("PORTS", []string{"65536"})),
		"too many ports":    total(cpu, memory, resource("PORTS", ports)),
		"a GPU twice": func(body map[string]any) {
			body["platformDevices"] = []map[string]string{{"id": "g", "type": "GPU"}, {"id": "g", "type": "GPU"}}
		},
		"too many attributes": func(body map[string]any) { body["attributes"] = attributes },
		"a long attribute": func(body map[string]any) {
			body["attributes"] = []map[string]string{{"name": "a", "value": strings.Repeat("v", 2000)}}
		},
		"another machine's document": func(body map[string]any) { body["instanceIdentityDocument"] = "{" },
	} {
		for _, arn := range []string{"", a.instance} {
			if out := a.call("RegisterContainerInstance", registration(t, arn, change)); out.exception != invalid {
				t.Errorf("%s: %s: %s", name, out.exception, out.text)
			}
		}
	}
	list, err := l.ecs.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{})
	if err != nil || len(list.ContainerInstanceArns) != 1 {
		t.Errorf("instances: %v, %v", list, err)
	}
	// It shrinks below what runs on it: what is left is less than nothing, and nothing more is placed.
	a.connect("true")
	l.sleep(a)
	a.must("RegisterContainerInstance", registration(t, a.instance, total(cpu, resource("MEMORY", 8))))
	out, err := l.ecs.StartTask(t.Context(), &ecs.StartTaskInput{TaskDefinition: aws.String("sleep"), ContainerInstances: []string{a.instance}})
	if err != nil || len(out.Failures) != 1 || *out.Failures[0].Reason != "RESOURCE:MEMORY" {
		t.Errorf("StartTask: %+v, %v", out, err)
	}
}

// TestCallFloods: an agent that calls without end is told to slow down, and others are not.
func TestCallFloods(t *testing.T) {
	l := newLab(t, 0)
	a, other := l.join(), l.join()
	a.connect("true")
	arn := l.sleep(a)
	throttled := false
	for begin := time.Now(); !throttled && time.Since(begin) < patience; {
		out := a.report(arn, "RUNNING", "")
		if throttled = out.exception == "ThrottlingException"; !throttled && out.exception != "" {
			t.Fatal(out)
		}
	}
	if !throttled {
		t.Skip("NOT SHOWN: this machine is too slow to flood the server")
	}
	other.connect("true")
	another := l.sleep(other)
	other.ack(other.payload(another, "RUNNING").MessageID)
	if out := other.report(another, "RUNNING", ""); out.exception != "" {
		t.Errorf("another agent: %+v", out)
	}
}

// TestTelemetry: what agents say of their containers and their machines is what is described.
func TestTelemetry(t *testing.T) {
	l := newLab(t, 0)
	a := l.join()
	a.connect("true")
	in := simple("checked")
	in.ContainerDefinitions[0].HealthCheck = &types.HealthCheck{Command: []string{"CMD-SHELL", "true"}}
	arn := l.start("default", a.instance, in)
	a.ack(a.payload(arn, "RUNNING").MessageID)
	a.report(arn, "RUNNING", "")
	for _, health := range []string{"HEALTHY", "UNHEALTHY"} {
		message, err := json.Marshal(map[string]any{"tasks": []any{map[string]any{"taskArn": arn, "containers": []any{map[string]any{"containerName": "c", "healthStatus": health, "statusSince": 1.5}}}}})
		if err != nil {
			t.Fatal(err)
		}
		a.tcs.send("PublishHealthRequest", string(message))
		a.tcs.expect("AckPublishHealth", nil)
		if task := l.describe("default", arn); string(task.HealthStatus) != health || string(task.Containers[0].HealthStatus) != health {
			t.Errorf("%s: %s", health, task.HealthStatus)
		}
	}
	for _, status := range []string{"OK", "IMPAIRED"} {
		a.tcs.send("PublishInstanceStatusRequest", `{"statuses":[{"type":"ContainerRuntime","status":"`+status+`","lastStatusChange":1795390633.899,"lastUpdated":1795390648.901}]}`)
		a.tcs.expect("AckPublishInstanceStatus", nil)
		i := l.describeInstance(a.instance)
		if string(i.HealthStatus.OverallStatus) != status || i.HealthStatus.Details[0].Type != "CONTAINER_RUNTIME" || i.HealthStatus.Details[0].LastStatusChange == nil {
			t.Errorf("%s: %+v", status, i.HealthStatus)
		}
		if v := i.VersionInfo; *v.AgentVersion != "1.105.1" || *v.AgentHash != "a8b3e7d3" || *v.DockerVersion != "DockerVersion: 20.10.24+dfsg1" {
			t.Errorf("versions %+v", v)
		}
	}
}

// TestRoleOfTask: the agent asks for a task's protection with the keys that it was given for the task's role.
func TestRoleOfTask(t *testing.T) {
	l := newLab(t, 0)
	a := l.join()
	a.connect("true")
	if _, err := l.ecs.RegisterTaskDefinition(t.Context(), simple("sleep")); err != nil {
		t.Fatal(err)
	}
	_, err := l.ecs.CreateService(t.Context(), &ecs.CreateServiceInput{ServiceName: aws.String("s"), TaskDefinition: aws.String("sleep"), DesiredCount: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	var m payload
	unmarshal(t, a.acs.expect("PayloadMessage", nil), &m)
	arn, c := m.Tasks[0].ARN, m.Tasks[0].RoleCredentials
	a.ack(m.MessageID)
	a.report(arn, "RUNNING", "")
	role := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
	set := a.callAs(role, "UpdateTaskProtection", `{"cluster":"default","tasks":["`+arn+`"],"protectionEnabled":true}`)
	got := a.callAs(role, "GetTaskProtection", `{"cluster":"default","tasks":["`+arn+`"]}`)
	for _, out := range []answer{set, got} {
		list, _ := out.members["protectedTasks"].([]any)
		if len(list) != 1 {
			t.Fatalf("%+v", out)
		}
		if p, _ := list[0].(map[string]any); p["protectionEnabled"] != true || p["taskArn"] != arn {
			t.Errorf("%+v", p)
		}
	}
	if out := a.callAs(role, "StopTask", `{"task":"`+arn+`"}`); out.exception != "AccessDeniedException" {
		t.Errorf("the role stops tasks: %+v", out)
	}
}

// TestMixedCluster: a service is spread over instances of both kinds of agents, and leaves one that drains.
func TestMixedCluster(t *testing.T) {
	l := newLab(t, 1)
	a := l.join()
	a.connect("true")
	if _, err := l.ecs.RegisterTaskDefinition(t.Context(), simple("sleep")); err != nil {
		t.Fatal(err)
	}
	_, err := l.ecs.CreateService(t.Context(), &ecs.CreateServiceInput{
		ServiceName: aws.String("both"), TaskDefinition: aws.String("sleep"), DesiredCount: aws.Int32(4),
		PlacementStrategy: []types.PlacementStrategy{{Type: types.PlacementStrategyTypeSpread, Field: aws.String("instanceId")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var mine []string
	for range 2 {
		var m payload
		unmarshal(t, a.acs.expect("PayloadMessage", nil), &m)
		mine = append(mine, m.Tasks[0].ARN)
		a.ack(m.MessageID)
		a.report(m.Tasks[0].ARN, "RUNNING", "")
	}
	running := func() int32 {
		out, err := l.ecs.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Services: []string{"both"}})
		if err != nil || len(out.Services) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
		return out.Services[0].RunningCount
	}
	l.eventually("four run", func() bool { return running() == 4 })
	if n := l.describeInstance(a.instance).RunningTasksCount; n != 2 {
		t.Errorf("%d of 4 on the instance of Amazon's agent", n)
	}
	if _, err := l.ecs.UpdateContainerInstancesState(t.Context(), &ecs.UpdateContainerInstancesStateInput{ContainerInstances: []string{a.instance}, Status: "DRAINING"}); err != nil {
		t.Fatal(err)
	}
	for _, arn := range mine {
		a.ack(a.payload(arn, "STOPPED").MessageID)
		a.report(arn, "STOPPED", `,"exitCode":137`)
	}
	l.eventually("the instance is empty, and four run elsewhere", func() bool {
		return l.describeInstance(a.instance).RunningTasksCount == 0 && running() == 4
	})
}
