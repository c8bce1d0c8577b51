package acs

import (
	"roadstead.dev/roadstead/internal/ecs"
)

// TypeMetrics tells what tasks and their containers take, every 20 s, of at most ten tasks a message.
const TypeMetrics = "PublishMetricsRequest"

// Metrics is the message of TypeMetrics.
type Metrics struct {
	Metadata struct {
		// Idle says that there are no tasks, and Fin that this is the last message of those with one MessageID.
		MessageID string `json:"messageId"`
		Idle      bool   `json:"idle"`
		Fin       bool   `json:"fin"`
	} `json:"metadata"`
	Tasks []struct {
		TaskARN    string             `json:"taskArn"`
		Containers []ContainerMetrics `json:"containerMetrics"`
	} `json:"taskMetrics"`
}

// TaskMetrics is what was measured of a task over the last 20 s.
type TaskMetrics struct {
	Task       ecs.TaskID
	Containers []ContainerMetrics
}

// ContainerMetrics is what was measured of a container. What is not known is nil, as the network of one on its host's is.
type ContainerMetrics struct {
	Name string `json:"containerName"`
	// CPU is in percent of the whole machine, Memory in MiB.
	CPU     *StatsSet     `json:"cpuStatsSet"`
	Memory  *StatsSet     `json:"memoryStatsSet"`
	Network *NetworkStats `json:"networkStatsSet"`
	Storage *StorageStats `json:"storageStatsSet"`
	Restart *struct {
		Count int64 `json:"restartCount"`
	} `json:"restartStatsSet"`
}

// NetworkStats counts bytes since the container's start; the rates are bytes a second.
type NetworkStats struct {
	RxBytes *StatsSet `json:"rxBytes"`
	TxBytes *StatsSet `json:"txBytes"`
	RxRate  *StatsSet `json:"rxBytesPerSecond"`
	TxRate  *StatsSet `json:"txBytesPerSecond"`
}

// StorageStats counts bytes since the container's start.
type StorageStats struct {
	Read  *StatsSet `json:"readSizeBytes"`
	Write *StatsSet `json:"writeSizeBytes"`
}

// StatsSet sums samples up. Of counters above 2^63 the rest is in Overflow..., and Whole adds it.
type StatsSet struct {
	Min         float64 `json:"min"`
	Max         float64 `json:"max"`
	Sum         float64 `json:"sum"`
	Count       int64   `json:"sampleCount"`
	OverflowMin float64 `json:"overflowMin"`
	OverflowMax float64 `json:"overflowMax"`
	OverflowSum float64 `json:"overflowSum"`
}

// Usable tells whether the set can be one of measurements: there are samples, and nothing is below 0 or the wrong way round.
func (s *StatsSet) Usable() bool {
	return s != nil && s.Count > 0 && s.Min >= 0 && s.Max >= s.Min && s.Sum >= 0 && s.OverflowMin >= 0 && s.OverflowMax >= 0 && s.OverflowSum >= 0
}

// Whole is the set with what overflowed in it.
func (s StatsSet) Whole() StatsSet {
	return StatsSet{Min: s.Min + s.OverflowMin, Max: s.Max + s.OverflowMax, Sum: s.Sum + s.OverflowSum, Count: s.Count}
}
