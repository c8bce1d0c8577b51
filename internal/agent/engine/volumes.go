package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/volume"
	"roadstead.dev/roadstead/internal/ecs"
)

// Volumes are made when the first container that mounts them starts, one at a time (Engine.volumes), and begin with what that
// container's image has at the mount's path. What belongs to a task is in the task's directory and goes with it; shared
// volumes stay, as at Docker.

// anonymousMark separates the container from the path in the name of a volume that only its image names. ECS's names have none.
const anonymousMark = "."

func (l layout) shared() string { return filepath.Join(l.data, "shared-volumes") }

// anonymous is the directory of a volume that the container's image asks for at a path.
func (l layout) anonymous(id ecs.TaskID, container, target string) string {
	return l.volume(id, container+anonymousMark+url.PathEscape(path.Clean(target)))
}

// mounts resolves mountPoints, volumesFrom and the image's own volumes: the first of these that has a path has it.
func (t *task) mounts(spec *runtime.Spec, c *ecs.ContainerDefinition) error {
	if t.engine.cfg.Simulated {
		return nil
	}
	t.engine.volumes.Lock()
	defer t.engine.volumes.Unlock()
	mounts, err := t.ownMounts(c, spec.Image)
	if err != nil {
		return err
	}
	inherited, err := t.volumesFrom(c, map[string]bool{c.Name: true})
	if err != nil {
		return err
	}
	for _, m := range inherited {
		if !mountedAt(mounts, m.Target) {
			mounts = append(mounts, m)
		}
	}
	if spec.Image != nil && !t.engine.files.none() {
		for _, target := range spec.Image.Config.Volumes {
			if mountedAt(mounts, target) || mountedAt(tmpfsMounts(spec), target) {
				continue
			}
			dir := t.engine.files.anonymous(t.run.ID, c.Name, target)
			if err := volume.Make(dir, spec.Image.Layers, target); err != nil {
				return fmt.Errorf("volume at %s: %w", target, err)
			}
			mounts = append(mounts, runtime.Mount{Source: dir, Target: target})
		}
	}
	// The outer before the inner.
	slices.SortStableFunc(mounts, func(a, b runtime.Mount) int {
		return strings.Count(path.Clean(a.Target), "/") - strings.Count(path.Clean(b.Target), "/")
	})
	spec.Mounts = append(spec.Mounts, mounts...)
	return nil
}

func tmpfsMounts(spec *runtime.Spec) []runtime.Mount {
	list := make([]runtime.Mount, 0, len(spec.Linux.Tmpfs))
	for _, t := range spec.Linux.Tmpfs {
		list = append(list, runtime.Mount{Target: t.Target})
	}
	return list
}

func mountedAt(mounts []runtime.Mount, target string) bool {
	return slices.ContainsFunc(mounts, func(m runtime.Mount) bool { return path.Clean(m.Target) == path.Clean(target) })
}

// ownMounts are a container's mountPoints. Volumes that are new are filled from the image, if there is one.
func (t *task) ownMounts(c *ecs.ContainerDefinition, image *runtime.Image) ([]runtime.Mount, error) {
	var mounts []runtime.Mount
	for _, p := range c.MountPoints {
		m, err := t.volume(p.SourceVolume, p.ContainerPath, image)
		if err != nil {
			return nil, err
		}
		m.Target, m.ReadOnly = p.ContainerPath, m.ReadOnly || set(p.ReadOnly)
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// volumesFrom are the mounts of other containers of the task, with what they have from others in turn.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_VolumeFrom.html
func (t *task) volumesFrom(c *ecs.ContainerDefinition, seen map[string]bool) ([]runtime.Mount, error) {
	var all []runtime.Mount
	for _, from := range c.VolumesFrom {
		i := slices.IndexFunc(t.definition.ContainerDefinitions, func(d ecs.ContainerDefinition) bool { return d.Name == from.SourceContainer })
		if i < 0 {
			return nil, fmt.Errorf("volumesFrom names container %q, which the task definition does not have", from.SourceContainer)
		}
		if seen[from.SourceContainer] {
			continue
		}
		seen[from.SourceContainer] = true
		source := &t.definition.ContainerDefinitions[i]
		mounts, err := t.ownMounts(source, nil)
		if err != nil {
			return nil, err
		}
		inherited, err := t.volumesFrom(source, seen)
		if err != nil {
			return nil, err
		}
		images, err := t.anonymousMounts(source.Name)
		if err != nil {
			return nil, err
		}
		for _, m := range slices.Concat(mounts, inherited, images) {
			if !mountedAt(all, m.Target) {
				m.ReadOnly = m.ReadOnly || set(from.ReadOnly)
				all = append(all, m)
			}
		}
	}
	return all, nil
}

// anonymousMounts are the volumes that a container's image asked for. It has started before: see needsOfVolumes.
func (t *task) anonymousMounts(container string) ([]runtime.Mount, error) {
	if t.engine.files.none() {
		return nil, nil
	}
	dir := filepath.Dir(t.engine.files.volume(t.run.ID, container))
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var mounts []runtime.Mount
	for _, e := range entries {
		escaped, ok := strings.CutPrefix(e.Name(), container+anonymousMark)
		if target, err := url.PathUnescape(escaped); ok && err == nil && path.IsAbs(target) && t.engine.files.anonymous(t.run.ID, container, target) == filepath.Join(dir, e.Name()) {
			mounts = append(mounts, runtime.Mount{Source: filepath.Join(dir, e.Name()), Target: target})
		}
	}
	return mounts, nil
}

// needsOfVolumes makes a container start after those whose volumes it has, as Amazon's agent does.
func (t *task) needsOfVolumes(names map[string]int) error {
	for i := range t.definition.ContainerDefinitions {
		for _, from := range t.definition.ContainerDefinitions[i].VolumesFrom {
			on, ok := names[from.SourceContainer]
			if !ok {
				return fmt.Errorf("volumesFrom names container %q, which the task definition does not have", from.SourceContainer)
			}
			t.seen.containers[i].needs = append(t.seen.containers[i].needs, dependency{on: on, condition: conditionStart})
		}
	}
	return nil
}

// volume finds or makes one of the task's volumes.
func (t *task) volume(name, target string, image *runtime.Image) (runtime.Mount, error) {
	i := slices.IndexFunc(t.definition.Volumes, func(v ecs.Volume) bool { return v.Name == name })
	if i < 0 {
		return runtime.Mount{}, fmt.Errorf("mountPoints name volume %q, which the task definition does not have", name)
	}
	v := &t.definition.Volumes[i]
	if v.Host != nil && v.Host.SourcePath != "" {
		// Docker makes the directory of a bind mount that is not there.
		if err := os.MkdirAll(v.Host.SourcePath, 0o755); err != nil && !os.IsExist(err) {
			return runtime.Mount{}, fmt.Errorf("volume %s: %w", name, err)
		}
		return runtime.Mount{Source: v.Host.SourcePath}, nil
	}
	if t.engine.files.none() {
		return runtime.Mount{}, fmt.Errorf("volume %s: this agent keeps no files", name)
	}
	mount, err := t.madeVolume(v, target, image)
	if err != nil {
		return runtime.Mount{}, fmt.Errorf("volume %s: %w", name, err)
	}
	return mount, nil
}

// madeVolume is a volume that the agent keeps: an empty host volume, or one of Docker's local driver.
func (t *task) madeVolume(v *ecs.Volume, target string, image *runtime.Image) (runtime.Mount, error) {
	dir, d := t.engine.files.volume(t.run.ID, v.Name), v.DockerVolumeConfiguration
	if d != nil {
		if d.Driver != "" && d.Driver != "local" {
			return runtime.Mount{}, fmt.Errorf("this agent has no volume driver %s", d.Driver)
		}
		if len(d.DriverOpts) > 0 {
			return t.optionsMount(v)
		}
		if d.Scope == scopeShared {
			dir = filepath.Join(t.engine.files.shared(), v.Name)
			if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) && !set(d.Autoprovision) {
				return runtime.Mount{}, errors.New("there is no such shared volume, and autoprovision is not set")
			}
		}
	}
	var layers []string
	if image != nil {
		layers = image.Layers
	}
	if err := volume.Make(dir, layers, target); err != nil {
		return runtime.Mount{}, err
	}
	return runtime.Mount{Source: dir}, nil
}

// scopeShared is the scope of a volume that outlives its tasks; the other is task.
const scopeShared = "shared"

// optionsMount reads the options of Docker's local driver: type, device and o are those of mount(8). A bind mount (type
// none, o=bind) and a file system are mounted in the container's own namespace, and are gone with it.
// https://docs.docker.com/reference/cli/docker/volume/create/#opt
func (t *task) optionsMount(v *ecs.Volume) (runtime.Mount, error) {
	opts := v.DockerVolumeConfiguration.DriverOpts
	for name := range maps.Keys(opts) {
		if name != "type" && name != "device" && name != "o" {
			return runtime.Mount{}, fmt.Errorf("the local driver has no option %q", name)
		}
	}
	kind, device := opts["type"], opts["device"]
	options := strings.FieldsFunc(opts["o"], func(r rune) bool { return r == ',' })
	bind := slices.Contains(options, "bind") || slices.Contains(options, "rbind")
	switch {
	case bind:
		if !filepath.IsAbs(device) {
			return runtime.Mount{}, fmt.Errorf("the device %q of a bind mount is not an absolute path", device)
		}
		return runtime.Mount{Source: device, ReadOnly: slices.Contains(options, "ro")}, nil
	case kind == "" || kind == "none":
		return runtime.Mount{}, errors.New("the local driver needs a type to mount a device")
	case slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3"}, kind):
		return runtime.Mount{}, fmt.Errorf("this agent cannot mount %s", kind)
	case kind == "tmpfs" && t.mounters(v.Name) > 1:
		return runtime.Mount{}, errors.New("a tmpfs cannot be shared between containers here")
	}
	return runtime.Mount{Source: first(device, kind), Type: kind, Options: options}, nil
}

// mounters is how many containers have a volume, those among them that have it from others.
func (t *task) mounters(name string) int {
	n := 0
	for i := range t.definition.ContainerDefinitions {
		c := &t.definition.ContainerDefinitions[i]
		if len(c.VolumesFrom) > 0 || slices.ContainsFunc(c.MountPoints, func(p ecs.MountPoint) bool { return p.SourceVolume == name }) {
			n++
		}
	}
	return n
}
