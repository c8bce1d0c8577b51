package standin_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// entry is a line of a recording: what the agent said, and what was sent to it.
type entry struct {
	Dir, Kind string
	Body      json.RawMessage
	Query     map[string]string
}

func recording(t *testing.T, name string) (out []entry) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		unmarshal(t, lines.Bytes(), &e)
		out = append(out, e)
	}
	return out
}

// pushed is what is kept of a message that was sent to the agent.
type pushed struct {
	Type, MessageID string
	Tasks           []struct {
		ARN, DesiredStatus string
		Containers         []string
	}
}

// player says again what was recorded, with the names that this control plane has given. What the control plane of the recording
// had run is run again; messages that ours does not send are left out, but not the agent's answers to them.
type player struct {
	*agent
	l *lab
	// real is by what is in the recording: ids of tasks, instances, messages and credentials.
	real map[string]string
	// roles are the messages whose tasks have a role.
	roles map[string]bool
	// want is by the tasks' real ARNs.
	want    map[string]*outcome
	running []string
}

// outcome is what a task must have come to.
type outcome struct {
	status                    string
	exitCode                  *int32
	runtimeID, reason, digest string
	bindings                  int
	credentials               string
}

func last(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// translate puts the real names into a text of the recording.
func (p *player) translate(text string) string {
	var pairs []string
	for recorded, real := range p.real {
		pairs = append(pairs, recorded, real)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func (p *player) play(entries []entry) {
	p.t.Helper()
	p.cluster = "demo"
	for _, e := range entries {
		if e.Kind != "frame" || !bytes.Contains(e.Body, []byte("IAMRoleCredentialsAckRequest")) {
			continue
		}
		var ack struct{ Message struct{ MessageID string } }
		unmarshal(p.t, e.Body, &ack)
		p.roles[ack.Message.MessageID] = true
	}
	for _, e := range entries {
		switch {
		case e.Dir == "agent->api":
			p.api(e)
		case strings.HasPrefix(e.Kind, "CONNECT"):
			p.open(e)
		case e.Dir == "acs->agent":
			p.push(e)
		case e.Kind == "CLOSED" && e.Dir == "agent->acs":
			p.acs.conn.CloseNow()
		case e.Kind == "CLOSED":
			p.tcs.conn.CloseNow()
		case e.Dir == "agent->acs":
			p.acs.raw(1, []byte(p.translate(string(e.Body))))
		default:
			p.telemetry(e)
		}
	}
}

func (p *player) api(e entry) {
	p.t.Helper()
	var body struct {
		ContainerInstance string
		Task              string
		Attributes        []struct{ Name, Value string }
	}
	unmarshal(p.t, e.Body, &body)
	if e.Kind == "DiscoverPollEndpoint" {
		p.real[last(body.ContainerInstance)] = last(p.instance)
	}
	out := p.call(e.Kind, p.translate(string(e.Body)))
	if e.Kind == "SubmitTaskStateChange" && p.real[last(body.Task)] == "" {
		if out.exception != "InvalidParameterException" {
			p.t.Errorf("a report of a task that never was: %+v", out)
		}
		return
	}
	if out.exception != "" {
		p.t.Errorf("%s of %.300s: %s: %s", e.Kind, e.Body, out.exception, out.text)
		return
	}
	switch e.Kind {
	case "RegisterContainerInstance":
		before := p.instance
		if p.instance = text(out.members, "containerInstance", "containerInstanceArn"); p.instance != before {
			p.running = nil
		}
		instance, _ := out.members["containerInstance"].(map[string]any)
		p.echoed(body.Attributes, instance)
	case "DiscoverPollEndpoint":
		if endpoint, telemetry := text(out.members, "endpoint"), text(out.members, "telemetryEndpoint"); endpoint != p.endpoint+"/acs" || telemetry != p.endpoint+"/tcs" {
			p.t.Errorf("endpoints %s, %s", endpoint, telemetry)
		}
	case "SubmitTaskStateChange":
		p.note(p.want[p.translate(body.Task)], []byte(p.translate(string(e.Body))))
	}
}

// echoed holds the answer's attributes against the request's: the agent ends for good if one with a value is missing.
func (p *player) echoed(sent []struct{ Name, Value string }, instance map[string]any) {
	p.t.Helper()
	got := map[string]string{}
	list, _ := instance["attributes"].([]any)
	for _, at := range list {
		members, _ := at.(map[string]any)
		got[text(members, "name")] = text(members, "value")
	}
	for _, at := range sent {
		if value, ok := got[at.Name]; !ok || value != at.Value {
			p.t.Errorf("attribute %s=%s came back as %q, %v", at.Name, at.Value, value, ok)
		}
	}
}

// note takes over what a report says into what must come of the task.
func (p *player) note(o *outcome, body []byte) {
	var r struct {
		Status     string
		Containers []struct {
			RuntimeID, Reason, ImageDigest string
			ExitCode                       *int32
			NetworkBindings                []any
		}
	}
	unmarshal(p.t, body, &r)
	order := []string{"", "PENDING", "RUNNING", "STOPPED"}
	if o.status == "STOPPED" {
		return
	}
	o.status = order[max(slices.Index(order, o.status), slices.Index(order, r.Status))]
	for _, c := range r.Containers {
		for at, v := range map[*string]string{&o.runtimeID: c.RuntimeID, &o.reason: c.Reason, &o.digest: c.ImageDigest} {
			if v != "" {
				*at = v
			}
		}
		if c.ExitCode != nil {
			o.exitCode = c.ExitCode
		}
		o.bindings = max(o.bindings, len(c.NetworkBindings))
	}
}

func (p *player) open(e entry) {
	p.t.Helper()
	query := url.Values{}
	for k, v := range e.Query {
		query.Set(k, p.translate(v))
	}
	path := strings.TrimSuffix(strings.TrimPrefix(e.Kind, "CONNECT "), "/ws")
	s, refusal := p.dial(p.upgrade(p.key, p.endpoint+path, query))
	if refusal != "" {
		p.t.Fatalf("%s: %s", e.Kind, refusal)
	}
	if path == "/tcs" {
		s.key = &p.key
		p.tcs = s
		return
	}
	p.acs = s
	s.expect("HeartbeatMessage", nil)
	if query.Get("sendCredentials") != "true" {
		return
	}
	// A process that has just begun has lost the credentials of what runs.
	for _, arn := range p.running {
		o := p.want[arn]
		if o.credentials == "" || o.status != "RUNNING" {
			continue
		}
		s.expect("IAMRoleCredentialsMessage", func(b json.RawMessage) bool {
			var m struct {
				TaskARN, RoleType string
				RoleCredentials   roleCredentials
			}
			unmarshal(p.t, b, &m)
			return m.TaskARN == arn && m.RoleType == "TaskApplication" && m.RoleCredentials.CredentialsID == o.credentials
		})
	}
}

func (p *player) telemetry(e entry) {
	p.t.Helper()
	var f frame
	unmarshal(p.t, []byte(p.translate(string(e.Body))), &f)
	p.tcs.send(f.Type, string(f.Message))
	p.tcs.expect(map[string]string{
		"PublishMetricsRequest": "AckPublishMetric", "PublishInstanceStatusRequest": "AckPublishInstanceStatus", "PublishHealthRequest": "AckPublishHealth",
	}[f.Type], nil)
}

// push runs a task as the recorded control plane did.
func (p *player) push(e entry) {
	p.t.Helper()
	var m pushed
	unmarshal(p.t, e.Body, &m)
	for _, task := range m.Tasks {
		if task.DesiredStatus != "RUNNING" || p.real[last(task.ARN)] != "" {
			continue
		}
		in := &ecs.RegisterTaskDefinitionInput{Family: aws.String("recorded")}
		for _, name := range task.Containers {
			in.ContainerDefinitions = append(in.ContainerDefinitions, types.ContainerDefinition{Name: &name, Image: aws.String("busybox"), Memory: aws.Int32(16)})
		}
		if p.roles[m.MessageID] {
			in.TaskRoleArn = aws.String(webRole)
		}
		arn := p.l.start("demo", p.instance, in)
		p.real[last(task.ARN)] = last(arn)
		p.want[arn] = &outcome{}
		if task.Containers[0] == "service-connect" {
			// The server does not send what the agent takes for something else.
			p.l.until(arn, "STOPPED")
			p.want[arn].status, p.want[arn].reason = "STOPPED", ""
			continue
		}
		got := p.payload(arn, "RUNNING")
		p.real[`"`+m.MessageID+`"`] = `"` + got.MessageID + `"`
		p.running = append(p.running, arn)
		if c := got.Tasks[0].RoleCredentials; c != nil {
			p.want[arn].credentials = c.CredentialsID
		}
	}
}

// TestRecordings says again what agent 1.105.1 said in three runs: tasks of many fates, images that are not there, kills, reports
// out of order, a restart with and without its data.
func TestRecordings(t *testing.T) {
	for _, name := range []string{"session", "ec2-mode", "out-of-order"} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 0)
			if _, err := l.ecs.CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: aws.String("demo")}); err != nil {
				t.Fatal(err)
			}
			p := &player{agent: newAgent(t, l.info.Endpoint, l.info.NewAgent()), l: l, real: map[string]string{}, roles: map[string]bool{}, want: map[string]*outcome{}}
			p.play(recording(t, name))
			for arn, want := range p.want {
				p.compare(arn, want)
			}
			t.Logf("%d tasks", len(p.want))
		})
	}
}

func (p *player) compare(arn string, want *outcome) {
	p.t.Helper()
	task := p.l.describe("demo", arn)
	c := task.Containers[0]
	if aws.ToString(task.LastStatus) != want.status || !same(c.ExitCode, want.exitCode) || aws.ToString(c.RuntimeId) != want.runtimeID || aws.ToString(c.ImageDigest) != want.digest || len(c.NetworkBindings) != want.bindings {
		p.t.Errorf("%s came to %s, %+v; want %+v", arn, aws.ToString(task.LastStatus), c, want)
	}
	if want.reason != "" && aws.ToString(c.Reason) != want.reason {
		p.t.Errorf("%s: reason %q, want %q", arn, aws.ToString(c.Reason), want.reason)
	}
}

func same(a, b *int32) bool { return a == b || a != nil && b != nil && *a == *b }
