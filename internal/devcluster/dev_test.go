package devcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	domain "roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// simulation is a Dev that runs for a test.
type simulation struct {
	t    *testing.T
	info DevInfo
	ecs  *ecs.Client
	logs *cloudwatchlogs.Client
}

func simulate(t *testing.T, change func(*DevConfig)) *simulation {
	t.Helper()
	cfg := DevConfig{
		Listen: "127.0.0.1:0", Place: domain.Place{Account: "123456789012", Region: "us-east-1"}, Nodes: 3, Zones: 3, CPU: 4096, MemoryMiB: 16384,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if change != nil {
		change(&cfg)
	}
	s := &simulation{t: t}
	ready, ended := make(chan struct{}), make(chan error, 1)
	cfg.Ready = func(info DevInfo) { s.info = info; close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- Dev(ctx, cfg) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s.ecs = s.client(s.info.Root.AccessKeyID, s.info.Root.SecretAccessKey)
	s.logs = cloudwatchlogs.New(cloudwatchlogs.Options{
		Region: "us-east-1", BaseEndpoint: &s.info.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(s.info.Root.AccessKeyID, s.info.Root.SecretAccessKey, ""),
	})
	return s
}

func (s *simulation) client(id, secret string) *ecs.Client {
	return ecs.New(ecs.Options{Region: "us-east-1", BaseEndpoint: &s.info.Endpoint, Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
}

func (s *simulation) reset() {
	s.t.Helper()
	res, err := http.Post(s.info.Endpoint+"/_roadstead/reset", "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("reset: %s, %q, %v", res.Status, body, err)
	}
}

// run runs a task of one container and waits for its end.
func (s *simulation) run(c types.ContainerDefinition, wait string) types.Task {
	s.t.Helper()
	c.Name, c.Image, c.Memory = aws.String("main"), aws.String("example"), aws.Int32(16)
	ctx := s.t.Context()
	_, err := s.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{Family: aws.String("f"), ContainerDefinitions: []types.ContainerDefinition{c}})
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.ecs.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("f")})
	if err != nil || len(out.Tasks) != 1 {
		s.t.Fatalf("RunTask: %+v, %v", out, err)
	}
	return s.wait(*out.Tasks[0].TaskArn, wait)
}

func (s *simulation) wait(arn, status string) types.Task {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		out, err := s.ecs.DescribeTasks(s.t.Context(), &ecs.DescribeTasksInput{Tasks: []string{arn}})
		if err != nil || len(out.Tasks) != 1 {
			s.t.Fatalf("DescribeTasks: %+v, %v", out, err)
		}
		if t := out.Tasks[0]; *t.LastStatus == status {
			return t
		} else if *t.LastStatus == "STOPPED" || time.Now().After(end) {
			s.t.Fatalf("the task is %s (%s), not %s", *t.LastStatus, aws.ToString(t.StoppedReason), status)
		}
	}
}

// TestReset resets a hundred times while callers do as they please: each reset leaves the nodes in an empty cluster, and no
// caller gets an answer but a success or an error of AWS's.
func TestReset(t *testing.T) {
	s := simulate(t, nil)
	s.reset()
	goroutines := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() { s.disturb(ctx, i) })
	}
	var total time.Duration
	for range 100 {
		begin := time.Now()
		s.reset()
		total += time.Since(begin)
		out, err := s.ecs.DescribeClusters(t.Context(), &ecs.DescribeClustersInput{})
		if err != nil || len(out.Clusters) != 1 || out.Clusters[0].RegisteredContainerInstancesCount != 3 {
			t.Fatalf("after a reset: %+v, %v", out, err)
		}
	}
	cancel()
	callers.Wait()
	t.Logf("a reset takes %v under load", total/100)
	s.reset()
	s.empty()
	// Nothing of the worlds before stays: each has more than this.
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines+50; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines after a hundred resets, %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}

// disturb makes things until ctx ends.
func (s *simulation) disturb(ctx context.Context, i int) {
	family := aws.String(fmt.Sprintf("f%d", i))
	c := types.ContainerDefinition{
		Name: aws.String("main"), Image: aws.String("example"), Memory: aws.Int32(16), Command: []string{"sh", "-c", "echo hello; sleep 0.01"},
		LogConfiguration: &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": "/g", "awslogs-create-group": "true", "awslogs-stream-prefix": "p", "awslogs-region": "us-east-1"}},
	}
	for ctx.Err() == nil {
		_, err := s.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{Family: family, ContainerDefinitions: []types.ContainerDefinition{c}})
		if err == nil {
			_, err = s.ecs.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: family, Count: aws.Int32(5)})
		}
		var api smithy.APIError
		if err != nil && ctx.Err() == nil && !errors.As(err, &api) {
			s.t.Errorf("a caller during resets: %v", err)
		}
	}
}

func (s *simulation) empty() {
	s.t.Helper()
	ctx := s.t.Context()
	families, err := s.ecs.ListTaskDefinitionFamilies(ctx, &ecs.ListTaskDefinitionFamiliesInput{})
	if err != nil || len(families.Families) != 0 {
		s.t.Errorf("families: %+v, %v", families, err)
	}
	tasks, err := s.ecs.ListTasks(ctx, &ecs.ListTasksInput{})
	if err != nil || len(tasks.TaskArns) != 0 {
		s.t.Errorf("tasks: %+v, %v", tasks, err)
	}
	groups, err := s.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
	if err != nil || len(groups.LogGroups) != 0 {
		s.t.Errorf("log groups: %+v, %v", groups, err)
	}
	out, err := s.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{Family: aws.String("f0"), ContainerDefinitions: []types.ContainerDefinition{
		{Name: aws.String("main"), Image: aws.String("example"), Memory: aws.Int32(16)}}})
	if err != nil || out.TaskDefinition.Revision != 1 {
		s.t.Errorf("the first revision: %+v, %v", out, err)
	}
}

func TestContainers(t *testing.T) {
	s := simulate(t, nil)
	label := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m["roadstead.dev/"+kv[i]] = kv[i+1]
		}
		return m
	}
	code := func(t types.Task) int32 { return aws.ToInt32(t.Containers[0].ExitCode) }
	if got := s.run(types.ContainerDefinition{Command: []string{"sh", "-c", "echo x; exit 3"}}, "STOPPED"); code(got) != 3 || got.StopCode != types.TaskStopCodeEssentialContainerExited {
		t.Errorf("a script that exits: %+v", got)
	}
	if got := s.run(types.ContainerDefinition{DockerLabels: label("exit-after", "10ms", "exit-code", "7")}, "STOPPED"); code(got) != 7 || got.StartedAt == nil {
		t.Errorf("exit labels: %+v", got)
	}
	if got := s.run(types.ContainerDefinition{DockerLabels: label("pull-fail", "no such image")}, "STOPPED"); aws.ToString(got.Containers[0].Reason) != "CannotPullContainerError: no such image" {
		t.Errorf("pull-fail: %+v", got)
	}
	if got := s.run(types.ContainerDefinition{DockerLabels: label("start-fail", "true")}, "STOPPED"); !strings.HasPrefix(aws.ToString(got.Containers[0].Reason), "CannotStartContainerError: ") {
		t.Errorf("start-fail: %+v", got)
	}
	if got := s.run(types.ContainerDefinition{DockerLabels: label("oom", "true")}, "STOPPED"); !strings.HasPrefix(aws.ToString(got.Containers[0].Reason), "OutOfMemoryError") || code(got) != 137 {
		t.Errorf("oom: %+v", got)
	}
	noGroup := types.ContainerDefinition{LogConfiguration: &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{"awslogs-group": "/none", "awslogs-region": "us-east-1"}}}
	if got := s.run(noGroup, "STOPPED"); !strings.Contains(aws.ToString(got.Containers[0].Reason), "ResourceNotFoundException: The specified log group does not exist.") {
		t.Errorf("a log group that is not there: %q", aws.ToString(got.Containers[0].Reason))
	}
	stubborn := s.run(types.ContainerDefinition{DockerLabels: label("ignore-sigterm", "true"), StopTimeout: aws.Int32(2)}, "RUNNING")
	if _, err := s.ecs.StopTask(t.Context(), &ecs.StopTaskInput{Task: stubborn.TaskArn}); err != nil {
		t.Fatal(err)
	}
	if got := s.wait(*stubborn.TaskArn, "STOPPED"); code(got) != 137 {
		t.Errorf("ignore-sigterm: %+v", got)
	}
}

func TestOutput(t *testing.T) {
	s := simulate(t, nil)
	task := s.run(types.ContainerDefinition{
		Command: []string{"sh", "-c", `echo "hello $WHO"; sleep 0.02; echo bye`}, DockerLabels: map[string]string{"roadstead.dev/log": "one\ntwo"},
		Environment: []types.KeyValuePair{{Name: aws.String("WHO"), Value: aws.String("world")}},
		LogConfiguration: &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": "/g", "awslogs-create-group": "true", "awslogs-stream-prefix": "p", "awslogs-region": "us-east-1"}},
	}, "STOPPED")
	id := (*task.TaskArn)[strings.LastIndex(*task.TaskArn, "/")+1:]
	out, err := s.logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{
		LogGroupName: aws.String("/g"), LogStreamName: aws.String("p/main/" + id), StartFromHead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range out.Events {
		lines = append(lines, *e.Message)
	}
	if got := strings.Join(lines, "|"); got != "one|two|hello world|bye" {
		t.Errorf("the output is %q", got)
	}
}

func TestAnyKey(t *testing.T) {
	for _, any := range []bool{false, true} {
		s := simulate(t, func(c *DevConfig) { c.AnyKey, c.Nodes = any, 0 })
		_, err := s.client("test", "whatever").ListClusters(t.Context(), &ecs.ListClustersInput{})
		if (err == nil) != any {
			t.Errorf("any key %v: %v", any, err)
		}
		if _, err := s.client(s.info.Root.AccessKeyID, "wrong").ListClusters(t.Context(), &ecs.ListClustersInput{}); err == nil {
			t.Error("a known key with a wrong secret is let in")
		}
	}
}

func TestNodes(t *testing.T) {
	s := simulate(t, func(c *DevConfig) { c.Nodes, c.Zones = 5, 2 })
	list, err := s.ecs.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.ecs.DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{ContainerInstances: list.ContainerInstanceArns})
	if err != nil || len(out.ContainerInstances) != 5 {
		t.Fatalf("%+v, %v", out, err)
	}
	zones := map[string]int{}
	for _, i := range out.ContainerInstances {
		at := map[string]string{}
		for _, a := range i.Attributes {
			at[*a.Name] = aws.ToString(a.Value)
		}
		zones[at["ecs.availability-zone"]]++
		for _, name := range []string{"ecs.instance-type", "ecs.ami-id", "ecs.os-type", "ecs.cpu-architecture", "ecs.subnet-id", "ecs.vpc-id"} {
			if at[name] == "" {
				t.Errorf("no attribute %s", name)
			}
		}
		if !i.AgentConnected || !strings.HasPrefix(aws.ToString(i.Ec2InstanceId), "i-") {
			t.Errorf("instance: connected %v, id %v", i.AgentConnected, i.Ec2InstanceId)
		}
	}
	if zones["us-east-1a"] != 3 || zones["us-east-1b"] != 2 {
		t.Errorf("zones: %v", zones)
	}
}

// TestForeignPage: a page in a browser cannot reset.
func TestForeignPage(t *testing.T) {
	s := simulate(t, func(c *DevConfig) { c.Nodes = 0 })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.info.Endpoint+"/_roadstead/reset", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://example.com")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("a foreign page's reset answers %s", res.Status)
	}
}

// TestOnlyDevResets: a plane itself, which is what `up` and `server` serve, knows no reset.
func TestOnlyDevResets(t *testing.T) {
	ring := keyring.New("123456789012")
	p, err := newPlane(t.Context(), Config{Place: domain.Place{Account: "123456789012", Region: "us-east-1"}, Log: slog.New(slog.DiscardHandler)},
		foundation{kv: memkv.New(memkv.Unlimited), logs: logstore.Config{InMemory: true}, ring: ring, keys: ring, keeper: secrets.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for path, want := range map[string]int{"POST /_roadstead/reset": http.StatusNotFound, "GET /_roadstead/reset": http.StatusNotFound, "GET /_roadstead/health": http.StatusOK} {
		method, path, _ := strings.Cut(path, " ")
		rec := httptest.NewRecorder()
		p.handler.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if rec.Code != want {
			t.Errorf("%s %s: %d", method, path, rec.Code)
		}
	}
}

// TestEveryFeature: a definition with much that an agent may lack finds a place and runs.
func TestEveryFeature(t *testing.T) {
	s := simulate(t, nil)
	role := aws.String("arn:aws:iam::123456789012:role/r")
	_, err := s.ecs.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("all"), ExecutionRoleArn: role, TaskRoleArn: role, PidMode: types.PidModeTask, Cpu: aws.String("256"), Memory: aws.String("512"),
		Volumes: []types.Volume{{Name: aws.String("efs"), EfsVolumeConfiguration: &types.EFSVolumeConfiguration{FileSystemId: aws.String("fs-1")}}},
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("example"), Privileged: aws.Bool(true), RestartPolicy: &types.ContainerRestartPolicy{Enabled: aws.Bool(true)},
			HealthCheck:     &types.HealthCheck{Command: []string{"CMD", "true"}},
			Secrets:         []types.Secret{{Name: aws.String("S"), ValueFrom: aws.String("arn:aws:ssm:us-east-1:123456789012:parameter/p")}},
			LinuxParameters: &types.LinuxParameters{InitProcessEnabled: aws.Bool(true), SharedMemorySize: aws.Int32(64)},
			PortMappings:    []types.PortMapping{{ContainerPort: aws.Int32(80)}, {ContainerPort: aws.Int32(53), Protocol: types.TransportProtocolUdp}},
			MountPoints:     []types.MountPoint{{SourceVolume: aws.String("efs"), ContainerPath: aws.String("/e")}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.ecs.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("all")})
	if err != nil || len(out.Tasks) != 1 {
		t.Fatalf("RunTask: %+v, %v", out, err)
	}
	task := s.wait(*out.Tasks[0].TaskArn, "RUNNING")
	if b := task.Containers[0].NetworkBindings; len(b) != 2 || aws.ToInt32(b[0].HostPort) < 32768 {
		t.Errorf("bindings: %+v", b)
	}
}
