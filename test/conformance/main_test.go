package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"roadstead.dev/roadstead/internal/devcluster"
	domain "roadstead.dev/roadstead/internal/ecs"
)

// image is in a public registry; what the tests run is in it.
const image = "public.ecr.aws/docker/library/busybox:latest"

// target is what the suite runs against.
type target struct {
	endpoint, cluster string
	subnets           []string
	ecs               *ecs.Client
	logs              *cloudwatchlogs.Client
	sts               *sts.Client
	// account and region are those of the caller.
	account, region string
}

var the target

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	the.endpoint, the.cluster = os.Getenv("ROADSTEAD_CONFORMANCE_ENDPOINT"), os.Getenv("ROADSTEAD_CONFORMANCE_CLUSTER")
	if the.endpoint == "" {
		stop, err := startDev()
		if err != nil {
			return fail(err)
		}
		defer stop()
	}
	if the.cluster == "" {
		return fail(errors.New("say in ROADSTEAD_CONFORMANCE_CLUSTER which cluster has container instances, or none"))
	}
	if s := os.Getenv("ROADSTEAD_CONFORMANCE_SUBNETS"); s != "" && s != "none" {
		the.subnets = strings.Split(s, ",")
	} else if s == "" && the.subnets == nil {
		return fail(errors.New("say in ROADSTEAD_CONFORMANCE_SUBNETS which subnets tasks on Fargate may use, with commas between them, or none"))
	}
	if err := connect(context.Background()); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "conformance:", err)
	return 1
}

// startDev runs what `roadstead dev` runs, and points the environment, which the other clients inherit, to it.
func startDev() (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan devcluster.DevInfo, 1), make(chan error, 1)
	go func() {
		ended <- devcluster.Dev(ctx, devcluster.DevConfig{
			Listen: "127.0.0.1:0", Place: domain.Place{Account: "123456789012", Region: "us-east-1"}, Nodes: 3, Zones: 3, CPU: 4096, MemoryMiB: 16384,
			Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})), Ready: func(i devcluster.DevInfo) { ready <- i },
		})
	}()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "conformance: the simulation did not end well:", err)
		}
	}
	select {
	case err := <-ended:
		cancel()
		return nil, err
	case info := <-ready:
		the.endpoint, the.cluster, the.subnets = info.Endpoint, "default", []string{"subnet-00000000000000001"}
		for k, v := range map[string]string{
			"AWS_ACCESS_KEY_ID": info.Root.AccessKeyID, "AWS_SECRET_ACCESS_KEY": info.Root.SecretAccessKey, "AWS_SESSION_TOKEN": "",
			"AWS_REGION": info.Place.Region, "AWS_DEFAULT_REGION": info.Place.Region,
			"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
		} {
			if err := os.Setenv(k, v); err != nil {
				return nil, err
			}
			if v == "" {
				os.Unsetenv(k)
			}
		}
		return stop, nil
	}
}

func connect(ctx context.Context) error {
	var options []func(*config.LoadOptions) error
	if the.endpoint != "aws" {
		options = append(options, config.WithBaseEndpoint(the.endpoint))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return err
	}
	the.ecs, the.logs, the.sts, the.region = ecs.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg), sts.NewFromConfig(cfg), cfg.Region
	me, err := the.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return fmt.Errorf("who am I: %w", err)
	}
	the.account = aws.ToString(me.Account)
	return nil
}

// suite is one test with names of its own. Tests run side by side.
type suite struct {
	*testing.T
	target
	ctx  context.Context
	name string
}

func begin(t *testing.T) *suite {
	t.Parallel()
	return newSuite(t)
}

func newSuite(t *testing.T) *suite {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return &suite{T: t, target: the, ctx: t.Context(), name: "conformance-" + hex.EncodeToString(b[:])}
}

// beginOnInstances is begin for tests that run tasks on container instances.
func beginOnInstances(t *testing.T) *suite {
	if the.cluster == "none" {
		t.Skip("needs container instances, and ROADSTEAD_CONFORMANCE_CLUSTER=none says that there are none")
	}
	return begin(t)
}

// beginOnFargate is begin for tests that run tasks on Fargate in the cluster with the instances.
func beginOnFargate(t *testing.T) *suite {
	if len(the.subnets) == 0 {
		t.Skip("needs a subnet, and ROADSTEAD_CONFORMANCE_SUBNETS=none says that there is none")
	}
	return beginOnInstances(t)
}

// cleanup runs f after the test, with a context that has not ended. NotFound errors are as good as none.
func (s *suite) cleanup(f func(ctx context.Context) error) {
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f(ctx); err != nil && !strings.Contains(codeOf(err), "NotFound") {
			s.Errorf("clean up: %v", err)
		}
	})
}

// must gives the output of a call that has to succeed.
func must[O any](s *suite) func(*O, error) *O {
	return func(out *O, err error) *O {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
		return out
	}
}

// refused checks that an error is of a modelled exception type, and has the text in its message.
func refused[E error](s *suite, err error, text string) {
	s.Helper()
	var want E
	if !errors.As(err, &want) {
		s.Errorf("%v is not a %T", err, want)
		return
	}
	var api smithy.APIError
	if errors.As(err, &api) && !strings.Contains(api.ErrorMessage(), text) {
		s.Errorf("the message is %q, without %q", api.ErrorMessage(), text)
	}
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// newCluster makes a cluster that is deleted after the test.
func (s *suite) newCluster(tags ...types.Tag) *types.Cluster {
	s.Helper()
	out, err := s.ecs.CreateCluster(s.ctx, &ecs.CreateClusterInput{ClusterName: &s.name, Tags: tags})
	if err != nil {
		s.Fatal(err)
	}
	s.cleanup(func(ctx context.Context) error {
		_, err := s.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &s.name})
		return err
	})
	return out.Cluster
}

// define registers a task definition of the suite's family with one container, which is deregistered after the test.
func (s *suite) define(change func(*ecs.RegisterTaskDefinitionInput)) *types.TaskDefinition {
	s.Helper()
	in := &ecs.RegisterTaskDefinitionInput{Family: &s.name, ContainerDefinitions: []types.ContainerDefinition{
		{Name: aws.String("main"), Image: aws.String(image), Memory: aws.Int32(16), Command: []string{"sleep", "3600"}, StopTimeout: aws.Int32(2)},
	}}
	if change != nil {
		change(in)
	}
	out, err := s.ecs.RegisterTaskDefinition(s.ctx, in)
	if err != nil {
		s.Fatal(err)
	}
	s.cleanup(func(ctx context.Context) error {
		_, err := s.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: out.TaskDefinition.TaskDefinitionArn})
		if codeOf(err) == "ClientException" { // it was deleted
			return nil
		}
		return err
	})
	return out.TaskDefinition
}

// command is define with a command.
func (s *suite) command(words ...string) *types.TaskDefinition {
	s.Helper()
	return s.define(func(in *ecs.RegisterTaskDefinitionInput) { in.ContainerDefinitions[0].Command = words })
}

// start runs tasks of a definition on the instances, which are stopped after the test.
func (s *suite) start(d *types.TaskDefinition, change func(*ecs.RunTaskInput)) *ecs.RunTaskOutput {
	s.Helper()
	in := &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: d.TaskDefinitionArn, StartedBy: &s.name}
	if change != nil {
		change(in)
	}
	out, err := s.ecs.RunTask(s.ctx, in)
	if err != nil {
		s.Fatal(err)
	}
	for _, t := range out.Tasks {
		s.cleanup(func(ctx context.Context) error {
			_, err := s.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: &s.cluster, Task: t.TaskArn})
			return err
		})
	}
	return out
}

// wait waits with the SDK's waiter until the tasks are RUNNING or STOPPED, and gives them.
func (s *suite) wait(status string, tasks ...types.Task) []types.Task {
	s.Helper()
	in := &ecs.DescribeTasksInput{Cluster: &s.cluster}
	for _, t := range tasks {
		in.Tasks = append(in.Tasks, *t.TaskArn)
	}
	var err error
	if status == "RUNNING" {
		err = ecs.NewTasksRunningWaiter(s.ecs, func(o *ecs.TasksRunningWaiterOptions) { o.MinDelay = 50 * time.Millisecond }).Wait(s.ctx, in, 3*time.Minute)
	} else {
		err = ecs.NewTasksStoppedWaiter(s.ecs, func(o *ecs.TasksStoppedWaiterOptions) { o.MinDelay = 50 * time.Millisecond }).Wait(s.ctx, in, 3*time.Minute)
	}
	if err != nil {
		s.Fatalf("tasks %s: %v", status, err)
	}
	out, err := s.ecs.DescribeTasks(s.ctx, in)
	if err != nil {
		s.Fatal(err)
	}
	return out.Tasks
}

// cli runs the AWS CLI and gives what it prints, read as JSON.
func (s *suite) cli(args ...string) map[string]any {
	s.Helper()
	out, stderr, err := s.tryCLI(args...)
	if err != nil {
		s.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	var answer map[string]any
	if len(bytes.TrimSpace(out)) > 0 {
		if err := json.Unmarshal(out, &answer); err != nil {
			s.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return answer
}

// tryCLI is cli for calls that may fail.
func (s *suite) tryCLI(args ...string) (stdout, stderr []byte, err error) {
	binary := "/usr/bin/aws" // Debian's, which scripts/setup installs; other systems have theirs in the path
	if _, err := os.Stat(binary); err != nil {
		binary = "aws"
	}
	all := append([]string{"--output", "json", "--no-cli-pager"}, args...)
	if s.endpoint != "aws" {
		all = append([]string{"--endpoint-url", s.endpoint}, all...)
	}
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, all...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.Bytes(), errs.Bytes(), err
}

// arn is one of ECS's of the caller's account.
func (s *suite) arn(resource string) string {
	return fmt.Sprintf("arn:aws:ecs:%s:%s:%s", s.region, s.account, resource)
}

// at looks into JSON: keys, and the numbers of list elements.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}
