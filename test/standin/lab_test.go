package standin_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/devcluster"
	domain "roadstead.dev/roadstead/internal/ecs"
)

const webRole = "arn:aws:iam::000000000000:role/web"

// lab is a control plane in memory, with as many instances of Roadstead's own agent as asked for.
type lab struct {
	t    *testing.T
	info devcluster.DevInfo
	ecs  *ecs.Client
}

func newLab(t *testing.T, nodes int) *lab {
	t.Helper()
	return newLabWith(t, nodes, devcluster.Settings{})
}

func newLabWith(t *testing.T, nodes int, settings devcluster.Settings) *lab {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan devcluster.DevInfo, 1), make(chan error, 1)
	go func() {
		ended <- devcluster.Dev(ctx, devcluster.DevConfig{
			Listen: "127.0.0.1:0", Place: domain.Place{Account: "000000000000", Region: "us-east-1"}, Nodes: nodes, Zones: 1, CPU: 2048, MemoryMiB: 4096, Settings: settings,
			Log: slog.New(slog.DiscardHandler), Ready: func(i devcluster.DevInfo) { ready <- i },
		})
	}()
	l := &lab{t: t}
	select {
	case err := <-ended:
		cancel()
		t.Fatal(err)
	case l.info = <-ready:
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	l.ecs = ecs.New(ecs.Options{
		Region: "us-east-1", BaseEndpoint: &l.info.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(l.info.Root.AccessKeyID, l.info.Root.SecretAccessKey, ""),
	})
	return l
}

// registration is what agent 1.105.1 registers with, of an instance of that ARN ("" for a new one) and of that size.
func registration(t *testing.T, arn string, change func(map[string]any)) string {
	t.Helper()
	var body map[string]any
	unmarshal(t, recording(t, "session")[0].Body, &body)
	delete(body, "clientToken")
	body["cluster"] = "default"
	if arn != "" {
		body["containerInstanceArn"] = arn
	}
	if change != nil {
		change(body)
	}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// join registers one more instance with Amazon's agent.
func (l *lab) join() *agent {
	l.t.Helper()
	a := newAgent(l.t, l.info.Endpoint, l.info.NewAgent())
	a.instance = text(a.must("RegisterContainerInstance", registration(l.t, "", nil)), "containerInstance", "containerInstanceArn")
	return a
}

// start registers a definition and starts a task of it on an instance.
func (l *lab) start(cluster, instance string, in *ecs.RegisterTaskDefinitionInput) string {
	l.t.Helper()
	if _, err := l.ecs.RegisterTaskDefinition(l.t.Context(), in); err != nil {
		l.t.Fatal(err)
	}
	// The server may greet an agent before it counts it as connected.
	l.eventually(instance+" is connected", func() bool {
		found, err := l.ecs.DescribeContainerInstances(l.t.Context(), &ecs.DescribeContainerInstancesInput{Cluster: &cluster, ContainerInstances: []string{instance}})
		return err == nil && len(found.ContainerInstances) == 1 && found.ContainerInstances[0].AgentConnected
	})
	out, err := l.ecs.StartTask(l.t.Context(), &ecs.StartTaskInput{Cluster: &cluster, TaskDefinition: in.Family, ContainerInstances: []string{instance}})
	if err != nil || len(out.Tasks) != 1 {
		l.t.Fatalf("StartTask: %+v, %v", out, err)
	}
	return *out.Tasks[0].TaskArn
}

// sleep starts a task of one container, c, on an agent's instance.
func (l *lab) sleep(a *agent) string {
	l.t.Helper()
	return l.start("default", a.instance, simple("sleep"))
}

func simple(family string) *ecs.RegisterTaskDefinitionInput {
	return &ecs.RegisterTaskDefinitionInput{
		Family: &family, TaskRoleArn: aws.String(webRole),
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("busybox"), Memory: aws.Int32(16)}},
	}
}

func (l *lab) describe(cluster, arn string) types.Task {
	l.t.Helper()
	out, err := l.ecs.DescribeTasks(l.t.Context(), &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{arn}})
	if err != nil || len(out.Tasks) != 1 {
		l.t.Fatalf("DescribeTasks: %+v, %v", out, err)
	}
	return out.Tasks[0]
}

func (l *lab) describeInstance(arn string) types.ContainerInstance {
	l.t.Helper()
	out, err := l.ecs.DescribeContainerInstances(l.t.Context(), &ecs.DescribeContainerInstancesInput{ContainerInstances: []string{arn}, Include: []types.ContainerInstanceField{"CONTAINER_INSTANCE_HEALTH"}})
	if err != nil || len(out.ContainerInstances) != 1 {
		l.t.Fatalf("DescribeContainerInstances: %+v, %v", out, err)
	}
	return out.ContainerInstances[0]
}

// until waits for a task to come to a status.
func (l *lab) until(arn, status string) types.Task {
	l.t.Helper()
	var task types.Task
	l.eventually(arn+" is "+status, func() bool {
		task = l.describe(strings.Split(arn, "/")[1], arn)
		return aws.ToString(task.LastStatus) == status
	})
	return task
}

func (l *lab) eventually(what string, ok func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatal("never: " + what)
		}
	}
}
