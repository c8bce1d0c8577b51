package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// mountsOf resolves a container's mounts as TARGET=SOURCE[:ro], sources below the data directory as DATA/...
func mountsOf(t *testing.T, tk *task, i int, image *runtime.Image) (string, error) {
	t.Helper()
	spec := &runtime.Spec{Image: image}
	if err := tk.mounts(spec, &tk.definition.ContainerDefinitions[i]); err != nil {
		return "", err
	}
	var list []string
	for _, m := range spec.Mounts {
		source := strings.NewReplacer(tk.engine.files.volume(tk.run.ID, "x")[:len(tk.engine.files.volume(tk.run.ID, "x"))-1], "TASK/", tk.engine.files.data, "DATA").Replace(m.Source)
		if m.ReadOnly {
			source += ":ro"
		}
		if m.Type != "" {
			source += ":" + m.Type
		}
		list = append(list, m.Target+"="+source)
	}
	return strings.Join(list, " "), nil
}

// TestVolumesFrom: mounts of others, over which a container's own go, and read-only ones stay so.
func TestVolumesFrom(t *testing.T) {
	yes := ptr(true)
	d := definition("serve", "serve", "serve")
	d.Volumes = []ecs.Volume{{Name: "v"}, {Name: "w"}}
	d.ContainerDefinitions[0].MountPoints = []ecs.MountPoint{{SourceVolume: "v", ContainerPath: "/v"}, {SourceVolume: "w", ContainerPath: "/w", ReadOnly: yes}}
	d.ContainerDefinitions[1].VolumesFrom = []ecs.VolumeFrom{{SourceContainer: "a"}}
	d.ContainerDefinitions[1].MountPoints = []ecs.MountPoint{{SourceVolume: "w", ContainerPath: "/v/"}}
	d.ContainerDefinitions[2].VolumesFrom = []ecs.VolumeFrom{{SourceContainer: "b", ReadOnly: yes}}
	tk := makeTask(t, d, nil)
	image := &runtime.Image{Layers: []string{t.TempDir()}, Config: runtime.ImageConfig{Volumes: []string{"/image/data", "/v"}}}
	for i, want := range []string{
		"/v=TASK/v /w=TASK/w:ro /image/data=TASK/a.%2Fimage%2Fdata",
		"/v/=TASK/w /w=TASK/w:ro /image/data=TASK/a.%2Fimage%2Fdata",
		"/v/=TASK/w:ro /w=TASK/w:ro /image/data=TASK/a.%2Fimage%2Fdata:ro",
	} {
		got, err := mountsOf(t, tk, i, image)
		if err != nil || got != want {
			t.Errorf("container %d: %s, %v, not %s", i, got, err, want)
		}
		image = &runtime.Image{Layers: image.Layers}
	}
	if needs := tk.seen.containers[2].needs; len(needs) != 1 || needs[0] != (dependency{on: 1, condition: conditionStart}) {
		t.Errorf("needs: %+v", needs)
	}
}

// TestDockerVolumes: scopes, and what the local driver is told.
func TestDockerVolumes(t *testing.T) {
	yes := ptr(true)
	for _, c := range []struct {
		name   string
		config ecs.DockerVolumeConfiguration
		want   string // or, after an exclamation mark, a part of the error
	}{
		{"task", ecs.DockerVolumeConfiguration{Scope: "task", Driver: "local"}, "/v=TASK/v"},
		{"none", ecs.DockerVolumeConfiguration{}, "/v=TASK/v"},
		{"shared", ecs.DockerVolumeConfiguration{Scope: "shared", Autoprovision: yes}, "/v=DATA/shared-volumes/v"},
		{"absent", ecs.DockerVolumeConfiguration{Scope: "shared"}, "!no such shared volume"},
		{"driver", ecs.DockerVolumeConfiguration{Driver: "rexray"}, "!no volume driver"},
		{"bind", ecs.DockerVolumeConfiguration{DriverOpts: map[string]string{"type": "none", "o": "bind,ro", "device": "/srv"}}, "/v=/srv:ro"},
		{"tmpfs", ecs.DockerVolumeConfiguration{DriverOpts: map[string]string{"type": "tmpfs", "o": "size=1m", "device": "tmpfs"}}, "/v=tmpfs:tmpfs"},
		{"nfs", ecs.DockerVolumeConfiguration{DriverOpts: map[string]string{"type": "nfs", "device": ":/x"}}, "!cannot mount nfs"},
		{"option", ecs.DockerVolumeConfiguration{DriverOpts: map[string]string{"size": "1"}}, "!no option"},
		{"relative", ecs.DockerVolumeConfiguration{DriverOpts: map[string]string{"o": "bind", "device": "srv"}}, "!not an absolute path"},
	} {
		d := definition("serve")
		d.Volumes = []ecs.Volume{{Name: "v", DockerVolumeConfiguration: &c.config}}
		d.ContainerDefinitions[0].MountPoints = []ecs.MountPoint{{SourceVolume: "v", ContainerPath: "/v"}}
		got, err := mountsOf(t, makeTask(t, d, nil), 0, nil)
		if part, fails := strings.CutPrefix(c.want, "!"); fails {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %s, %v", c.name, got, err)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
}

// TestVolumesBeginWithImage: what the image has at the path is in a new volume, and in an old one nothing is put.
func TestVolumesBeginWithImage(t *testing.T) {
	layer := t.TempDir()
	if err := os.MkdirAll(filepath.Join(layer, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(layer, "data/f"), []byte("image"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := definition("serve")
	d.Volumes = []ecs.Volume{{Name: "v"}}
	d.ContainerDefinitions[0].MountPoints = []ecs.MountPoint{{SourceVolume: "v", ContainerPath: "/data"}}
	tk := makeTask(t, d, nil)
	file := filepath.Join(tk.engine.files.volume(tk.run.ID, "v"), "f")
	image := &runtime.Image{Layers: []string{layer}}
	if _, err := mountsOf(t, tk, 0, image); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := mountsOf(t, tk, 0, image); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("an old volume was filled again")
	}
	if err := tk.engine.files.remove(tk.run.ID); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(file)); err == nil {
		t.Error("a task's volume outlives it")
	}
}
