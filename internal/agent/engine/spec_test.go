package engine

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

func makeTask(t *testing.T, d *ecs.TaskDefinition, o *ecs.TaskOverride) *task {
	t.Helper()
	r := runOf(d)
	r.Overrides = o
	tk, err := newTask(r, d)
	if err != nil {
		t.Fatal(err)
	}
	tk.engine = New(Config{DataDir: t.TempDir()})
	if err := tk.engine.files.make(); err != nil {
		t.Fatal(err)
	}
	return tk
}

// TestArguments is the table of Docker's rules for entry point and command.
// https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact
func TestArguments(t *testing.T) {
	for _, c := range []struct{ imageEntry, imageCmd, entry, cmd, want string }{
		{"", "sh", "", "", "sh"},
		{"init", "sh", "", "", "init sh"},
		{"init", "sh", "", "echo 1", "init echo 1"},
		{"init", "sh", "mine", "", "mine"},
		{"init", "sh", "mine", "echo 1", "mine echo 1"},
		{"", "sh", "mine", "", "mine"},
		{"", "", "", "", ""},
	} {
		d := &ecs.ContainerDefinition{EntryPoint: strings.Fields(c.entry), Command: strings.Fields(c.cmd)}
		got := strings.Join(arguments(d, strings.Fields(c.imageEntry), strings.Fields(c.imageCmd)), " ")
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestOverrides(t *testing.T) {
	d := definition("serve", "serve")
	d.ContainerDefinitions[0].Environment = []ecs.KeyValuePair{{Name: "A", Value: ptr("1")}, {Name: "B", Value: ptr("2")}, {Name: "AWS_REGION", Value: ptr("mars")}}
	d.ContainerDefinitions[0].Memory = ptr(int32(64))
	o := &ecs.TaskOverride{ContainerOverrides: []ecs.ContainerOverride{{
		Name: "a", Command: []string{"other", "thing"}, Cpu: ptr(int32(512)), Memory: ptr(int32(128)), MemoryReservation: ptr(int32(100)),
		Environment: []ecs.KeyValuePair{{Name: "B", Value: ptr("3")}, {Name: "C"}},
	}}}
	tk := makeTask(t, d, o)
	image := &runtime.Image{Config: runtime.ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH=/bin", "A=image", "Z=z"}, User: "nobody", WorkingDir: "/srv"}}
	spec, err := tk.makeSpec(0, image, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(spec.Args, []string{"other", "thing"}) || spec.CPUShares != 512 || spec.MemoryLimit != 128<<20 || spec.MemoryReservation != 100<<20 {
		t.Errorf("%+v", spec)
	}
	want := []string{"PATH=/bin", "A=1", "Z=z", "AWS_EXECUTION_ENV=AWS_ECS_EC2", "AWS_REGION=mars", "AWS_DEFAULT_REGION=us-east-1", "B=3", "C="}
	if diff := cmp.Diff(want, spec.Env); diff != "" {
		t.Error(diff)
	}
	if spec.User != "nobody" || spec.Cwd != "/srv" {
		t.Errorf("user %q, directory %q", spec.User, spec.Cwd)
	}
	if len(d.ContainerDefinitions[0].Environment) != 3 || d.ContainerDefinitions[0].Command[0] != "serve" {
		t.Error("the definition was changed by a task's override")
	}
	// The other container has none of it.
	if spec, err = tk.makeSpec(1, image, "us-east-1"); err != nil || spec.Args[0] != "serve" || spec.MemoryLimit != 0 || spec.CPUShares != 2 {
		t.Errorf("%+v, %v", spec, err)
	}
}

func TestLimits(t *testing.T) {
	d := definition("serve", "serve")
	d.Cpu, d.Memory = "512", "256"
	d.ContainerDefinitions[1].Memory = ptr(int32(64))
	tk := makeTask(t, d, nil)
	image := &runtime.Image{}
	for i, want := range []int64{256 << 20, 64 << 20} {
		spec, err := tk.makeSpec(i, image, "")
		if err != nil || spec.MemoryLimit != want || spec.CPUQuota != 0.5 || spec.CgroupParent != "task-"+tk.run.ID.String() {
			t.Errorf("%+v, %v", spec, err)
		}
	}
	for _, c := range []struct {
		cpu, memory, overCPU, overMemory string
		cores                            float64
		bytes                            int64
		bad                              bool
	}{
		{},
		{cpu: "256", memory: "512", cores: 0.25, bytes: 512 << 20},
		{cpu: ".5 vCPU", memory: "1GB", cores: 0.5, bytes: 1 << 30},
		{cpu: "256", memory: "512", overCPU: "1 vcpu", overMemory: "64", cores: 1, bytes: 64 << 20},
		{cpu: "much", bad: true}, {memory: "-1", bad: true},
	} {
		cores, bytes, err := taskSize(&ecs.TaskDefinition{Cpu: c.cpu, Memory: c.memory}, &ecs.TaskOverride{Cpu: c.overCPU, Memory: c.overMemory})
		if cores != c.cores || bytes != c.bytes || (err != nil) != c.bad {
			t.Errorf("%+v: %v, %d, %v", c, cores, bytes, err)
		}
	}
}

func TestRestOfSpec(t *testing.T) {
	d := definition("serve")
	d.Volumes = []ecs.Volume{{Name: "scratch"}, {Name: "host", Host: &ecs.HostVolumeProperties{SourcePath: filepath.Join(t.TempDir(), "made")}}}
	c := &d.ContainerDefinitions[0]
	c.Privileged, c.ReadonlyRootFilesystem, c.PseudoTerminal = ptr(true), ptr(true), ptr(true)
	c.User, c.WorkingDirectory = "1000:1000", "/w"
	c.Ulimits = []ecs.Ulimit{{Name: "nofile", SoftLimit: 10, HardLimit: -1}}
	c.SystemControls = []ecs.SystemControl{{Namespace: "net.core.somaxconn", Value: "99"}}
	c.LinuxParameters = &ecs.LinuxParameters{InitProcessEnabled: ptr(true), Capabilities: &ecs.KernelCapabilities{Add: []string{"SYS_PTRACE"}, Drop: []string{"ALL"}}}
	c.MountPoints = []ecs.MountPoint{{SourceVolume: "scratch", ContainerPath: "/s"}, {SourceVolume: "host", ContainerPath: "/h", ReadOnly: ptr(true)}}
	c.LogConfiguration = &ecs.LogConfiguration{LogDriver: "json-file", Options: map[string]string{"max-size": "10m", "max-file": "5"}}
	c.DockerLabels = map[string]string{"mine": "1", LabelTask: "forged"}
	tk := makeTask(t, d, nil)
	spec, err := tk.makeSpec(0, &runtime.Image{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if !spec.Privileged || !spec.ReadonlyRootfs || !spec.Terminal || !spec.Init || spec.User != "1000:1000" || spec.Cwd != "/w" {
		t.Errorf("%+v", spec)
	}
	if diff := cmp.Diff([]runtime.Ulimit{{Name: "nofile", Soft: 10, Hard: 1<<64 - 1}}, spec.Ulimits); diff != "" {
		t.Error(diff)
	}
	if spec.Sysctls["net.core.somaxconn"] != "99" || spec.CapAdd[0] != "SYS_PTRACE" || spec.CapDrop[0] != "ALL" {
		t.Errorf("%+v", spec)
	}
	if spec.Log.MaxBytes != 10<<20 || spec.Log.MaxFiles != 5 || spec.Log.Path == "" {
		t.Errorf("log: %+v", spec.Log)
	}
	if spec.Labels["mine"] != "1" || spec.Labels[LabelTask] != tk.run.ID.String() || spec.Labels[labelContainer] != "a" {
		t.Errorf("labels: %v", spec.Labels)
	}
	for i, m := range spec.Mounts {
		if info, err := os.Stat(m.Source); err != nil || !info.IsDir() || m.ReadOnly != (i == 1) {
			t.Errorf("mount %+v: %v", m, err)
		}
	}
	c.MountPoints[0].SourceVolume = "none"
	if _, err := tk.makeSpec(0, &runtime.Image{}, ""); err == nil {
		t.Error("a mount of a volume that is not there")
	}
}

// TestUnsupportedIsRefused asks for every feature that the agent lacks.
func TestUnsupportedIsRefused(t *testing.T) {
	for feature, change := range map[string]func(d *ecs.TaskDefinition, c *ecs.ContainerDefinition){
		"taskRoleArn": func(d *ecs.TaskDefinition, _ *ecs.ContainerDefinition) { d.TaskRoleArn = "arn" },
		"volumes": func(d *ecs.TaskDefinition, _ *ecs.ContainerDefinition) {
			d.Volumes = []ecs.Volume{{Name: "v", EfsVolumeConfiguration: &ecs.EFSVolumeConfiguration{}}}
		},
		"driver": func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) {
			c.LogConfiguration = &ecs.LogConfiguration{LogDriver: "logentries"}
		},
		"resourceRequ": func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) {
			c.ResourceRequirements = []ecs.ResourceRequirement{{Type: "GPU"}}
		},
	} {
		bubble(t, nil, func(t *testing.T, m *machine, n *node) {
			d := definition("serve")
			change(d, &d.ContainerDefinitions[0])
			s := n.until(n.start(d), ecs.TaskStopped)
			if why := s.Containers[0].Reason; !strings.HasPrefix(why, "CannotCreateContainerError: this agent does not support ") || !strings.Contains(why, feature) || s.StopCode != ecs.StopTaskFailedToStart {
				t.Errorf("%s: %q %q", feature, s.StopCode, why)
			}
		})
	}
}

func TestBadTasksAreRefused(t *testing.T) {
	for name, change := range map[string]func(d *ecs.TaskDefinition){
		"no containers":     func(d *ecs.TaskDefinition) { d.ContainerDefinitions = nil },
		"two of one name":   func(d *ecs.TaskDefinition) { d.ContainerDefinitions[1].Name = "a" },
		"a path for a name": func(d *ecs.TaskDefinition) { d.ContainerDefinitions[1].Name = "../../etc" },
		"volumes of nobody": func(d *ecs.TaskDefinition) {
			d.ContainerDefinitions[0].VolumesFrom = []ecs.VolumeFrom{{SourceContainer: "z"}}
		},
		"volumes of each other": func(d *ecs.TaskDefinition) {
			d.ContainerDefinitions[0].VolumesFrom = []ecs.VolumeFrom{{SourceContainer: "b"}}
			d.ContainerDefinitions[1].VolumesFrom = []ecs.VolumeFrom{{SourceContainer: "a"}}
		},
		"a path as a volume": func(d *ecs.TaskDefinition) { d.Volumes = []ecs.Volume{{Name: "../x"}} },
		"unknown dependency": func(d *ecs.TaskDefinition) {
			d.ContainerDefinitions[0].DependsOn = []ecs.ContainerDependency{{ContainerName: "z", Condition: "START"}}
		},
		"HEALTHY": func(d *ecs.TaskDefinition) {
			d.ContainerDefinitions[0].DependsOn = []ecs.ContainerDependency{{ContainerName: "b", Condition: "HEALTHY"}}
		},
		"a circle": func(d *ecs.TaskDefinition) {
			d.ContainerDefinitions[0].DependsOn = []ecs.ContainerDependency{{ContainerName: "b", Condition: "START"}}
			d.ContainerDefinitions[1].DependsOn = []ecs.ContainerDependency{{ContainerName: "a", Condition: "START"}}
		},
	} {
		bubble(t, nil, func(t *testing.T, m *machine, n *node) {
			d := definition("serve", "serve")
			change(d)
			if s := n.until(n.start(d), ecs.TaskStopped); s.StopCode != ecs.StopTaskFailedToStart || s.Reason == "" {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	d := definition("serve")
	d.NetworkMode = "bridge"
	c := &d.ContainerDefinitions[0]
	c.ExtraHosts = []ecs.HostEntry{{Hostname: "db", IpAddress: "10.1.2.3"}}
	c.DnsServers, c.DnsSearchDomains = []string{"10.9.9.9"}, []string{"corp.example"}
	tk := makeTask(t, d, nil)
	spec, err := tk.makeSpec(0, &runtime.Image{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := tk.name(spec, c, netip.MustParseAddr("172.31.0.9")); err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, m := range spec.Mounts {
		b, err := os.ReadFile(m.Source)
		if err != nil {
			t.Fatal(err)
		}
		content[m.Target] = string(b)
	}
	name := spec.ID[:12]
	if content["/etc/hostname"] != name+"\n" || spec.Hostname != name || !slices.Contains(spec.Env, "HOSTNAME="+name) {
		t.Errorf("host name %q, %v", spec.Hostname, content)
	}
	if h := content["/etc/hosts"]; !strings.Contains(h, "127.0.0.1\tlocalhost\n") || !strings.Contains(h, "10.1.2.3\tdb\n") || !strings.Contains(h, "172.31.0.9\t"+name+"\n") {
		t.Errorf("hosts: %s", h)
	}
	if r := content["/etc/resolv.conf"]; !strings.HasPrefix(r, "nameserver 10.9.9.9\nsearch corp.example\n") {
		t.Errorf("resolv.conf: %s", r)
	}
}

func TestLoopbackServersAreLeftOut(t *testing.T) {
	r := resolv{servers: []string{"127.0.0.53", "10.0.0.2", "::1"}}
	if r.onlyLoopback() {
		t.Error("10.0.0.2 is loopback")
	}
	if r.dropLoopback(); !slices.Equal(r.servers, []string{"10.0.0.2"}) {
		t.Errorf("%v", r.servers)
	}
}

func TestSmallParsers(t *testing.T) {
	for s, want := range map[string]int{"": 0, "SIGTERM": 15, "QUIT": 3, "sigint": 2, "9": 9, "0": 0, "99": 0, "SIGRTMIN+3": 37, "SIGNONSENSE": 0} {
		if got := stopSignal(s); got != want {
			t.Errorf("stop signal %q is %d, want %d", s, got, want)
		}
	}
	for s, want := range map[string]int64{"1": 1, "10k": 10 << 10, "10m": 10 << 20, "2g": 2 << 30, "5mb": 5 << 20, "": 0, "-1": 0, "x": 0} {
		got, err := dockerSize(s)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("size %q is %d, %v", s, got, err)
		}
	}
	if s := shorten(strings.Repeat("é", 1000)); len(s) > maxReason || len(s) < maxReason-3 || strings.ContainsRune(s, '�') {
		t.Errorf("shortened to %d bytes", len(s))
	}
	if s := shorten("a\xffb"); s != "a�b" {
		t.Errorf("%q", s)
	}
}

func TestBridge(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		d := definition("serve", "serve")
		d.NetworkMode = ""
		d.ContainerDefinitions[0].PortMappings = []ecs.PortMapping{{ContainerPort: ptr(int32(80)), HostPort: ptr(int32(8080))}, {ContainerPort: ptr(int32(53)), Protocol: "udp"}}
		d.ContainerDefinitions[1].DisableNetworking = ptr(true)
		id := n.start(d)
		s := n.until(id, ecs.TaskRunning)
		got := fmt.Sprint(len(s.Containers[0].NetworkBindings), *s.Containers[0].NetworkBindings[0].HostPort, *s.Containers[0].NetworkBindings[1].HostPort, len(s.Containers[1].NetworkBindings))
		if got != "2 8080 32768 0" {
			t.Errorf("bindings: %s", got)
		}
		// The same host port again.
		s = n.until(n.start(d), ecs.TaskStopped)
		if want := "CannotStartContainerError: set up the network: port 8080 is already allocated"; s.Containers[0].Reason != want {
			t.Errorf("%q", s.Containers[0].Reason)
		}
		n.stopAndWait(id)
	})
}

func TestHostBindings(t *testing.T) {
	bubble(t, nil, func(t *testing.T, m *machine, n *node) {
		d := definition("serve")
		d.NetworkMode = "host"
		d.ContainerDefinitions[0].PortMappings = []ecs.PortMapping{{ContainerPort: ptr(int32(80))}}
		id := n.start(d)
		b := n.until(id, ecs.TaskRunning).Containers[0].NetworkBindings
		if len(b) != 1 || *b[0].HostPort != 80 || b[0].BindIP != "0.0.0.0" || b[0].Protocol != "tcp" {
			t.Errorf("%+v", b)
		}
		n.stopAndWait(id)
	})
}
