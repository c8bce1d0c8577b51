package agent

import (
	"bufio"
	"fmt"
	"os"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/engine"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// stockPorts are those that Amazon's agent keeps for itself, for ssh and for Docker.
var stockPorts = []ecs.Port{{Number: 22}, {Number: 2375}, {Number: 2376}, {Number: 51678}, {Number: 51679}}

// resources finds out what the machine offers: all its cores, its memory less what is reserved, and every port but those
// that are used or reserved.
func (c *Config) resources(used []ecs.Port) (ecs.Resources, error) {
	if c.Resources != nil {
		return *c.Resources, nil
	}
	memory, err := memoryMiB()
	if err != nil {
		return ecs.Resources{}, err
	}
	if memory -= int64(c.ReservedMemoryMiB); memory <= 0 {
		return ecs.Resources{}, fmt.Errorf("%w: more memory is reserved than the machine has", ErrFatal)
	}
	ports := c.ReservedPorts
	if ports == nil {
		ports = stockPorts
	}
	return ecs.Resources{CPU: int32(goruntime.NumCPU()) * 1024, MemoryMiB: int32(memory), Ports: mergePorts(ports, used)}, nil
}

// memoryMiB is the machine's memory, or less where a cgroup limits this process.
func memoryMiB() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("find out the machine's memory: %w", err)
	}
	defer f.Close()
	total := int64(0)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			if total, err = strconv.ParseInt(fields[1], 10, 64); err != nil {
				return 0, fmt.Errorf("find out the machine's memory: %w", err)
			}
			break
		}
	}
	if total == 0 {
		return 0, fmt.Errorf("find out the machine's memory: no MemTotal")
	}
	// The machine's own root in a container: version 2, then version 1.
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && limit>>10 < total {
			total = limit >> 10
		}
	}
	return total >> 10, nil
}

// dockerAPIs are the versions whose features the agent has, under the names that ECS's definitions ask for.
var dockerAPIs = []string{"1.17", "1.18", "1.19", "1.20", "1.21", "1.22", "1.23", "1.24", "1.25", "1.28", "1.29", "1.30", "1.32"}

// capabilities are the attributes by which the agent says what it can do: what is missing here is refused at placement.
func (c *Config) capabilities() []ecs.Attribute {
	arch := map[string]string{"amd64": "x86_64"}[goruntime.GOARCH]
	if arch == "" {
		arch = goruntime.GOARCH
	}
	list := []ecs.Attribute{
		{Name: "ecs.os-type", Value: "linux"}, {Name: "ecs.os-family", Value: "LINUX"}, {Name: "ecs.cpu-architecture", Value: arch},
	}
	names := []string{
		acs.CapabilityNative,
		"com.amazonaws.ecs.capability.logging-driver.json-file",
		"com.amazonaws.ecs.capability.logging-driver.none",
		"com.amazonaws.ecs.capability.privileged-container",
		"ecs.capability.container-health-check",
		"ecs.capability.container-ordering",
		"ecs.capability.container-restart-policy",
		"ecs.capability.docker-plugin.local",
		"ecs.capability.network.container-port-range",
		"ecs.capability.pid-ipc-namespace-sharing",
		"ecs.capability.task-cpu-mem-limit",
		"ecs.capability.increased-task-cpu-limit",
		"ecs.capability.private-registry-authentication.secretsmanager",
		"ecs.capability.secrets.asm.environment-variables",
		"ecs.capability.secrets.ssm.environment-variables",
	}
	names = append(names, engine.NativeFeatures...)
	if runtime.HasAppArmor() {
		names = append(names, "com.amazonaws.ecs.capability.apparmor")
	}
	if runtime.HasSELinux() {
		names = append(names, "com.amazonaws.ecs.capability.selinux")
	}
	for _, v := range dockerAPIs {
		names = append(names, "com.amazonaws.ecs.capability.docker-remote-api."+v)
	}
	if c.Network != nil {
		names = append(names, "ecs.capability.task-eni")
	}
	if c.Metadata != nil {
		names = append(names, "com.amazonaws.ecs.capability.task-iam-role", "com.amazonaws.ecs.capability.task-iam-role-network-host")
	}
	if !c.Simulated {
		names = append(names, acs.CapabilityExec)
	}
	if c.Simulated {
		names = append(names, simulated...)
		names = append(names, ecs.NativeFeatures()...)
	} else if c.Logs != nil {
		names = append(names, "com.amazonaws.ecs.capability.logging-driver.awslogs", "ecs.capability.execution-role-awslogs",
			"ecs.capability.secrets.asm.bootstrap.log-driver", "ecs.capability.secrets.ssm.bootstrap.log-driver")
		for _, driver := range logs.Drivers {
			names = append(names, "com.amazonaws.ecs.capability.logging-driver."+driver)
		}
		names = append(names, "com.amazonaws.ecs.capability.logging-driver.awsfirelens", "ecs.capability.firelens.fluentd", "ecs.capability.firelens.fluentbit",
			"ecs.capability.firelens.options.config.file", "ecs.capability.logging-driver.awsfirelens.log-driver-buffer-limit")
		if logs.HasJournal() {
			names = append(names, "com.amazonaws.ecs.capability.logging-driver.journald")
		}
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		list = append(list, ecs.Attribute{Name: n})
	}
	return list
}
