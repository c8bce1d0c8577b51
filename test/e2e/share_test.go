package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// shared runs a task of two containers in pidMode and ipcMode. The second one's output is given when the task has ended.
func (in *installation) shared(pid types.PidMode, ipc types.IpcMode, first, second string) types.Task {
	in.t.Helper()
	container := func(name, script string) types.ContainerDefinition {
		return types.ContainerDefinition{
			Name: &name, Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32), StopTimeout: aws.Int32(2), Command: []string{"sh", "-c", script},
		}
	}
	// The task's output is of its first container.
	_, err := in.ECS.RegisterTaskDefinition(in.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("shared"), NetworkMode: types.NetworkModeNone, PidMode: pid, IpcMode: ipc,
		ContainerDefinitions: []types.ContainerDefinition{container("c", second), container("other", first)},
	})
	if err != nil {
		in.t.Fatal(err)
	}
	arn := in.runTask("shared")
	within(in.t, startTimeout, "the end of the task", func() bool { return *in.describe(arn).LastStatus == "STOPPED" })
	return in.described(arn)
}

// described gives a task's containers in the definition's order.
func (in *installation) described(arn string) types.Task {
	task := in.describe(arn)
	if *task.Containers[0].Name != "c" {
		task.Containers[0], task.Containers[1] = task.Containers[1], task.Containers[0]
	}
	return task
}

// TestSharedNamespaces: containers of a task see each other's processes and shared memory, those on the machine's namespaces
// what is there, and nothing is left of what held them, also after the agent's death.
func TestSharedNamespaces(t *testing.T) {
	in := up(t)
	check := func(task types.Task, want string) {
		t.Helper()
		if got := in.output(task); aws.ToInt32(task.Containers[0].ExitCode) != 0 || got != want {
			t.Errorf("exit code %v, %q: %q, want %q", aws.ToInt32(task.Containers[0].ExitCode), aws.ToString(task.Containers[0].Reason), got, want)
		}
	}
	check(in.shared(types.PidModeTask, types.IpcModeTask, "echo hello > /dev/shm/word; exec sleep 1234",
		"until ps | grep -q '[s]leep 1234'; do sleep 0.05; done; cat /dev/shm/word; ps | grep -c '[/]pause$'"), "hello\n1\n")
	host, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	ipc, err := os.Readlink("/proc/self/ns/ipc")
	if err != nil {
		t.Fatal(err)
	}
	check(in.shared(types.PidModeHost, types.IpcModeHost, "sleep 1000", "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc"), host+"\n"+ipc+"\n")
	check(in.shared("", types.IpcModeNone, "sleep 1000", "ls -d /dev/shm 2> /dev/null || echo none"), "none\n")

	out, err := in.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("held"), NetworkMode: types.NetworkModeNone, PidMode: types.PidModeTask,
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32), Command: []string{"sleep", "1000"}, StopTimeout: aws.Int32(2)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := in.runTask(*out.TaskDefinition.Family)
	in.wait(arn, "RUNNING")
	eventually(t, "two containers, of which one holds namespaces", func() bool { return in.containers() == 2 })
	in.kill()
	in.start()
	in.stopTask(arn, "seen")
	eventually(t, "nothing is left of what held namespaces", func() bool { return in.containers() == 0 })
}

// containers counts what the installation's node has of containers.
func (in *installation) containers() int {
	in.t.Helper()
	entries, err := os.ReadDir(filepath.Join(in.dir, "node", "containers", "containers"))
	if err != nil {
		in.t.Fatal(err)
	}
	return len(entries)
}

// TestInitReaps: with initProcessEnabled a container's orphans are reaped, and without it they stay.
func TestInitReaps(t *testing.T) {
	in := up(t)
	// The first process, but for an init, is one that waits for nothing.
	const script = `mkfifo /tmp/end; (sh -c 'sleep 0.1 & echo $! > /tmp/pid'; p=/proc/$(cat /tmp/pid)/status; UNTIL; echo > /tmp/end) & exec cat /tmp/end > /dev/null`
	for init, c := range map[bool]struct{ until, want string }{
		true:  {"while test -e $p; do sleep 0.02; done; echo reaped", "reaped\n"},
		false: {"until grep -q '^State:.Z' $p; do sleep 0.02; done; sleep 0.2; test -e $p && echo zombie", "zombie\n"},
	} {
		task, text := in.runOnce("orphans", types.NetworkModeNone, "", types.ContainerDefinition{
			Command: []string{"sh", "-c", strings.Replace(script, "UNTIL", c.until, 1)}, LinuxParameters: &types.LinuxParameters{InitProcessEnabled: aws.Bool(init)},
		})
		if text != c.want {
			t.Errorf("init %v: %q, %s", init, text, aws.ToString(task.Containers[0].Reason))
		}
	}
}
