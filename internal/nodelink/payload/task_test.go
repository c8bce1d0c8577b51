package payload_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/nodelink/payload"
)

var update = flag.Bool("update", false, "write the golden files anew")

var place = ecs.Place{Account: "000000000000", Region: "us-east-1"}

func newTask(d *ecs.TaskDefinition) *ecs.Task {
	t := &ecs.Task{ID: ecs.TaskID{1, 2, 3}, Cluster: "c", Definition: d.ID(), Group: "service:web", LaunchType: ecs.LaunchExternal}
	for i := range d.ContainerDefinitions {
		t.Containers = append(t.Containers, ecs.Container{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Name: d.ContainerDefinitions[i].Name})
	}
	return t
}

// TestGolden translates testdata/NAME.json, a definition as RegisterTaskDefinition takes it with overrides beside it, and
// compares with testdata/NAME.golden. Write these anew with -update, and look at what changed.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var in struct {
				Definition ecs.TaskDefinition `json:"definition"`
				Overrides  *ecs.TaskOverride  `json:"overrides"`
				GPUs       []string           `json:"gpus"`
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &in); err != nil {
				t.Fatal(err)
			}
			task := newTask(&in.Definition)
			task.Overrides, task.Containers[0].GpuIDs = in.Overrides, in.GPUs
			terms := payload.Terms{Place: place, Endpoint: "http://roadstead:8620"}
			if in.Definition.ExecutionRoleArn != "" {
				terms.Execution = &payload.Credentials{ID: "e", RoleARN: in.Definition.ExecutionRoleArn}
			}
			out, err := payload.Start(terms, task, &in.Definition)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(out, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got)+"\n", "\n")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestNothingThatAgentsBreakOn: whatever the definition, the agent is given none of the inputs on which it ends, spins or
// is stuck, or it is given nothing.
func TestNothingThatAgentsBreakOn(t *testing.T) {
	given := 0
	rapid.Check(t, func(r *rapid.T) {
		d := definition().Draw(r, "definition")
		task := newTask(d)
		if rapid.Bool().Draw(r, "overridden") {
			task.Overrides = overrides(d).Draw(r, "overrides")
		}
		if len(task.Containers) > 0 && rapid.Bool().Draw(r, "gpu") {
			task.Containers[0].GpuIDs = []string{"GPU-1"}
		}
		out, err := payload.Start(payload.Terms{Place: place}, task, d)
		if err != nil {
			return
		}
		given++
		b, err := json.Marshal(out)
		if err != nil {
			r.Fatal(err)
		}
		var raw map[string]any
		if err := json.Unmarshal(b, &raw); err != nil {
			r.Fatal(err)
		}
		checkRaw(r, "task", raw)
		checkTask(r, d, &out)
	})
	if given == 0 {
		t.Error("no definition was translated")
	}
}

// checkRaw finds nulls, which the agent does not look for.
func checkRaw(r *rapid.T, at string, v any) {
	switch v := v.(type) {
	case nil:
		r.Errorf("%s is null", at)
	case map[string]any:
		for k, e := range v {
			checkRaw(r, at+"."+k, e)
		}
	case []any:
		for i, e := range v {
			checkRaw(r, fmt.Sprintf("%s[%d]", at, i), e)
		}
	}
}

func checkTask(r *rapid.T, d *ecs.TaskDefinition, task *payload.Task) {
	if _, err := ecs.ParseARN(task.ARN); err != nil || task.DesiredStatus != payload.DesiredRunning || len(task.Containers) == 0 {
		r.Errorf("%q, %q, %d containers", task.ARN, task.DesiredStatus, len(task.Containers))
	}
	names := map[string]bool{}
	for i := range task.Containers {
		c := &task.Containers[i]
		if c.Name == "" || c.Image == "" || c.Name == "service-connect" || names[c.Name] {
			r.Errorf("container %+v", c)
		}
		names[c.Name] = true
		checkContainer(r, d, c)
	}
	for _, v := range task.Volumes {
		if map[string]bool{"host": v.Host != nil, "docker": v.Docker != nil, "efs": v.EFS != nil}[v.Type] == false {
			r.Errorf("volume %+v", v)
		}
	}
}

func checkContainer(r *rapid.T, d *ecs.TaskDefinition, c *payload.Container) {
	for _, p := range c.PortMappings {
		if p.Protocol != "tcp" && p.Protocol != "udp" {
			r.Errorf("port %+v", p)
		}
	}
	var config struct{ Healthcheck *struct{ Test []string } }
	var host struct{ NetworkMode string }
	if json.Unmarshal([]byte(c.Docker.Config), &config) != nil || json.Unmarshal([]byte(c.Docker.HostConfig), &host) != nil {
		r.Errorf("docker settings %+v", c.Docker)
	}
	if c.HealthCheckType != "" && (c.HealthCheckType != "docker" || config.Healthcheck == nil || len(config.Healthcheck.Test) == 0) {
		r.Errorf("health check %q of %s", c.HealthCheckType, c.Docker.Config)
	}
	if (d.NetworkMode == ecs.NetworkHost || d.NetworkMode == ecs.NetworkNone) != (host.NetworkMode != "") {
		r.Errorf("mode %q, in Docker %q", d.NetworkMode, host.NetworkMode)
	}
}

// definition makes what the API would take, and a little of what it would not.
func definition() *rapid.Generator[*ecs.TaskDefinition] {
	return rapid.Custom(func(r *rapid.T) *ecs.TaskDefinition {
		d := &ecs.TaskDefinition{
			Family: "f", Revision: 1, NetworkMode: rapid.SampledFrom([]string{"", "bridge", "host", "none", "awsvpc"}).Draw(r, "mode"),
			Cpu: rapid.SampledFrom([]string{"", "256", ".25 vCPU", "2 vcpu"}).Draw(r, "cpu"), Memory: rapid.SampledFrom([]string{"", "512", "1 GB"}).Draw(r, "memory"),
		}
		names := []string{"a", "b", "service-connect"}
		for _, name := range names[:rapid.SampledFrom([]int{0, 1, 2, 2, 3}).Draw(r, "containers")] {
			d.ContainerDefinitions = append(d.ContainerDefinitions, container(name).Draw(r, name))
		}
		for i := range rapid.IntRange(0, 2).Draw(r, "volumes") {
			d.Volumes = append(d.Volumes, volume(fmt.Sprintf("v%d", i)).Draw(r, "volume"))
		}
		if rapid.Bool().Draw(r, "proxy") {
			d.ProxyConfiguration = &ecs.ProxyConfiguration{ContainerName: "a", Properties: []ecs.KeyValuePair{{Name: "IgnoredUID"}}}
		}
		return d
	})
}

func maybe[T any](r *rapid.T, label string, of *rapid.Generator[T]) *T {
	if !rapid.Bool().Draw(r, label+"?") {
		return nil
	}
	v := of.Draw(r, label)
	return &v
}

func container(name string) *rapid.Generator[ecs.ContainerDefinition] {
	return rapid.Custom(func(r *rapid.T) ecs.ContainerDefinition {
		amount, truth := rapid.Int32Range(0, 512), rapid.Bool()
		text := rapid.StringMatching(`[a-z"\\é]{0,4}`)
		c := ecs.ContainerDefinition{
			Name: name, Image: rapid.SampledFrom([]string{"i", "000000000000.dkr.ecr.us-east-1.amazonaws.com/i:1"}).Draw(r, "image"),
			Cpu: amount.Draw(r, "cpu"), Memory: maybe(r, "memory", amount), MemoryReservation: maybe(r, "reservation", amount), Essential: maybe(r, "essential", truth),
			Command: rapid.SliceOfN(text, 0, 2).Draw(r, "command"), Privileged: maybe(r, "privileged", truth), Interactive: maybe(r, "interactive", truth),
			DockerLabels: rapid.MapOfN(text, text, 0, 2).Draw(r, "labels"), DisableNetworking: maybe(r, "disable", truth),
		}
		for range rapid.IntRange(0, 2).Draw(r, "env") {
			c.Environment = append(c.Environment, ecs.KeyValuePair{Name: text.Draw(r, "name"), Value: maybe(r, "value", text)})
		}
		c.PortMappings = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) ecs.PortMapping {
			return ecs.PortMapping{ContainerPort: maybe(r, "port", amount), HostPort: maybe(r, "host", amount), Protocol: rapid.SampledFrom([]string{"", "tcp", "UDP"}).Draw(r, "protocol")}
		}), 0, 2).Draw(r, "ports")
		if rapid.Bool().Draw(r, "health") {
			c.HealthCheck = &ecs.HealthCheck{Command: rapid.SampledFrom([][]string{nil, {"NONE"}, {"CMD", "true"}, {"CMD-SHELL", "exit 0"}}).Draw(r, "check"), Interval: maybe(r, "interval", amount)}
		}
		if rapid.Bool().Draw(r, "linux") {
			c.LinuxParameters = &ecs.LinuxParameters{
				InitProcessEnabled: maybe(r, "init", truth), MaxSwap: maybe(r, "swap", amount), Swappiness: maybe(r, "swappiness", amount), SharedMemorySize: maybe(r, "shm", amount),
				Devices: []ecs.Device{{HostPath: "/dev/null", Permissions: []string{"read"}}}, Tmpfs: []ecs.Tmpfs{{ContainerPath: "/t", Size: 1}}, Capabilities: maybe(r, "caps", rapid.Just(ecs.KernelCapabilities{Add: []string{"ALL"}})),
			}
		}
		if rapid.Bool().Draw(r, "log") {
			c.LogConfiguration = &ecs.LogConfiguration{LogDriver: rapid.SampledFrom([]string{"", "awslogs", "json-file"}).Draw(r, "driver"), Options: map[string]string{"awslogs-stream-prefix": "p"}}
		}
		c.RestartPolicy = maybe(r, "restart", rapid.Custom(func(r *rapid.T) ecs.ContainerRestartPolicy {
			return ecs.ContainerRestartPolicy{Enabled: maybe(r, "enabled", truth), RestartAttemptPeriod: maybe(r, "period", amount)}
		}))
		return c
	})
}

func volume(name string) *rapid.Generator[ecs.Volume] {
	return rapid.Custom(func(r *rapid.T) ecs.Volume {
		v := ecs.Volume{Name: name}
		switch rapid.IntRange(0, 5).Draw(r, "kind") {
		case 0:
			v.Host = &ecs.HostVolumeProperties{SourcePath: rapid.SampledFrom([]string{"", "/srv"}).Draw(r, "path")}
		case 1:
			v.DockerVolumeConfiguration = &ecs.DockerVolumeConfiguration{}
		case 2:
			v.EfsVolumeConfiguration = &ecs.EFSVolumeConfiguration{FileSystemId: "fs-1"}
		case 3:
			v.FsxWindowsFileServerVolumeConfiguration = &ecs.FSxWindowsFileServerVolumeConfiguration{}
		case 4:
			v.ConfiguredAtLaunch = new(true)
		}
		return v
	})
}

func overrides(d *ecs.TaskDefinition) *rapid.Generator[*ecs.TaskOverride] {
	return rapid.Custom(func(r *rapid.T) *ecs.TaskOverride {
		o := &ecs.TaskOverride{Cpu: rapid.SampledFrom([]string{"", "512"}).Draw(r, "cpu")}
		for i := range d.ContainerDefinitions {
			if rapid.Bool().Draw(r, "changed") {
				o.ContainerOverrides = append(o.ContainerOverrides, ecs.ContainerOverride{Name: d.ContainerDefinitions[i].Name, Command: []string{"x"}, Memory: maybe(r, "memory", rapid.Int32Range(0, 9))})
			}
		}
		return o
	})
}

// TestRefused: what the agent cannot be given says why.
func TestRefused(t *testing.T) {
	good := ecs.ContainerDefinition{Name: "a", Image: "i"}
	for name, d := range map[string]*ecs.TaskDefinition{
		"no containers":   {},
		"awsvpc":          {NetworkMode: "awsvpc", ContainerDefinitions: []ecs.ContainerDefinition{good}},
		"service-connect": {ContainerDefinitions: []ecs.ContainerDefinition{good, {Name: "service-connect", Image: "i"}}},
		"no image":        {ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a"}}},
		"volume v":        {ContainerDefinitions: []ecs.ContainerDefinition{good}, Volumes: []ecs.Volume{{Name: "v", ConfiguredAtLaunch: new(true)}}},
	} {
		_, err := payload.Start(payload.Terms{Place: place}, newTask(d), d)
		if words := strings.Fields(name); err == nil || !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(err.Error(), w) }) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
