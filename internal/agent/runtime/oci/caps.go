package oci

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// capNames are the capabilities of capability.h by their numbers.
var capNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// defaultCaps are Docker's.
// https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
var defaultCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// ownCaps are the capabilities that this process can give away.
func ownCaps() []string {
	var own []string
	for n, name := range capNames {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0); err == nil && has == 1 {
			own = append(own, name)
		}
	}
	return own
}

// capabilities are those of a container, with what a task definition adds and drops; ALL is every one that there is. One that
// is added and that the machine's agent lacks is an error; of the defaults it is only left out.
func capabilities(own []string, privileged bool, add, drop []string) ([]string, error) {
	base := slices.DeleteFunc(slices.Clone(defaultCaps), func(c string) bool { return !slices.Contains(own, c) })
	if privileged {
		base = slices.Clone(own)
	}
	added, allAdded, err := capSet(add)
	if err != nil {
		return nil, err
	}
	dropped, allDropped, err := capSet(drop)
	if err != nil {
		return nil, err
	}
	for _, c := range added {
		if !slices.Contains(own, c) {
			return nil, fmt.Errorf("capability %s cannot be added: this machine's agent does not have it", strings.TrimPrefix(c, "CAP_"))
		}
	}
	switch {
	case privileged:
	case allAdded:
		base = slices.Clone(own)
	case allDropped:
		base = nil
	}
	if privileged {
		return base, nil // as with Docker, nothing is taken from it
	}
	for _, c := range added {
		if !slices.Contains(base, c) {
			base = append(base, c)
		}
	}
	// One that is both added and dropped is dropped, unless all were and it is added back.
	return slices.DeleteFunc(base, func(c string) bool { return slices.Contains(dropped, c) }), nil
}

// capSet reads names as Docker takes them: in any case, with or without CAP_.
func capSet(names []string) (set []string, all bool, err error) {
	for _, name := range names {
		c := strings.ToUpper(name)
		if c == "ALL" {
			all = true
			continue
		}
		if !strings.HasPrefix(c, "CAP_") {
			c = "CAP_" + c
		}
		if !slices.Contains(capNames, c) {
			return nil, false, fmt.Errorf("unknown capability %q", name)
		}
		set = append(set, c)
	}
	return set, all, nil
}
