package link

import (
	"encoding/json"
	"path/filepath"
	"time"
)

// The methods a client may call.
const (
	MethodHello    = "hello"    // Hello -> HelloReply
	MethodStart    = "start"    // StartRequest -> Status
	MethodRestart  = "restart"  // RestartRequest -> Status
	MethodCancel   = "cancel"   // CancelRequest, not answered: the start or restart that it names answers
	MethodKill     = "kill"     // KillRequest -> nothing
	MethodDelete   = "delete"   // DeleteRequest -> nothing
	MethodGet      = "get"      // IDRequest -> Status
	MethodList     = "list"     // -> ListReply
	MethodShutdown = "shutdown" // ShutdownRequest -> nothing
	// MethodExec makes the connection the process's own. ExecRequest, with descriptors for its input, output and errors
	// unless it has a terminal -> ExecReply, with the terminal's descriptor if it has one.
	// From then on SignalRequest frames go in, and EventEnded comes out once. A client that closes its side has the process killed.
	MethodExec   = "exec"
	MethodSignal = "signal" // SignalRequest, not answered
)

// EventEnded is sent on a process's own connection when it has ended. Its body is Ended.
const EventEnded = "ended"

// EventExit is sent to every client when a container has exited, after that is on disk. Its body is a Status.
const EventExit = "exit"

// The files in a monitor's directory that a client needs.
const (
	socketName = "monitor.sock"
	LockName   = "monitor.lock"
	logName    = "monitor.log"
)

// SocketPath is the monitor's socket.
func SocketPath(dir string) string { return filepath.Join(dir, socketName) }

// Hello opens a connection.
type Hello struct {
	Version int `json:"version"`
}

// HelloReply says who answers.
type HelloReply struct {
	Version int `json:"version"`
	Pid     int `json:"pid"`
}

// StartRequest asks for a container. The caller has resolved everything but what only the mounted image tells.
type StartRequest struct {
	ID     string            `json:"id"`
	Labels map[string]string `json:"labels,omitempty"`
	// Runtime is the OCI runtime: a name to look up in PATH or an absolute path; empty for the machine's best.
	Runtime string `json:"runtime,omitempty"`
	// Config is the OCI runtime configuration. The monitor fills in process.user, HOME, and root.path.
	Config json.RawMessage `json:"config"`
	// Seccomp is linux.seccomp. It travels apart so that the monitor can keep what the runtime compiles of it.
	Seccomp json.RawMessage `json:"seccomp,omitempty"`
	// Layers are the lower directories of the overlay, topmost first.
	Layers []string `json:"layers"`
	// User is as in an image's configuration.
	User string `json:"user,omitempty"`
	// Cgroup is the container's cgroup from the root of each hierarchy. CgroupRoot is above it; what is between the two is
	// removed when its last container is.
	Cgroup     string `json:"cgroup"`
	CgroupRoot string `json:"cgroupRoot"`
	// ParentCPUQuota (cores) and ParentMemoryLimit (bytes) bound the cgroup above the container's, 0 for no bound.
	ParentCPUQuota    float64 `json:"parentCpuQuota,omitempty"`
	ParentMemoryLimit int64   `json:"parentMemoryLimit,omitempty"`
	Log               Log     `json:"log"`
	Terminal          bool    `json:"terminal,omitempty"`
	// PidNS and IpcNS are the ids of running containers whose namespaces it joins, with the latter's /dev/shm. SharedPID says
	// that it is not alone in its pid namespace.
	PidNS     string `json:"pidNS,omitempty"`
	IpcNS     string `json:"ipcNS,omitempty"`
	SharedPID bool   `json:"sharedPid,omitempty"`
	// Restartable keeps the request, so that the container can be started again.
	Restartable bool `json:"restartable,omitempty"`
}

// RestartRequest asks for the N-th restart of a container that has exited. It may be made twice.
type RestartRequest struct {
	ID string `json:"id"`
	N  int    `json:"n"`
	// NetNS is the path of the network namespace that the container joins, if it joins one.
	NetNS string `json:"netNS,omitempty"`
}

// Log says where output goes, as runtime.LogSpec.
type Log struct {
	Path     string `json:"path,omitempty"`
	MaxBytes int64  `json:"maxBytes,omitempty"`
	MaxFiles int    `json:"maxFiles,omitempty"`
}

// CancelRequest gives up a start or restart that is under way by its frame's ID.
type CancelRequest struct {
	Frame uint64 `json:"frame"`
}

// KillRequest sends a signal.
type KillRequest struct {
	ID     string `json:"id"`
	Signal int    `json:"signal"`
	All    bool   `json:"all,omitempty"`
}

// DeleteRequest forgets a container; with Force also one that runs, which is killed.
type DeleteRequest struct {
	ID       string `json:"id"`
	KeepLogs bool   `json:"keepLogs,omitempty"`
	Force    bool   `json:"force,omitempty"`
}

// IDRequest names a container.
type IDRequest struct {
	ID string `json:"id"`
}

// ShutdownRequest ends the monitor. It is refused while containers run, unless they are to be left running.
type ShutdownRequest struct {
	Leave bool `json:"leave,omitempty"`
}

// ListReply has every container that was started and not deleted.
type ListReply struct {
	Containers []Status `json:"containers"`
}

// The values of Status.State.
const (
	StateRunning = "running"
	StateExited  = "exited"
)

// Status is runtime.Status on the wire and on disk.
type Status struct {
	ID        string            `json:"id"`
	Labels    map[string]string `json:"labels,omitempty"`
	State     string            `json:"state"`
	Pid       int               `json:"pid,omitempty"`
	StartedAt time.Time         `json:"startedAt"`
	// Restarts is how many times it was started again; the rest is of its last run.
	Restarts  int       `json:"restarts,omitempty"`
	ExitedAt  time.Time `json:"exitedAt,omitzero"`
	ExitCode  int       `json:"exitCode"`
	OOMKilled bool      `json:"oomKilled,omitempty"`
	// LogDropped is how many entries the log could not take, for want of room on the disk mostly.
	LogDropped int64 `json:"logDropped,omitempty"`
}

// ExecRequest asks for a process in a running container.
type ExecRequest struct {
	ID   string   `json:"id"`
	Args []string `json:"args"`
	// Env is added to the container's. Cwd and User are the container's where they are empty.
	Env      []string `json:"env,omitempty"`
	Cwd      string   `json:"cwd,omitempty"`
	User     string   `json:"user,omitempty"`
	Terminal bool     `json:"terminal,omitempty"`
}

// ExecReply says that the process runs.
type ExecReply struct {
	Pid int `json:"pid"`
}

// SignalRequest sends a signal to the process of the connection.
type SignalRequest struct {
	Signal int `json:"signal"`
}

// Ended is a process's end: its exit status, 128 plus the signal's number, or -1 if that is not known.
type Ended struct {
	ExitCode int `json:"exitCode"`
}
