package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/devcluster"
	"roadstead.dev/roadstead/internal/ecs"
)

// settingsFlags are for what AWS fixes and an installation may choose.
type settingsFlags struct {
	retention time.Duration
	history   time.Duration
	lost      time.Duration
	hooks     bool
	tasks     int
	subnets   string
	release   ecs.AgentRelease
}

func (f *settingsFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.retention, "stopped-task-retention", time.Hour, "how long stopped tasks can be described")
	cmd.Flags().DurationVar(&f.history, "service-history-retention", 90*24*time.Hour, "how long service deployments that have ended can be described")
	cmd.Flags().DurationVar(&f.lost, "lost-instance-after", 5*time.Minute, "how long an agent may be disconnected before its instance's service tasks are replaced; less than 0 is for ever")
	cmd.Flags().BoolVar(&f.hooks, "deployment-hook-urls", false, "let deployments' life-cycle hooks name http(s) URLs, which the control plane then calls")
	cmd.Flags().IntVar(&f.tasks, "max-run-tasks", 10, "largest count of one RunTask; more than AWS's 10 is beyond what its clients expect")
	cmd.Flags().StringVar(&f.release.URL, "agent-update-url", "", "http(s) URL of an image of Amazon's container agent, which UpdateContainerAgent brings hosts to that run it")
	cmd.Flags().StringVar(&f.release.SHA256, "agent-update-sha256", "", "SHA-256 of what --agent-update-url has, in hex")
	cmd.Flags().StringVar(&f.release.Version, "agent-update-version", "", "version of the agent at --agent-update-url; agents that say it already are not updated")
	cmd.Flags().StringVar(&f.subnets, "subnet-range", "100.64.0.0/10", "IPv4 range of subnets that are named before they are made; each gets a /20 of it")
}

func (f *settingsFlags) settings() (devcluster.Settings, error) {
	subnets, err := netip.ParsePrefix(f.subnets)
	if err != nil {
		return devcluster.Settings{}, fmt.Errorf("--subnet-range: %w", err)
	}
	s := devcluster.Settings{StoppedTaskRetention: f.retention, ServiceHistoryRetention: f.history, HookURLs: f.hooks, LostAfter: f.lost, MaxRunTasks: f.tasks, SubnetRange: subnets}
	if f.release != (ecs.AgentRelease{}) {
		s.AgentRelease = &f.release
	}
	return s, s.Check()
}
