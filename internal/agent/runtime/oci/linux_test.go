package oci

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func TestTmpfsOptions(t *testing.T) {
	for _, c := range []struct {
		options []string
		want    string
	}{
		{nil, "nosuid nodev noexec size=1024"},
		{[]string{"defaults", "exec", "mode=1777"}, "nosuid nodev exec mode=1777 size=1024"},
		{[]string{"suid", "dev", "ro"}, "noexec suid dev ro size=1024"},
	} {
		m, err := tmpfs(runtime.Tmpfs{Target: "/x/", Size: 1024, Options: c.options})
		if err != nil || m.Destination != "/x" || strings.Join(m.Options, " ") != c.want {
			t.Errorf("%q: %+v, %v", c.options, m, err)
		}
	}
	for _, bad := range []runtime.Tmpfs{{Target: "x"}, {Target: "/"}, {Target: "/x", Options: []string{"mode=1,size=2"}}} {
		if _, err := tmpfs(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestSwap(t *testing.T) {
	swap, n := int64(1000), uint64(7)
	spec := &runtime.Spec{MemoryLimit: 64 << 20, Linux: runtime.Linux{MaxSwap: &swap, Swappiness: &n}}
	r, err := (&host{swapLimited: true}).resources(spec)
	if err != nil || *r.Memory.Swap != 64<<20+1000 || *r.Memory.Swappiness != 7 {
		t.Errorf("%+v, %v", r.Memory, err)
	}
	if r, err = (&host{swapLimited: true, unified: true}).resources(spec); err != nil || r.Memory.Swappiness != nil {
		t.Errorf("cgroup v2 has no swappiness: %+v, %v", r.Memory, err)
	}
	if r, err = (&host{swapLimited: true}).resources(&runtime.Spec{MemoryLimit: 64 << 20, Linux: runtime.Linux{Swappiness: &n}}); err != nil || r.Memory.Swappiness != nil || *r.Memory.Swap != 64<<20 {
		t.Errorf("swappiness without maxSwap: %+v, %v", r.Memory, err)
	}
	if _, err = (&host{swapLimited: true}).resources(&runtime.Spec{Linux: runtime.Linux{MaxSwap: &swap}}); err == nil {
		t.Error("maxSwap without a limit of memory was taken")
	}
}

func TestDevices(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/null", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	empty := func() *specs.Spec { return &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{}}} }
	spec := empty()
	devices := []runtime.Device{{Source: filepath.Join(dir, "link"), Target: "/dev/a", Access: "r"}, {Source: "/dev/zero"}}
	if err := addDevices(devices, spec); err != nil {
		t.Fatal(err)
	}
	got := spec.Linux.Devices
	if len(got) != 2 || got[0].Path != "/dev/a" || got[0].Major != 1 || got[0].Minor != 3 || got[1].Path != "/dev/zero" || got[1].Minor != 5 {
		t.Errorf("%+v", got)
	}
	if rules := spec.Linux.Resources.Devices; len(rules) != 2 || rules[0].Access != "r" || rules[1].Access != "rwm" || *rules[0].Minor != 3 {
		t.Errorf("%+v", rules)
	}
	for _, bad := range []runtime.Device{{Source: "/dev/no-such"}, {Source: dir}, {Source: "/dev/null", Target: "x"}} {
		if err := addDevices([]runtime.Device{bad}, empty()); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestSecurityOptions(t *testing.T) {
	for option, want := range map[string]bool{"no-new-privileges": true, "no-new-privileges:true": true, "no-new-privileges=false": false, "seccomp=unconfined": false} {
		spec := &specs.Spec{Process: &specs.Process{}}
		if err := new(host).secure(&runtime.Spec{Linux: runtime.Linux{Security: []string{option}}}, spec); err != nil || spec.Process.NoNewPrivileges != want {
			t.Errorf("%s: %t, %v", option, spec.Process.NoNewPrivileges, err)
		}
	}
	for _, bad := range []string{"seccomp:/profile.json", "no-new-privileges:perhaps", "systempaths=unconfined", "credentialspec:x"} {
		if err := new(host).secure(&runtime.Spec{Linux: runtime.Linux{Security: []string{bad}}}, &specs.Spec{Process: &specs.Process{}}); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if !seccompUnconfined([]string{"x", "seccomp:unconfined"}) || seccompUnconfined([]string{"seccomp:x"}) {
		t.Error("seccomp:unconfined is not seen")
	}
	for _, c := range []struct{ parts, want string }{
		{"type:web_t level:s0:c1", "system_u:system_r:web_t:s0:c1"}, {"disable", ""}, {"user:u role:r", "u:r:container_t:s0"},
	} {
		if got, err := processLabel(strings.Fields(c.parts)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.parts, got, err)
		}
	}
	if _, err := processLabel([]string{"what:x"}); err == nil {
		t.Error("label:what was taken")
	}
}

func TestFileSystems(t *testing.T) {
	m, err := fileSystem(runtime.Mount{Source: "tmpfs", Target: "/t", Type: "tmpfs", Options: []string{"size=1m"}, ReadOnly: true})
	if err != nil || m.Type != "tmpfs" || !slices.Equal(m.Options, []string{"size=1m", "ro"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := fileSystem(runtime.Mount{Target: "t", Type: "tmpfs"}); err == nil {
		t.Error("a path that is not absolute was taken")
	}
}
