package runtime

import (
	"context"
	"time"
)

// Meter is a Runtime that can measure containers. It may be asked at once from many goroutines.
type Meter interface {
	// Stats measures a container that runs; an error wraps ErrNotFound for one that does not.
	Stats(ctx context.Context, id string) (*Stats, error)
}

// Stats is a measurement of a container in the form of Docker's API, in which ECS gives it.
// https://docs.docker.com/reference/api/engine/version/v1.30/#operation/ContainerStats
type Stats struct {
	Read      time.Time    `json:"read"`
	PreRead   time.Time    `json:"preread"`
	NumProcs  int          `json:"num_procs"`
	CPU       CPUStats     `json:"cpu_stats"`
	PreCPU    CPUStats     `json:"precpu_stats"`
	Memory    MemoryStats  `json:"memory_stats"`
	PIDs      PIDStats     `json:"pids_stats"`
	BlockIO   BlockIOStats `json:"blkio_stats"`
	Name      string       `json:"name"`
	ID        string       `json:"id"`
	Networks  NetworkStats `json:"networks,omitempty"`
	RateStats *NetworkRate `json:"network_rate_stats,omitempty"`
}

// CPUStats is cpu time, in nanoseconds since the container's start; SystemUsage is that of the machine.
type CPUStats struct {
	Usage struct {
		Total  uint64   `json:"total_usage"`
		PerCPU []uint64 `json:"percpu_usage,omitempty"`
		Kernel uint64   `json:"usage_in_kernelmode"`
		User   uint64   `json:"usage_in_usermode"`
	} `json:"cpu_usage"`
	SystemUsage uint64 `json:"system_cpu_usage"`
	OnlineCPUs  int    `json:"online_cpus"`
	Throttling  struct {
		Periods   uint64 `json:"periods"`
		Throttled uint64 `json:"throttled_periods"`
		Time      uint64 `json:"throttled_time"`
	} `json:"throttling_data"`
}

// MemoryStats is in bytes.
type MemoryStats struct {
	Usage    uint64            `json:"usage"`
	MaxUsage uint64            `json:"max_usage,omitempty"`
	Stats    map[string]uint64 `json:"stats,omitempty"`
	Limit    uint64            `json:"limit"`
}

// PIDStats counts processes and threads.
type PIDStats struct {
	Current uint64 `json:"current"`
}

// BlockIOStats counts what was read from and written to block devices.
type BlockIOStats struct {
	Bytes []BlockIO `json:"io_service_bytes_recursive"`
	Ops   []BlockIO `json:"io_serviced_recursive"`
}

// BlockIO is one device's count of one kind of operation: Read, Write.
type BlockIO struct {
	Major uint64 `json:"major"`
	Minor uint64 `json:"minor"`
	Op    string `json:"op"`
	Value uint64 `json:"value"`
}

// NetworkStats is by the interface's name.
type NetworkStats map[string]InterfaceStats

// InterfaceStats counts since the interface was made.
type InterfaceStats struct {
	RxBytes   uint64 `json:"rx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxErrors  uint64 `json:"rx_errors"`
	RxDropped uint64 `json:"rx_dropped"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxErrors  uint64 `json:"tx_errors"`
	TxDropped uint64 `json:"tx_dropped"`
}

// NetworkRate is in bytes a second.
type NetworkRate struct {
	Rx float64 `json:"rx_bytes_per_sec"`
	Tx float64 `json:"tx_bytes_per_sec"`
}
