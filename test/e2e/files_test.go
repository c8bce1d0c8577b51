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

// script is a container that runs a shell's lines, and must end with 0.
func script(name, lines string) types.ContainerDefinition {
	return types.ContainerDefinition{
		Name: &name, Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32), Command: []string{"sh", "-euc", lines},
	}
}

// succeed runs a definition and expects each of its containers to end with 0.
func (in *installation) succeed(def *ecs.RegisterTaskDefinitionInput) {
	in.t.Helper()
	if _, err := in.ECS.RegisterTaskDefinition(in.t.Context(), def); err != nil {
		in.t.Fatal(err)
	}
	task := in.wait(in.runTask(*def.Family), "STOPPED")
	for _, c := range task.Containers {
		if c.ExitCode == nil || *c.ExitCode != 0 {
			in.t.Errorf("%s: container %s ended with %v: %s", *def.Family, *c.Name, aws.ToInt32(c.ExitCode), aws.ToString(c.Reason))
			logs, _ := filepath.Glob(filepath.Join(in.dir, "*/logs", "*."+*c.Name+".json"))
			for _, l := range logs {
				if text, err := os.ReadFile(l); err == nil {
					in.t.Logf("%s: %s", filepath.Base(l), text)
				}
			}
		}
	}
}

// after makes a container start when others have ended well.
func after(c types.ContainerDefinition, others ...string) types.ContainerDefinition {
	for _, o := range others {
		c.DependsOn = append(c.DependsOn, types.ContainerDependency{ContainerName: &o, Condition: types.ContainerConditionSuccess})
	}
	return c
}

func mount(volume, path string) types.MountPoint {
	return types.MountPoint{SourceVolume: &volume, ContainerPath: &path}
}

// TestVolumes: what is shared between a task's containers, between tasks, and with the machine.
func TestVolumes(t *testing.T) {
	in := up(t)
	host := tempDir(t)
	if err := os.WriteFile(filepath.Join(host, "from-host"), []byte("host"), 0o644); err != nil {
		t.Fatal(err)
	}
	writer := script("writer", `[ "$(cat /host/from-host)" = host ]; echo x >/host/to-host; echo task >/task/f; echo shared >/shared/f
		echo empty >/empty/f; echo bind >/bind/g; [ -x /image/busybox ] || [ -e /image/sh ]`)
	writer.MountPoints = []types.MountPoint{mount("host", "/host"), mount("task", "/task"), mount("shared", "/shared"), mount("empty", "/empty"), mount("bind", "/bind"), mount("image", "/bin2"), mount("image", "/image")}
	writer.MountPoints[5].ContainerPath = aws.String("/bin")
	writer.Essential = aws.Bool(false)
	reader := after(script("reader", `[ "$(cat /task/f)" = task ]; [ "$(cat /e/f)" = empty ]; ! echo y >/e/f; ! echo y >/task/f 2>/dev/null; [ "$(cat /host/to-host)" = x ]`), "writer")
	reader.VolumesFrom = []types.VolumeFrom{{SourceContainer: aws.String("writer"), ReadOnly: aws.Bool(true)}}
	reader.MountPoints = []types.MountPoint{mount("empty", "/e")}
	reader.MountPoints[0].ReadOnly = aws.Bool(true)
	docker := func(name string, scope types.Scope, auto bool, opts map[string]string) types.Volume {
		return types.Volume{Name: &name, DockerVolumeConfiguration: &types.DockerVolumeConfiguration{Scope: scope, Autoprovision: &auto, DriverOpts: opts}}
	}
	in.succeed(&ecs.RegisterTaskDefinitionInput{
		Family: aws.String("volumes"), NetworkMode: types.NetworkModeNone, ContainerDefinitions: []types.ContainerDefinition{writer, reader},
		Volumes: []types.Volume{
			{Name: aws.String("host"), Host: &types.HostVolumeProperties{SourcePath: &host}}, {Name: aws.String("empty")}, {Name: aws.String("image")},
			docker("task", types.ScopeTask, false, nil), docker("shared", types.ScopeShared, true, nil),
			docker("bind", types.ScopeTask, false, map[string]string{"type": "none", "o": "bind", "device": host}),
		},
	})
	for name, want := range map[string]string{"to-host": "x\n", "g": "bind\n"} {
		if got, err := os.ReadFile(filepath.Join(host, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	second := script("second", `[ "$(cat /s/f)" = shared ]`)
	second.MountPoints = []types.MountPoint{mount("shared", "/s")}
	in.succeed(&ecs.RegisterTaskDefinitionInput{
		Family: aws.String("second"), NetworkMode: types.NetworkModeNone, ContainerDefinitions: []types.ContainerDefinition{second},
		Volumes: []types.Volume{docker("shared", types.ScopeShared, false, nil)},
	})
	second.MountPoints = []types.MountPoint{mount("other", "/s")}
	if _, err := in.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("third"), NetworkMode: types.NetworkModeNone, ContainerDefinitions: []types.ContainerDefinition{second},
		Volumes: []types.Volume{docker("other", types.ScopeShared, false, nil)},
	}); err != nil {
		t.Fatal(err)
	}
	expectNotStarted(t, in.wait(in.runTask("third"), "STOPPED"), "CannotCreateContainerError: volume other: there is no such shared volume")
	eventually(t, "the tasks' own volumes are removed", func() bool {
		left, err := filepath.Glob(filepath.Join(in.dir, "*/volumes/*"))
		return err == nil && len(left) == 0
	})
}

// TestLinuxParameters: what containers ask of the kernel is what they find.
func TestLinuxParameters(t *testing.T) {
	in := up(t)
	// The probe's own limits are read where the kernel shows them.
	c := script("c", `
		df -k /dev/shm | grep -q ' 16384 '
		grep -q ' /scratch tmpfs .*size=8192k' /proc/mounts; grep ' /scratch tmpfs ' /proc/mounts | grep -q noexec
		grep ' /run-here tmpfs ' /proc/mounts | grep -vq noexec
		grep -q 'NoNewPrivs:.*1' /proc/self/status
		[ -c /dev/mine ]; head -c 4 /dev/mine >/dev/null; ! (echo x >/dev/mine) 2>/dev/null
		[ "$(ulimit -n)" = 77 ]; [ "$(cat /proc/sys/net/core/somaxconn)" = 99 ]`)
	c.DockerSecurityOptions = []string{"no-new-privileges"}
	c.Ulimits = []types.Ulimit{{Name: types.UlimitNameNofile, SoftLimit: 77, HardLimit: 77}}
	c.SystemControls = []types.SystemControl{{Namespace: aws.String("net.core.somaxconn"), Value: aws.String("99")}}
	c.LinuxParameters = &types.LinuxParameters{
		SharedMemorySize: aws.Int32(16), MaxSwap: aws.Int32(16), Swappiness: aws.Int32(10),
		Tmpfs: []types.Tmpfs{
			{ContainerPath: aws.String("/scratch"), Size: 8}, {ContainerPath: aws.String("/run-here"), Size: 4, MountOptions: []string{"exec", "mode=1777"}},
		},
		Devices: []types.Device{{HostPath: aws.String("/dev/loop-control"), ContainerPath: aws.String("/dev/mine"), Permissions: []types.DeviceCgroupPermission{types.DeviceCgroupPermissionRead}}},
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		c.LinuxParameters.Devices[0].HostPath = aws.String("/dev/net/tun")
	}
	c.Command[2] = strings.ReplaceAll(c.Command[2], "head -c 4 /dev/mine >/dev/null", "true </dev/mine")
	in.succeed(&ecs.RegisterTaskDefinitionInput{Family: aws.String("linux"), NetworkMode: types.NetworkModeNone, ContainerDefinitions: []types.ContainerDefinition{c}})
}
