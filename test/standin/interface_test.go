package standin_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// attachment is what is looked at of an AttachTaskNetworkInterfacesMessage, and of the interface in a payload.
type attachment struct {
	MessageID, TaskARN, TaskClusterARN string
	WaitTimeoutMs                      int64
	ElasticNetworkInterfaces           []netInterface
}

type netInterface struct {
	AttachmentARN, EC2ID, MACAddress, SubnetGatewayIPv4Address string
	IPv4Addresses                                              []struct {
		PrivateAddress string
		Primary        bool
	}
}

// joinWithInterfaces registers a host that can do awsvpc, and offers two interfaces in one subnet.
func (l *lab) joinWithInterfaces(offers ...string) *agent {
	l.t.Helper()
	a := newAgent(l.t, l.info.Endpoint, l.info.NewAgent())
	a.instance = text(a.must("RegisterContainerInstance", registration(l.t, "", func(body map[string]any) {
		attributes := append(body["attributes"].([]any), map[string]any{"name": "ecs.capability.task-eni"})
		for i, o := range offers {
			attributes = append(attributes, map[string]any{"name": "roadstead.network-interface." + string(rune('1'+i)), "value": o})
		}
		body["attributes"] = attributes
	})), "containerInstance", "containerInstanceArn")
	a.connect("true")
	l.eventually("it is connected", func() bool { return l.describeInstance(a.instance).AgentConnected })
	return a
}

const (
	offer1 = "0a:00:00:00:00:01 10.1.0.11/24 10.1.0.1 subnet-0a1b2c3d"
	offer2 = "0a:00:00:00:00:02 10.1.0.12/24 10.1.0.1 subnet-0a1b2c3d"
)

// own starts a task with an interface of its own; the failure's reason where there is none.
func (l *lab) own(a *agent, subnet string) (arn, reason string) {
	l.t.Helper()
	in := simple("own")
	in.NetworkMode = types.NetworkModeAwsvpc
	if _, err := l.ecs.RegisterTaskDefinition(l.t.Context(), in); err != nil {
		l.t.Fatal(err)
	}
	out, err := l.ecs.StartTask(l.t.Context(), &ecs.StartTaskInput{TaskDefinition: in.Family, ContainerInstances: []string{a.instance},
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{subnet}}}})
	if err != nil {
		l.t.Fatal(err)
	}
	if len(out.Failures) > 0 {
		return "", *out.Failures[0].Reason
	}
	return *out.Tasks[0].TaskArn, ""
}

func (a *agent) attachment() (m attachment) {
	a.t.Helper()
	unmarshal(a.t, a.acs.expect("AttachTaskNetworkInterfacesMessage", nil), &m)
	if len(m.ElasticNetworkInterfaces) != 1 || m.WaitTimeoutMs <= 0 {
		a.t.Fatalf("%+v", m)
	}
	return m
}

func (a *agent) attached(task, attachment string) answer {
	a.t.Helper()
	return a.call("SubmitTaskStateChange", `{"cluster":"`+a.cluster+`","task":"`+task+`","attachments":[{"attachmentArn":"`+attachment+`","status":"ATTACHED"}]}`)
}

// TestInterface: the agent is told of a task's interface first, and of the task when it has found it.
func TestInterface(t *testing.T) {
	l := newLab(t, 0)
	a := l.joinWithInterfaces(offer1, offer2)
	arn, reason := l.own(a, "subnet-0a1b2c3d")
	if reason != "" {
		t.Fatal(reason)
	}
	m := a.attachment()
	i := m.ElasticNetworkInterfaces[0]
	if m.TaskARN != arn || i.MACAddress != "0a:00:00:00:00:01" || i.IPv4Addresses[0].PrivateAddress != "10.1.0.11" || !i.IPv4Addresses[0].Primary || i.SubnetGatewayIPv4Address != "10.1.0.1/24" || !strings.HasPrefix(i.EC2ID, "eni-") {
		t.Errorf("%+v", m)
	}
	a.ack(m.MessageID)
	if task := l.describe("default", arn); *task.LastStatus != "PROVISIONING" || *task.Attachments[0].Status != "ATTACHING" {
		t.Errorf("%s, %s", *task.LastStatus, *task.Attachments[0].Status)
	}
	// A connection that is renewed meanwhile is told again, of the same.
	a.openACS("false")
	again := a.attachment()
	if again.ElasticNetworkInterfaces[0].AttachmentARN != i.AttachmentARN || again.MessageID == m.MessageID {
		t.Errorf("%+v after %+v", again, m)
	}
	a.acs.expect("TaskManifestMessage", nil)
	for _, f := range a.acs.kept {
		if f.Type == "PayloadMessage" {
			t.Errorf("the task came before its interface: %s", f.Message)
		}
	}
	wrong := strings.Replace(i.AttachmentARN, "attachment/", "attachment/0", 1)
	for _, bad := range []string{wrong, "", arn} {
		if out := a.attached(arn, bad); out.exception != invalid {
			t.Errorf("attachment %q: %+v", bad, out)
		}
	}
	for range 2 {
		if out := a.attached(arn, i.AttachmentARN); out.exception != "" {
			t.Fatalf("%+v", out)
		}
	}
	p := a.payload(arn, "RUNNING")
	if got := p.Tasks[0].ElasticNetworkInterfaces; len(got) != 1 || got[0].AttachmentARN != i.AttachmentARN || got[0].MACAddress != i.MACAddress {
		t.Errorf("the payload has %+v", got)
	}
	a.ack(p.MessageID)
	a.report(arn, "RUNNING", "")
	if task := l.until(arn, "RUNNING"); *task.Attachments[0].Status != "ATTACHED" {
		t.Errorf("%s", *task.Attachments[0].Status)
	}
	a.report(arn, "STOPPED", `,"exitCode":0`)
	l.until(arn, "STOPPED")
	// Too late, and of no more interest.
	if out := a.attached(arn, i.AttachmentARN); out.exception != "" {
		t.Errorf("%+v", out)
	}
	if task := l.describe("default", arn); *task.Attachments[0].Status != "DELETED" {
		t.Errorf("%s", *task.Attachments[0].Status)
	}
}

// TestInterfacesRunOut: a host has as many such tasks as interfaces, each its own, and gives them back.
func TestInterfacesRunOut(t *testing.T) {
	l := newLab(t, 0)
	none := l.joinWithInterfaces()
	if _, reason := l.own(none, "subnet-0a1b2c3d"); reason != "RESOURCE:ENI" {
		t.Errorf("a host that offers none: %q", reason)
	}
	if _, reason := l.own(l.join1(), "subnet-0a1b2c3d"); reason != "ATTRIBUTE" {
		t.Errorf("a host that cannot: %q", reason)
	}
	a := l.joinWithInterfaces(offer1, offer2)
	if _, reason := l.own(a, "subnet-0a1b2c3e"); reason != "RESOURCE:ENI" {
		t.Errorf("in another subnet: %q", reason)
	}
	first, _ := l.own(a, "subnet-0a1b2c3d")
	if _, reason := l.own(a, "subnet-0a1b2c3d"); reason != "" {
		t.Error(reason)
	}
	if one, two := a.attachment(), a.attachment(); one.ElasticNetworkInterfaces[0].MACAddress == two.ElasticNetworkInterfaces[0].MACAddress {
		t.Error("two tasks have one interface")
	}
	if _, reason := l.own(a, "subnet-0a1b2c3d"); reason != "RESOURCE:ENI" {
		t.Errorf("the third: %q", reason)
	}
	// One that is stopped before its interface was found is told to stop, and reported as agents do of what they never had.
	if _, err := l.ecs.StopTask(t.Context(), &ecs.StopTaskInput{Task: &first}); err != nil {
		t.Fatal(err)
	}
	a.ack(a.payload(first, "STOPPED").MessageID)
	a.must("SubmitTaskStateChange", `{"cluster":"default","task":"`+first+`","status":"STOPPED","reason":"TaskStateError: Agent could not progress task's state to stopped"}`)
	l.until(first, "STOPPED")
	if _, reason := l.own(a, "subnet-0a1b2c3d"); reason != "" {
		t.Errorf("after one has ended: %q", reason)
	}
	for _, bad := range []string{"x", "0a:00:00:00:00:01 10.1.0.11 10.1.0.1 subnet-0a1b2c3d", "0a:00:00:00:00:01 10.1.0.11/24 10.2.0.1 subnet-0a1b2c3d", "0a:00 10.1.0.11/24 10.1.0.1 subnet-0a1b2c3d"} {
		if out := a.call("PutAttributes", `{"attributes":[{"name":"roadstead.network-interface.1","value":"`+bad+`","targetType":"container-instance","targetId":"`+a.instance+`"}]}`); out.exception == "" {
			t.Errorf("%q was taken", bad)
		}
	}
}

// join1 is join, connected.
func (l *lab) join1() *agent {
	l.t.Helper()
	a := l.join()
	a.connect("true")
	l.eventually("it is connected", func() bool {
		return aws.ToString(l.describeInstance(a.instance).Status) == "ACTIVE" && l.describeInstance(a.instance).AgentConnected
	})
	return a
}
