package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestContainerd: with --containerd the images are in a containerd that runs already, here Debian's, and containers run as ever.
func TestContainerd(t *testing.T) {
	address := startContainerd(t)
	in := newInstallation(t)
	in.flags = []string{"--containerd", address}
	in.start()
	in.register("long", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sleep", "600"}, StopTimeout: aws.Int32(2)})
	in.register("short", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sh", "-c", "echo from containerd; exit 6"}, LogConfiguration: awslogs("/containerd")})
	long := in.runTask("long")
	before := in.wait(long, "RUNNING")
	task := in.wait(in.runTask("short"), "STOPPED")
	if code := aws.ToInt32(task.Containers[0].ExitCode); code != 6 {
		t.Errorf("exit code %d (%s)", code, aws.ToString(task.StoppedReason))
	}
	eventually(t, "the log", func() bool { return strings.Contains(in.events("/containerd"), "from containerd") })
	in.kill()
	in.start()
	if after := in.wait(long, "RUNNING"); *after.Containers[0].RuntimeId != *before.Containers[0].RuntimeId {
		t.Error("the running task was started again")
	}
	namespaces, err := exec.Command("ctr", "--address", address, "namespaces", "list", "-q").CombinedOutput()
	if err != nil || strings.TrimSpace(string(namespaces)) == "" {
		t.Errorf("nothing is in containerd: %v, %s", err, namespaces)
	}
	flags := []string{"--data-dir=" + in.dir, "--containerd=" + address}
	list, err := roadstead(t, append([]string{"image", "list"}, flags...)...)
	if err != nil || !strings.Contains(list, "roadstead/busybox:latest") {
		t.Errorf("image list: %v\n%s", err, list)
	}
	if out, err := roadstead(t, append(append([]string{"image", "rm"}, flags...), "roadstead/busybox:latest")...); err == nil {
		t.Errorf("an image in use was removed: %s", out)
	}
	if out, err := roadstead(t, append(append([]string{"image", "rm"}, flags...), "roadstead/hello:latest")...); err != nil {
		t.Errorf("image rm: %v\n%s", err, out)
	}
	in.stopTask(long, "")
}

// startContainerd runs Debian's containerd on a socket and in directories of the test's own.
func startContainerd(t *testing.T) (address string) {
	t.Helper()
	if _, err := os.Stat("/usr/bin/containerd"); err != nil {
		t.Fatalf("%v: run scripts/setup test", err)
	}
	dir := tempDir(t)
	address = filepath.Join(dir, "c.sock")
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing"]
[grpc]
  address = %q
[ttrpc]
  address = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), address, address+".ttrpc")
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, nil, "", "/bin/sh", "-c", "echo started; exec /usr/bin/containerd --log-level error --config "+path)
	eventually(t, "containerd answers", func() bool {
		c, err := net.Dial("unix", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return address
}
