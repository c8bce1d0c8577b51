package runtime

import (
	"os"
	"strings"
)

// Linux is what a container asks of the kernel beside its weight and its limits. The zero value is Docker's defaults.
type Linux struct {
	// MaxSwap is how many bytes of swap the container may use beside its memory; nil is none, where swap can be limited.
	MaxSwap *int64
	// Swappiness is 0 to 100; nil is the machine's. cgroup v2 has no such setting, and it is left out there.
	Swappiness *uint64
	// ShmSize is that of /dev/shm in bytes, 0 for Docker's 64 MiB.
	ShmSize int64
	Tmpfs   []Tmpfs
	Devices []Device
	// Security are Docker's security options: no-new-privileges, apparmor:PROFILE, label:KEY:VALUE, seccomp:unconfined.
	Security []string
}

// Tmpfs is a file system in memory. Options are mount options as mount(8) takes them.
type Tmpfs struct {
	Target  string
	Size    int64 // in bytes
	Options []string
}

// Device is one of the machine's devices, or all in a directory. Target is its path in the container, "" for the same;
// Access is what a container may do with it: some of r, w and m (make a node), "" for all.
type Device struct {
	Source, Target, Access string
}

// HasAppArmor tells whether the machine confines programs by AppArmor profiles.
func HasAppArmor() bool {
	data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(data), "Y")
}

// HasSELinux tells whether the machine labels programs by SELinux.
func HasSELinux() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err == nil
}
