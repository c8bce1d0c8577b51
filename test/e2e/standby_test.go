package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestStandby: of two servers on one etcd each answers clients and agents, and when the one that leads is killed the other one takes
// over: no acknowledged write is lost, the agent stays where it is and the task runs on.
func TestStandby(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "")
	etcd := externalEtcd(t)
	start := func(dir, addr string) (*secured, *process) {
		t.Helper()
		s := &secured{installation: &installation{t: t, dir: dir, addr: addr}, node: tempDir(t)}
		p := launch(t, nil, "server", "--data-dir", dir, "--listen", addr, "--tls", "--etcd-endpoints", etcd)
		p.says("Endpoint: ")
		s.clients()
		return s, p
	}
	one, first := start(tempDir(t), "127.0.0.2:"+freePort(t))
	token := one.owner("token", "create")
	two, _ := start(withSecretsKey(t, one.dir), "127.0.0.3:"+freePort(t))

	// The agent and the clients use the standby.
	agent := two.agent(two.node, two.addr, token)
	t.Cleanup(func() {
		agent.end(syscall.SIGTERM)
		if out, err := roadstead(t, "destroy", "--data-dir", two.node, "--yes"); err != nil {
			t.Errorf("destroy: %v\n%s", err, out)
		}
	})
	agent.says("Joined")
	instance := two.connected(true)
	if same := one.connected(true); *same.ContainerInstanceArn != *instance.ContainerInstanceArn {
		t.Errorf("the servers tell of %s and %s", *one.connected(true).ContainerInstanceArn, *instance.ContainerInstanceArn)
	}
	define := func(s *secured, family string) (*ecs.RegisterTaskDefinitionOutput, error) {
		return s.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{Family: &family, NetworkMode: types.NetworkModeNone, ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("c"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32), StopTimeout: aws.Int32(2), Command: []string{"sleep", "600"}}}})
	}
	if _, err := define(two, "before"); err != nil {
		t.Fatal(err)
	}
	run, err := two.ECS.RunTask(t.Context(), &ecs.RunTaskInput{Cluster: aws.String("edge"), TaskDefinition: aws.String("before")})
	if err != nil || len(run.Tasks) != 1 {
		t.Fatalf("RunTask: %v, %+v", err, run)
	}
	arn := *run.Tasks[0].TaskArn
	eventually(t, "the task runs", func() bool { return *two.task(arn).LastStatus == "RUNNING" })
	started := two.task(arn).StartedAt

	begin := time.Now()
	first.end(syscall.SIGKILL)
	if _, err := define(two, "after"); err != nil {
		t.Fatalf("a write after the leader was killed: %v", err)
	}
	t.Logf("from SIGKILL of the leader to the first write at the other server: %v", time.Since(begin))
	if _, err := two.ECS.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("before:1")}); err != nil {
		t.Errorf("what was written before: %v", err)
	}
	if now := two.connected(true); *now.ContainerInstanceArn != *instance.ContainerInstanceArn {
		t.Errorf("the instance was %s and is %s", *instance.ContainerInstanceArn, *now.ContainerInstanceArn)
	}
	if task := two.task(arn); *task.LastStatus != "RUNNING" || !task.StartedAt.Equal(*started) {
		t.Errorf("the task is %s, started at %v", *task.LastStatus, task.StartedAt)
	}
	if _, err := two.ECS.StopTask(t.Context(), &ecs.StopTaskInput{Cluster: aws.String("edge"), Task: &arn}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task has stopped", func() bool { return *two.task(arn).LastStatus == "STOPPED" })

	// The one that was killed comes back as the standby.
	back, _ := start(one.dir, one.addr)
	if _, err := define(back, "back"); err != nil {
		t.Errorf("at the server that came back: %v", err)
	}
}
