package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestKilled: after SIGKILL the containers run on, and the next start finds them, and what ended meanwhile.
func TestKilled(t *testing.T) {
	in := up(t)
	in.register("long", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sleep", "600"}, StopTimeout: aws.Int32(2)})
	in.register("short", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sh", "-c", "echo before; sleep 2; echo after; exit 9"}, LogConfiguration: awslogs("/killed")})
	long, short := in.runTask("long"), in.runTask("short")
	before := in.wait(long, "RUNNING")
	in.wait(short, "RUNNING")
	in.kill()
	time.Sleep(3 * time.Second) // the short task ends while nobody is there
	in.start()
	ended := in.wait(short, "STOPPED")
	if code := aws.ToInt32(ended.Containers[0].ExitCode); code != 9 {
		t.Errorf("the task that ended meanwhile has exit code %d (%s)", code, aws.ToString(ended.StoppedReason))
	}
	eventually(t, "the log written while nobody was there", func() bool {
		got := in.events("/killed")
		return strings.Contains(got, "before") && strings.Contains(got, "after")
	})
	after := in.wait(long, "RUNNING")
	if *after.Containers[0].RuntimeId != *before.Containers[0].RuntimeId {
		t.Error("the running task was started again")
	}
	in.stopTask(long, "")
}

// TestStopped: Ctrl-C is clean, and the next start finds everything.
func TestStopped(t *testing.T) {
	in := up(t)
	in.register("long", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sleep", "600"}, StopTimeout: aws.Int32(2)})
	arn := in.runTask("long")
	before := in.wait(arn, "RUNNING")
	in.stop()
	in.start()
	after := in.wait(arn, "RUNNING")
	if *after.Containers[0].RuntimeId != *before.Containers[0].RuntimeId {
		t.Error("the running task was started again")
	}
	list, err := in.ECS.ListTaskDefinitionFamilies(t.Context(), &ecs.ListTaskDefinitionFamiliesInput{})
	if err != nil || len(list.Families) != 1 {
		t.Errorf("families %v, %v", list, err)
	}
	instances, err := in.ECS.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{})
	if err != nil || len(instances.ContainerInstanceArns) != 1 {
		t.Errorf("instances %v, %v", instances, err)
	}
}

// TestTwoInstallations: two on one machine know nothing of one another.
func TestTwoInstallations(t *testing.T) {
	a, b := up(t), up(t)
	for _, in := range []*installation{a, b} {
		in.register("web", types.NetworkModeBridge, types.ContainerDefinition{
			Name: aws.String("c"), Image: aws.String("roadstead/hello:latest"), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}}, StopTimeout: aws.Int32(2)})
	}
	ta, tb := a.runTask("web"), b.runTask("web")
	a.wait(ta, "RUNNING")
	b.wait(tb, "RUNNING")
	a.stop()
	task := b.wait(tb, "RUNNING")
	fetch(t, "http://127.0.0.1:"+portOf(task)+"/")
	a.start()
	a.stopTask(ta, "")
	if task := b.describe(tb); *task.LastStatus != "RUNNING" {
		t.Errorf("the other installation's task is %s", *task.LastStatus)
	}
	fetch(t, "http://127.0.0.1:"+portOf(task)+"/")
}

func portOf(task types.Task) string {
	return strconv.Itoa(int(*task.Containers[0].NetworkBindings[0].HostPort))
}

// eventually waits for what must come true soon.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, 20*time.Second, what, ok)
}

// within is eventually for what takes longer.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
