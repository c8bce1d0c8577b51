package oci

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/monitor/cgroup"
)

// host is what of this machine a container's configuration depends on.
type host struct {
	caps        []string
	swapLimited bool
	unified     bool
	hostname    string
	// init is a static init to put into containers, "" if none is installed.
	init     string
	seccomps *seccomps
}

// inits are where Debian and others have static inits: docker.io, catatonit, tini.
var inits = []string{
	"/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/bin/tini-static",
}

func readHost(groups *cgroup.Hierarchies) (host, error) {
	h := host{caps: ownCaps(), swapLimited: groups.SwapLimited(), unified: groups.Unified(), seccomps: &seccomps{profiles: map[string]json.RawMessage{}}}
	var err error
	if h.hostname, err = os.Hostname(); err != nil {
		return host{}, err
	}
	for _, path := range inits {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			h.init = path
			break
		}
	}
	return h, nil
}

// seccomps keeps encoded profiles by the capabilities that they depend on.
type seccomps struct {
	mu       sync.Mutex
	profiles map[string]json.RawMessage
}

// seccomp is Docker's default profile, as containerd keeps it, for a container's capabilities.
// https://docs.docker.com/engine/security/seccomp/
func (h *host) seccomp(spec *specs.Spec) (json.RawMessage, error) {
	caps := spec.Process.Capabilities.Bounding
	sorted := slices.Sorted(slices.Values(caps))
	key := strings.Join(sorted, ",")
	h.seccomps.mu.Lock()
	defer h.seccomps.mu.Unlock()
	if profile := h.seccomps.profiles[key]; profile != nil {
		return profile, nil
	}
	profile, err := json.Marshal(seccomp.DefaultProfile(spec))
	if err != nil {
		return nil, fmt.Errorf("encode the seccomp profile: %w", err)
	}
	h.seccomps.profiles[key] = profile
	return profile, nil
}

// rlimit makes a resource limit. Without CAP_SYS_RESOURCE a hard limit cannot be raised, and setting it would fail later
// and less clearly.
func (h *host) rlimit(name string, soft, hard uint64) (specs.POSIXRlimit, error) {
	resource, ok := rlimits[strings.ToLower(name)]
	if !ok {
		return specs.POSIXRlimit{}, fmt.Errorf("unknown ulimit %q", name)
	}
	if soft > hard {
		return specs.POSIXRlimit{}, fmt.Errorf("ulimit %s: the soft limit %d is above the hard limit %d", name, soft, hard)
	}
	if !slices.Contains(h.caps, "CAP_SYS_RESOURCE") {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return specs.POSIXRlimit{}, fmt.Errorf("ulimit %s: %w", name, err)
		}
		if hard > now.Max {
			return specs.POSIXRlimit{}, fmt.Errorf("ulimit %s: the hard limit cannot be raised to %d: this machine's agent has %d and not CAP_SYS_RESOURCE", name, hard, now.Max)
		}
	}
	return specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: soft, Hard: hard}, nil
}

// rlimits are Docker's names; unix.RLIMIT_* lacks a few.
var rlimits = map[string]int{
	"cpu": unix.RLIMIT_CPU, "fsize": unix.RLIMIT_FSIZE, "data": unix.RLIMIT_DATA, "stack": unix.RLIMIT_STACK, "core": unix.RLIMIT_CORE,
	"rss": unix.RLIMIT_RSS, "nproc": unix.RLIMIT_NPROC, "nofile": unix.RLIMIT_NOFILE, "memlock": unix.RLIMIT_MEMLOCK, "as": unix.RLIMIT_AS,
	"locks": unix.RLIMIT_LOCKS, "sigpending": unix.RLIMIT_SIGPENDING, "msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE,
	"rtprio": unix.RLIMIT_RTPRIO, "rttime": unix.RLIMIT_RTTIME,
}
