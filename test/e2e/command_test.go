package e2e

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// roadstead runs a command of the binary to its end, and gives what it said.
func roadstead(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	return string(out), err
}

// background starts a program, waits until it says a line that begins with word, and ends it with the test.
func background(t *testing.T, env []string, word string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	log := &tail{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s %v:\n%s", name, args, log)
		}
	})
	line := make(chan string, 1)
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if strings.HasPrefix(scan.Text(), word) {
				select {
				case line <- scan.Text():
				default:
				}
			}
		}
		close(line)
	}()
	select {
	case l, ok := <-line:
		if !ok {
			t.Fatalf("%s %v ended:\n%s", name, args, log)
		}
		return l
	case <-time.After(startTimeout):
		t.Fatalf("%s %v did not say %q within %v:\n%s", name, args, word, startTimeout, log)
	}
	return ""
}

func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rs") // short, for unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestServerAndAgent: a control plane on an etcd of the user's, and a node in a process of its own with a key of its own.
func TestServerAndAgent(t *testing.T) {
	etcdDir, serverDir, nodeDir := tempDir(t), tempDir(t), tempDir(t)
	etcd := "http://127.0.0.1:" + freePort(t)
	background(t, nil, "", "/bin/sh", "-c", "echo started; exec /usr/bin/etcd --data-dir "+etcdDir+" --listen-client-urls "+etcd+" --advertise-client-urls "+etcd+
		" --listen-peer-urls http://127.0.0.1:"+freePort(t)+" --log-level error")
	line := background(t, nil, "Endpoint: ", binary, "server", "--data-dir", serverDir, "--listen", "127.0.0.1:0", "--etcd-endpoints", etcd)
	in := &installation{t: t, dir: serverDir, addr: strings.TrimPrefix(line, "Endpoint: http://")}
	in.clients()

	keys, err := roadstead(t, "agent-key", "--data-dir", serverDir)
	if err != nil {
		t.Fatal(keys)
	}
	t.Cleanup(func() {
		if out, err := roadstead(t, "destroy", "--data-dir", nodeDir, "--yes"); err != nil {
			t.Errorf("destroy: %v\n%s", err, out)
		}
	})
	env := strings.Split(strings.TrimSpace(strings.ReplaceAll(keys, "export ", "")), "\n")
	archive := filepath.Join(images, "busybox.tar")
	background(t, env, "Joined", binary, "agent", "--data-dir", nodeDir, "--server", "http://"+in.addr, "--cluster", "edge", "--import", archive)

	in.register("one", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sh", "-c", "exit 4"}})
	out, err := in.ECS.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("one"), Cluster: aws.String("edge")})
	if err != nil || len(out.Tasks) != 1 {
		t.Fatalf("RunTask: %v, %+v", err, out)
	}
	eventually(t, "the task ends with 4", func() bool {
		d, err := in.ECS.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("edge"), Tasks: []string{*out.Tasks[0].TaskArn}})
		return err == nil && len(d.Tasks) == 1 && *d.Tasks[0].LastStatus == "STOPPED" && aws.ToInt32(d.Tasks[0].Containers[0].ExitCode) == 4
	})
}

func TestAgentWithoutKey(t *testing.T) {
	cmd := exec.Command(binary, "agent", "--data-dir", tempDir(t))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "roadstead agent-key") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestImageCommands(t *testing.T) {
	in := up(t)
	in.register("long", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sleep", "600"}, StopTimeout: aws.Int32(2)})
	arn := in.runTask("long")
	in.wait(arn, "RUNNING")
	dir := "--data-dir=" + in.dir
	list, err := roadstead(t, "image", "list", dir)
	if err != nil || !strings.Contains(list, "roadstead/busybox:latest") || !strings.Contains(list, "roadstead/hello:latest") {
		t.Errorf("image list: %v\n%s", err, list)
	}
	if out, err := roadstead(t, "image", "rm", dir, "roadstead/busybox:latest"); err == nil {
		t.Errorf("an image in use was removed: %s", out)
	}
	if out, err := roadstead(t, "image", "rm", dir, "roadstead/hello:latest"); err != nil {
		t.Errorf("image rm: %v\n%s", err, out)
	}
	if out, err := roadstead(t, "image", "rm", dir, "nosuch:image"); err == nil {
		t.Errorf("an image that is not there was removed: %s", out)
	}
	junk := filepath.Join(t.TempDir(), "junk.tar")
	if err := os.WriteFile(junk, []byte("this is no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := roadstead(t, "image", "import", dir, junk); err == nil {
		t.Errorf("junk was imported: %s", out)
	}
	if out, err := roadstead(t, "image", "import", dir, filepath.Join(images, "hello.tar")); err != nil || !strings.Contains(out, "roadstead/hello:latest") {
		t.Errorf("image import: %v\n%s", err, out)
	}
	in.stopTask(arn, "")
}

// TestImageAfterKill: what is left of who used an image in a killed process does not keep the image; a container that runs on does.
func TestImageAfterKill(t *testing.T) {
	in := up(t)
	in.register("long", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sleep", "600"}, StopTimeout: aws.Int32(2)})
	in.register("ends", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Image: aws.String("roadstead/hello:latest"), StopTimeout: aws.Int32(2)})
	long, ends := in.runTask("long"), in.runTask("ends")
	in.wait(long, "RUNNING")
	task := in.wait(ends, "RUNNING")
	hold := filepath.Join(in.dir, "node", "images", "holds", *task.Containers[0].RuntimeId)
	digest, err := os.Readlink(hold)
	if err != nil {
		t.Fatal(err)
	}
	in.stopTask(ends, "")
	eventually(t, "the container's hold ends", func() bool {
		_, err := os.Lstat(hold)
		return errors.Is(err, fs.ErrNotExist)
	})
	in.kill()
	// As if the release had not come to the disk before the kill.
	if err := os.Symlink(digest, hold); err != nil {
		t.Fatal(err)
	}
	dir := "--data-dir=" + in.dir
	if out, err := roadstead(t, "image", "rm", dir, "roadstead/hello:latest"); err == nil {
		t.Fatalf("a held image was removed while nobody could know better: %s", out)
	}
	in.start()
	eventually(t, "the image of a container that is gone can be removed", func() bool {
		_, err := roadstead(t, "image", "rm", dir, "roadstead/hello:latest")
		return err == nil
	})
	if out, err := roadstead(t, "image", "rm", dir, "roadstead/busybox:latest"); err == nil || !strings.Contains(out, "in use") {
		t.Errorf("an image in use by a container that runs on was removed: %v, %s", err, out)
	}
	in.stopTask(long, "")
}

// TestConfigure: the profile goes where it is asked for, beside what is there, and works.
func TestConfigure(t *testing.T) {
	in := up(t)
	home := t.TempDir()
	mine := "# mine\n[default]\nregion = eu-west-1\n"
	if err := os.WriteFile(filepath.Join(home, "config"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := roadstead(t, "configure", "--data-dir", in.dir, "--aws-dir", home, "--profile", "edge"); err != nil {
		t.Fatal(out)
	}
	config, err := os.ReadFile(filepath.Join(home, "config"))
	if err != nil || !strings.HasPrefix(string(config), mine) {
		t.Errorf("%v: %s", err, config)
	}
	cmd := exec.Command("/usr/bin/aws", "--profile", "edge", "--endpoint-url", "http://"+in.addr, "ecs", "list-clusters", "--output", "text")
	cmd.Env = append(os.Environ(), "AWS_CONFIG_FILE="+filepath.Join(home, "config"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "credentials"))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "cluster/default") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := roadstead(t, "configure", "--data-dir", t.TempDir()); err == nil {
		t.Errorf("a directory that is none was taken: %s", out)
	}
}

// TestSecondProcess: a data directory has one process at a time, and the second is told so.
func TestSecondProcess(t *testing.T) {
	in := up(t)
	out, err := roadstead(t, "up", "--data-dir", in.dir, "--listen", "127.0.0.1:0")
	if err == nil || !strings.Contains(out, "in use by another roadstead") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = roadstead(t, "up", "--data-dir", tempDir(t), "--listen", in.addr)
	if err == nil || !strings.Contains(out, "--listen") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTaskLimits: task-level memory bounds the containers together.
func TestTaskLimits(t *testing.T) {
	in := up(t)
	_, err := in.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("bounded"), NetworkMode: types.NetworkModeNone, Cpu: aws.String("512"), Memory: aws.String("64"),
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("roadstead/busybox:latest"), Essential: aws.Bool(true),
			Command: []string{"sh", "-c", "grep hierarchical_memory_limit /sys/fs/cgroup/memory/memory.stat || cat /sys/fs/cgroup/memory.max"}, LogConfiguration: awslogs("/bounded")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	in.wait(in.runTask("bounded"), "STOPPED")
	if got := in.events("/bounded"); !strings.Contains(got, "67108864") {
		t.Errorf("memory limit: %s", got)
	}
}
