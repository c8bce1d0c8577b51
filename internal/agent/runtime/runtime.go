// Package runtime is what the task engine needs of the machine to run containers: images, and containers made of them.
// runtime/oci with runtime/images is the real one, runtime/fake misbehaves on demand; both pass runtime/runtimetest.
package runtime

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrNotFound is wrapped by what is returned for an image or container that is not there.
var ErrNotFound = errors.New("not found")

// Image is an image that is unpacked and ready to run on this machine.
type Image struct {
	// Name is the reference as it was asked for.
	Name string
	// Digest is sha256:... of the manifest that was run, or of the index it came from if it was asked for by that.
	Digest string
	Size   int64
	Config ImageConfig
	// Layers are the directories of the unpacked layers, topmost first, to be an overlay's lower directories.
	// They stay until the image is removed, and an image in use is not removed.
	Layers  []string
	Created time.Time
}

// ImageConfig is what an image says of how to run it.
type ImageConfig struct {
	Entrypoint, Cmd, Env []string
	User, WorkingDir     string
	StopSignal           string
	Volumes              []string
	Architecture, OS     string
}

// PullPolicy says when the registry is asked.
type PullPolicy int

// The policies of ECS_IMAGE_PULL_BEHAVIOR. With Default the registry is asked and, if it cannot answer, an image that is
// here already is used.
const (
	PullDefault PullPolicy = iota
	PullAlways
	PullOnce
	PullPreferCached
)

// PullOptions are a pull's settings.
type PullOptions struct {
	Policy PullPolicy
	// Username and Password are for the registry; empty for none.
	Username, Password string
	// Labels are those of the container that the image is for; images that are made up look at them.
	Labels map[string]string
	// Progress, if set, is called from time to time with the bytes here and the bytes in all.
	Progress func(done, total int64)
}

// Images keeps images. All methods may be called at once from many goroutines.
type Images interface {
	// Pull makes the image ready to run. Pulls of one name at the same time share the work.
	// Errors read as ECS's reason after "CannotPullContainerError: ".
	Pull(ctx context.Context, name string, opts PullOptions) (*Image, error)
	// Import reads a docker or OCI archive and unpacks it for this machine's platform.
	Import(ctx context.Context, archive io.Reader) ([]*Image, error)
	List(ctx context.Context) ([]*Image, error)
	// Remove deletes an image; it is refused while containers use it.
	Remove(ctx context.Context, name string) error
	// Hold keeps the image's layers from being removed until released. A hold may outlive the process, see Settle.
	Hold(image *Image, holder string)
	Release(holder string)
	// Settle releases what holders of an earlier process held that are not live, and that this process has not held again.
	Settle(live func(holder string) bool)
}

// Spec is one container to run, with everything resolved: image, user, environment, network.
type Spec struct {
	// ID is unique on the machine for ever; it is the RuntimeID that ECS shows: 64 hex digits.
	ID string
	// Labels are kept with the container and given back by List.
	Labels map[string]string
	Image  *Image
	Args   []string
	Env    []string
	Cwd    string
	// User is as in an image or a task definition: "", uid, uid:gid, name, name:group. Names are looked up in the image.
	User     string
	Hostname string

	// CPUShares is relative weight (1024 to a core, 0 for the least, as Docker has it); CPUQuota is cores, 0 for no limit.
	CPUShares uint64
	CPUQuota  float64
	// MemoryLimit and MemoryReservation are in bytes, 0 for none.
	MemoryLimit, MemoryReservation int64
	PidsLimit                      int64
	// CgroupParent is the task's cgroup, below the agent's own: made when first used. Empty for the agent's own.
	CgroupParent string
	// ParentCPUQuota (cores) and ParentMemoryLimit (bytes) are those of CgroupParent as a whole, 0 for none. All containers
	// of a task give the same.
	ParentCPUQuota    float64
	ParentMemoryLimit int64

	// NetNS is the path of a network namespace; "" makes a new one with only loopback and "host" is the machine's.
	NetNS string
	// PidNS and IpcNS say whose processes and whose shared memory and queues (/dev/shm among them) it has: "" its own, "host"
	// the machine's, else the id of a running container, whose it joins. NoShm leaves /dev/shm out.
	PidNS, IpcNS string
	NoShm        bool
	// Hold is a container that runs no program, for others to join its namespaces. In its pid namespace all orphans are reaped.
	// Image, Args and User are not looked at, and it has no capabilities.
	Hold bool
	// Mounts are bind mounts, /etc/resolv.conf, /etc/hosts and /etc/hostname among them.
	Mounts []Mount

	Privileged     bool
	ReadonlyRootfs bool
	CapAdd         []string
	CapDrop        []string
	Ulimits        []Ulimit
	Sysctls        map[string]string
	Linux          Linux
	// Restartable keeps what Restarter needs.
	Restartable bool
	// Init runs a minimal init process as pid 1, which reaps zombies and forwards signals.
	Init     bool
	Terminal bool

	// OCIRuntime names the OCI runtime binary: crun, runc or runsc. Empty is the machine's best.
	OCIRuntime string
	Log        LogSpec
}

// Mount binds a file or directory of the machine into a container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	// Type is a file system's, mounted from Source (a device, or just a name) with Options; "" is a bind mount.
	Type    string
	Options []string
}

// Ulimit is a resource limit by its Docker name: nofile, nproc...
type Ulimit struct {
	Name       string
	Soft, Hard uint64
}

// LogSpec says where a container's output goes. It is always written to a file first, in Docker's json-file form, one
// {"log","stream","time"} object a line, so that an agent that is away loses nothing.
type LogSpec struct {
	// Path is the file; rotated ones are Path.1 (newest) upwards. Empty discards the output.
	Path string
	// MaxBytes rotates the file when it grows past it (0: 16 MiB), keeping MaxFiles in all (0: 3).
	MaxBytes int64
	MaxFiles int
}

// State is where a container is in its life.
type State int

// The states of a container.
const (
	Created State = iota
	Running
	Exited
)

// Status is what is known of a container.
type Status struct {
	ID        string
	Labels    map[string]string
	State     State
	Pid       int
	StartedAt time.Time
	// Restarts is how many times it was started again; the rest is of its last run.
	Restarts int
	// The rest is set once it has exited.
	ExitedAt time.Time
	// ExitCode is 128 plus the signal's number for a container that a signal ended, or -1 if it was lost (the machine or
	// the monitor went down).
	ExitCode int
	// OOMKilled says that the kernel ended a process of it for want of memory.
	OOMKilled bool
	// Error is why it never started.
	Error string
}

// Restarter is a Runtime whose containers can be started again. All methods may be called at once from many goroutines.
type Restarter interface {
	// Restart starts a container that has exited once more, as it was started first (Spec.Restartable) and with all that it has
	// written. n counts: it is its n-th restart, and asked again for one that has been made already it gives the container's
	// status, so that it may be repeated after a crash. netNS is as in Spec. While it is under way the container is Exited
	// to List and Wait. On an error it is so for good, as it was before.
	Restart(ctx context.Context, id string, n int, netNS string) (*Status, error)
}

// Runtime runs containers. They outlive the process that uses this: one that comes back finds them by List. All methods
// may be called at once from many goroutines.
type Runtime interface {
	// Start creates and starts a container. When it returns nil the container's first instruction is under way.
	// On an error nothing of the container is left.
	Start(ctx context.Context, spec *Spec) (*Status, error)
	// Wait blocks until the container has exited.
	Wait(ctx context.Context, id string) (*Status, error)
	// Kill sends a signal to the container's first process, or to all of them. It is no error if it has exited.
	Kill(ctx context.Context, id string, signal int, all bool) error
	// Delete forgets an exited container: its writable layer, its cgroup, its log files unless keepLogs.
	// It is no error if there is none.
	Delete(ctx context.Context, id string, keepLogs bool) error
	// Exec starts a process in a running container. ctx bounds its life: when it ends the process is killed, with what it
	// started in its session, and so it is when this process ends. An error wraps ErrNotFound or ErrNotRunning where the
	// container is the reason.
	Exec(ctx context.Context, id string, spec *ExecSpec) (Process, error)
	// List gives every container that was started and not deleted, also those of an earlier process.
	List(ctx context.Context) ([]*Status, error)
}
