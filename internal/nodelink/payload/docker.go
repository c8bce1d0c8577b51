package payload

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
)

// dockerConfig is what we set of Docker's Config.
// https://docs.docker.com/reference/api/engine/version/v1.32/#tag/Container/operation/ContainerCreate
type dockerConfig struct {
	Hostname        string             `json:",omitempty"`
	User            string             `json:",omitempty"`
	Tty             bool               `json:",omitempty"`
	OpenStdin       bool               `json:",omitempty"`
	WorkingDir      string             `json:",omitempty"`
	NetworkDisabled bool               `json:",omitempty"`
	Labels          map[string]string  `json:",omitempty"`
	Healthcheck     *dockerHealthcheck `json:",omitempty"`
}

// dockerHealthcheck has its times in nanoseconds; 0 is Docker's default.
type dockerHealthcheck struct {
	Test        []string
	Interval    time.Duration `json:",omitempty"`
	Timeout     time.Duration `json:",omitempty"`
	StartPeriod time.Duration `json:",omitempty"`
	Retries     int32         `json:",omitempty"`
}

// dockerHost is what we set of Docker's HostConfig. Sizes are in bytes.
type dockerHost struct {
	NetworkMode       string            `json:",omitempty"`
	Privileged        bool              `json:",omitempty"`
	ReadonlyRootfs    bool              `json:",omitempty"`
	CapAdd            []string          `json:",omitempty"`
	CapDrop           []string          `json:",omitempty"`
	DNS               []string          `json:"Dns,omitempty"`
	DNSSearch         []string          `json:"DnsSearch,omitempty"`
	ExtraHosts        []string          `json:",omitempty"`
	Ulimits           []dockerUlimit    `json:",omitempty"`
	Sysctls           map[string]string `json:",omitempty"`
	SecurityOpt       []string          `json:",omitempty"`
	Tmpfs             map[string]string `json:",omitempty"`
	ShmSize           int64             `json:",omitempty"`
	Devices           []dockerDevice    `json:",omitempty"`
	Init              *bool             `json:",omitempty"`
	MemoryReservation int64             `json:",omitempty"`
	MemorySwap        *int64            `json:",omitempty"`
	MemorySwappiness  *int32            `json:",omitempty"`
	LogConfig         *dockerLog        `json:",omitempty"`
}

type dockerUlimit struct {
	Name       string
	Soft, Hard int32
}

type dockerDevice struct {
	PathOnHost, PathInContainer, CgroupPermissions string
}

type dockerLog struct {
	Type   string
	Config map[string]string `json:",omitempty"`
}

const mib = 1 << 20

// docker makes the settings of a container that go by Docker's own names.
func (t *translation) docker(c *ecs.ContainerDefinition) (*DockerConfig, error) {
	config := dockerConfig{
		Hostname: c.Hostname, User: c.User, WorkingDir: c.WorkingDirectory, Labels: c.DockerLabels,
		Tty: set(c.PseudoTerminal), OpenStdin: set(c.Interactive), NetworkDisabled: set(c.DisableNetworking), Healthcheck: healthcheck(c),
	}
	host := dockerHost{
		Privileged: set(c.Privileged), ReadonlyRootfs: set(c.ReadonlyRootFilesystem), SecurityOpt: c.DockerSecurityOptions,
		DNS: c.DnsServers, DNSSearch: c.DnsSearchDomains, LogConfig: t.log(c),
	}
	// The task's mode alone changes none of Docker's settings for these two.
	if mode := t.networkMode(); mode == ecs.NetworkHost || mode == ecs.NetworkNone {
		host.NetworkMode = mode
	}
	for _, h := range c.ExtraHosts {
		host.ExtraHosts = append(host.ExtraHosts, h.Hostname+":"+h.IpAddress)
	}
	for _, u := range c.Ulimits {
		host.Ulimits = append(host.Ulimits, dockerUlimit{u.Name, u.SoftLimit, u.HardLimit})
	}
	for _, s := range c.SystemControls {
		if host.Sysctls == nil {
			host.Sysctls = map[string]string{}
		}
		host.Sysctls[s.Namespace] = s.Value
	}
	if c.MemoryReservation != nil {
		host.MemoryReservation = int64(*c.MemoryReservation) * mib
	}
	if l := c.LinuxParameters; l != nil {
		host.linux(l, c.Memory)
	}
	var out DockerConfig
	for at, v := range map[*string]any{&out.Config: config, &out.HostConfig: host} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("container %s: %w", c.Name, err)
		}
		*at = string(b)
	}
	return &out, nil
}

// linux takes over linuxParameters. Swap is Docker's sum of memory and swap.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LinuxParameters.html
func (h *dockerHost) linux(l *ecs.LinuxParameters, memory *int32) {
	h.Init = l.InitProcessEnabled
	if l.Capabilities != nil {
		h.CapAdd, h.CapDrop = l.Capabilities.Add, l.Capabilities.Drop
	}
	if l.SharedMemorySize != nil {
		h.ShmSize = int64(*l.SharedMemorySize) * mib
	}
	for _, d := range l.Devices {
		h.Devices = append(h.Devices, dockerDevice{d.HostPath, first(d.ContainerPath, d.HostPath), permissions(d.Permissions)})
	}
	for _, f := range l.Tmpfs {
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[f.ContainerPath] = strings.Join(append([]string{fmt.Sprintf("size=%dm", f.Size)}, f.MountOptions...), ",")
	}
	if l.MaxSwap != nil && memory != nil {
		sum := (int64(*l.MaxSwap) + int64(*memory)) * mib
		h.MemorySwap, h.MemorySwappiness = &sum, l.Swappiness
	}
}

// permissions are Docker's letters; without any there are all three.
func permissions(words []string) string {
	out := ""
	for word, letter := range map[string]string{"read": "r", "write": "w", "mknod": "m"} {
		if len(words) == 0 || slices.Contains(words, word) {
			out += letter
		}
	}
	letters := strings.Split(out, "")
	slices.SortFunc(letters, func(a, b string) int { return strings.Index("rwm", a) - strings.Index("rwm", b) })
	return strings.Join(letters, "")
}

// healthcheck is nil for a container without one. A command of NONE switches the image's off.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
func healthcheck(c *ecs.ContainerDefinition) *dockerHealthcheck {
	h := c.HealthCheck
	if h == nil || len(h.Command) == 0 {
		return nil
	}
	return &dockerHealthcheck{
		Test: h.Command, Interval: seconds(h.Interval, 30), Timeout: seconds(h.Timeout, 5), StartPeriod: seconds(h.StartPeriod, 0), Retries: number(h.Retries, 3),
	}
}

func seconds(n *int32, otherwise int32) time.Duration {
	return time.Duration(number(n, otherwise)) * time.Second
}

func number(n *int32, otherwise int32) int32 {
	if n == nil {
		return otherwise
	}
	return *n
}

// log is the log driver with its options. The stream of awslogs is ours to name, and its endpoint is this server.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
func (t *translation) log(c *ecs.ContainerDefinition) *dockerLog {
	l := c.LogConfiguration
	if l == nil || l.LogDriver == "" {
		return nil
	}
	out := &dockerLog{Type: l.LogDriver, Config: map[string]string{}}
	for name, value := range l.Options {
		out.Config[name] = value
	}
	if l.LogDriver != "awslogs" {
		return out
	}
	if prefix := out.Config["awslogs-stream-prefix"]; prefix != "" {
		delete(out.Config, "awslogs-stream-prefix")
		out.Config["awslogs-stream"] = prefix + "/" + c.Name + "/" + t.task.ID.String()
	}
	if out.Config["awslogs-region"] == "" {
		out.Config["awslogs-region"] = t.Place.Region
	}
	if out.Config["awslogs-endpoint"] == "" && t.Endpoint != "" {
		out.Config["awslogs-endpoint"] = t.Endpoint
	}
	return out
}

func set(b *bool) bool { return b != nil && *b }

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
