// Package e2e drives the built binary as a user would: `roadstead up`, the AWS CLI and SDK, real containers. It needs root,
// and the packages that scripts/setup installs; what is missing fails a test, with its name.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

const startTimeout = 60 * time.Second

// repo is the root of the checkout, binary the built roadstead, images the directory of the example images.
var repo, binary, images string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	wd, err := os.Getwd()
	if err != nil {
		return fail(err)
	}
	repo = filepath.Join(wd, "..", "..")
	if os.Geteuid() != 0 {
		return fail(fmt.Errorf("the end-to-end tests run real containers and need root"))
	}
	if dir := os.Getenv("ROADSTEAD_E2E_PREBUILT"); dir != "" {
		// A machine without Go and the AWS CLI, for tests that need neither (scripts/vm-cgroup2).
		binary, images = filepath.Join(dir, "roadstead"), filepath.Join(dir, "images")
		return m.Run()
	}
	for _, tool := range []string{"/usr/bin/aws", "/usr/bin/crun", "/usr/bin/busybox"} {
		if _, err := os.Stat(tool); err != nil {
			return fail(fmt.Errorf("%w: run scripts/setup test", err))
		}
	}
	binary, images = filepath.Join(repo, "bin", "roadstead"), filepath.Join(repo, "bin", "images")
	build := exec.Command("make", "-s", "build", "images")
	build.Dir = repo
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fail(fmt.Errorf("make build images: %w", err))
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

// installation is a running `roadstead up` with its own data directory and port.
type installation struct {
	t    *testing.T
	dir  string
	addr string
	// flags are given to each start beside the usual ones.
	flags []string
	cmd   *exec.Cmd
	log   *tail
	done  chan struct{}
	ECS   *ecs.Client
	Logs  *cloudwatchlogs.Client
}

// up starts an installation in a new directory.
func up(t *testing.T) *installation {
	t.Helper()
	in := newInstallation(t)
	in.start()
	return in
}

// newInstallation has a directory of its own, and is ended, containers included, with the test.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	// Not t.TempDir: its name is long, and unix sockets' paths are short.
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		t.Fatal(err)
	}
	in := &installation{t: t, dir: dir, addr: "127.0.0.1:0"}
	t.Cleanup(in.destroy)
	return in
}

// start runs the binary and waits until it says that it is ready.
func (in *installation) start() {
	in.t.Helper()
	args := []string{"up", "--data-dir", in.dir, "--listen", in.addr, "--log-level", "debug"}
	args = append(args, in.flags...)
	archives, err := filepath.Glob(filepath.Join(images, "*.tar"))
	if err != nil || len(archives) == 0 {
		in.t.Fatalf("no example images in %s: %v", images, err)
	}
	for _, a := range archives {
		args = append(args, "--import", a)
	}
	in.cmd = exec.Command(binary, args...)
	in.log = &tail{}
	in.cmd.Stderr = in.log
	out, err := in.cmd.StdoutPipe()
	if err != nil {
		in.t.Fatal(err)
	}
	if err := in.cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	done, ready := make(chan struct{}), make(chan string, 1)
	in.done = done
	go func() {
		defer close(done)
		scan := bufio.NewScanner(io.TeeReader(out, in.log))
		for scan.Scan() {
			if _, url, ok := strings.Cut(scan.Text(), "Endpoint: "); ok {
				ready <- strings.TrimSpace(url)
			}
		}
		in.cmd.Wait()
	}()
	select {
	case url := <-ready:
		in.addr = strings.TrimPrefix(url, "http://")
	case <-done:
		in.t.Fatalf("roadstead up ended before it was ready:\n%s", in.log)
	case <-time.After(startTimeout):
		in.t.Fatalf("roadstead up is not ready after %v:\n%s", startTimeout, in.log)
	}
	in.clients()
}

func (in *installation) clients() {
	cfg, err := config.LoadDefaultConfig(in.t.Context(),
		config.WithSharedConfigFiles([]string{filepath.Join(in.dir, "aws", "config")}),
		config.WithSharedCredentialsFiles([]string{filepath.Join(in.dir, "aws", "credentials")}),
		config.WithSharedConfigProfile("roadstead"))
	if err != nil {
		in.t.Fatal(err)
	}
	in.ECS, in.Logs = ecs.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg)
}

// kill ends the process with SIGKILL, as a crash would.
func (in *installation) kill() {
	in.cmd.Process.Kill()
	<-in.done
}

// stop ends it as Ctrl-C would, and expects a clean exit.
func (in *installation) stop() {
	in.t.Helper()
	in.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-in.done:
	case <-time.After(30 * time.Second):
		in.t.Errorf("did not stop within 30 s of SIGINT:\n%s", in.log)
		in.kill()
	}
	if code := in.cmd.ProcessState.ExitCode(); code != 0 {
		in.t.Errorf("exit code %d after SIGINT:\n%s", code, in.log)
	}
}

// destroy stops all tasks, ends the processes and removes what is left.
func (in *installation) destroy() {
	if in.t.Failed() && in.log != nil {
		in.t.Logf("the installation's log:\n%s", in.log)
	}
	if in.cmd != nil {
		in.kill()
	}
	out, err := exec.Command(binary, "destroy", "--data-dir", in.dir, "--yes").CombinedOutput()
	if err != nil {
		in.t.Errorf("roadstead destroy: %v\n%s", err, out)
	}
	if err := os.RemoveAll(in.dir); err != nil {
		in.t.Errorf("remove the data directory: %v", err)
	}
}

// cli runs Debian's AWS CLI against the installation and gives its output.
func (in *installation) cli(args ...string) string {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/aws", append([]string{"--endpoint-url", "http://" + in.addr, "--profile", "roadstead", "--no-cli-pager"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(in.dir, "aws", "credentials"), "AWS_CONFIG_FILE="+filepath.Join(in.dir, "aws", "config"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		in.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// register makes a task definition of one family, with container defaults filled in.
func (in *installation) register(family string, network types.NetworkMode, containers ...types.ContainerDefinition) {
	in.t.Helper()
	for i := range containers {
		c := &containers[i]
		if c.Image == nil {
			c.Image = aws.String("roadstead/busybox:latest")
		}
		if c.Memory == nil {
			c.Memory = aws.Int32(32)
		}
	}
	_, err := in.ECS.RegisterTaskDefinition(in.t.Context(), &ecs.RegisterTaskDefinitionInput{Family: &family, NetworkMode: network, ContainerDefinitions: containers})
	if err != nil {
		in.t.Fatal(err)
	}
}

// runTask runs one task of a family and gives its ARN.
func (in *installation) runTask(family string) string {
	in.t.Helper()
	out, err := in.ECS.RunTask(in.t.Context(), &ecs.RunTaskInput{TaskDefinition: &family})
	if err != nil {
		in.t.Fatal(err)
	}
	if len(out.Tasks) != 1 {
		in.t.Fatalf("RunTask: %d tasks, failures %+v", len(out.Tasks), out.Failures)
	}
	return *out.Tasks[0].TaskArn
}

// wait polls DescribeTasks until the task has a status, as the SDK's waiters do, and gives it.
func (in *installation) wait(arn, status string) types.Task {
	in.t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		t := in.describe(arn)
		if *t.LastStatus == status {
			return t
		}
		if *t.LastStatus == "STOPPED" || time.Now().After(deadline) {
			in.t.Fatalf("the task is %s (%s), not %s: %+v", *t.LastStatus, aws.ToString(t.StoppedReason), status, t.Containers)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (in *installation) describe(arn string) types.Task {
	in.t.Helper()
	out, err := in.ECS.DescribeTasks(in.t.Context(), &ecs.DescribeTasksInput{Tasks: []string{arn}})
	if err != nil {
		in.t.Fatal(err)
	}
	if len(out.Tasks) != 1 {
		in.t.Fatalf("DescribeTasks: %+v", out.Failures)
	}
	return out.Tasks[0]
}

// stopTask asks for a stop and waits for it.
func (in *installation) stopTask(arn, reason string) types.Task {
	in.t.Helper()
	if _, err := in.ECS.StopTask(in.t.Context(), &ecs.StopTaskInput{Task: &arn, Reason: &reason}); err != nil {
		in.t.Fatal(err)
	}
	return in.wait(arn, "STOPPED")
}

// tail keeps what a process says. Safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// freePort gives a port that nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
