package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/agent/fleet"
	"roadstead.dev/roadstead/internal/bench"
	"roadstead.dev/roadstead/internal/devcluster"
)

func benchCommand() *cobra.Command {
	var o bench.Options
	var jsonFile, plotFile, markdownFile string
	cmd := &cobra.Command{
		Use:   "bench [MEASUREMENT...]",
		Short: "Measure a control plane under a simulated fleet",
		Long:  "Measure a control plane under a simulated fleet: servers of its own, in processes and directories of theirs.\n\n" + measurementList(),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := logger(cmd)
			if err != nil {
				return err
			}
			o.Only, o.Log = args, log
			o.Progress, o.Terminal = cmd.ErrOrStderr(), isTerminal(os.Stderr)
			if o.Profiles != "" {
				if err := os.MkdirAll(o.Profiles, 0o755); err != nil {
					return err
				}
			}
			report, err := bench.Run(cmd.Context(), o)
			if report == nil {
				return err
			}
			return errors.Join(err, deliver(cmd.OutOrStdout(), report, jsonFile, markdownFile, plotFile))
		},
	}
	cmd.Flags().StringVar(&o.Dir, "dir", "", "where the servers keep their data meanwhile (default a new directory for temporary files); the disk is part of what is measured")
	cmd.Flags().Float64Var(&o.Scale, "scale", 1, "multiply the numbers of nodes and tasks")
	cmd.Flags().IntVar(&o.Rounds, "rounds", 5, "how often each rate is measured; the median counts")
	cmd.Flags().StringVar(&o.Profiles, "profiles", "", "directory for CPU profiles of the servers")
	cmd.Flags().StringSliceVar(&o.EtcdEndpoints, "etcd-endpoints", nil, "an etcd for the servers to use; it should be empty")
	cmd.Flags().StringVar(&jsonFile, "json", "", "file for the report as JSON")
	cmd.Flags().StringVar(&markdownFile, "markdown", "", "file for the report as a Markdown table")
	cmd.Flags().StringVar(&plotFile, "plot", "", "file for the picture of the measurement million: .svg, .png or .pdf")
	cmd.AddCommand(fleetCommand())
	return cmd
}

func measurementList() string {
	var b strings.Builder
	b.WriteString("Measurements, all unless some are named:\n")
	for _, m := range bench.Names() {
		fmt.Fprintf(&b, "  %-15s %s\n", m[0], m[1])
	}
	return b.String()
}

// deliver writes a report wherever it is asked for.
func deliver(w io.Writer, r *bench.Report, jsonFile, markdownFile, plotFile string) error {
	errs := []error{r.Table(w)}
	if jsonFile != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		errs = append(errs, err, os.WriteFile(jsonFile, append(b, '\n'), 0o644))
	}
	if markdownFile != "" {
		f, err := os.Create(markdownFile)
		if err == nil {
			err = errors.Join(r.Markdown(f), f.Close())
		}
		errs = append(errs, err)
	}
	if plotFile != "" {
		errs = append(errs, r.Plot(plotFile))
	}
	return errors.Join(errs...)
}

func fleetCommand() *cobra.Command {
	var c fleet.Config
	var dataDir string
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Join thousands of simulated nodes to a control plane, until Ctrl-C",
		Long: `Join thousands of simulated nodes to a control plane, until Ctrl-C. They run nothing: each says of a task that it is RUNNING, and later
that it has STOPPED, a delay after it was told.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd)
			if err != nil {
				return err
			}
			profile, err := config.LoadDefaultConfig(cmd.Context(), config.WithSharedConfigProfile(devcluster.ProfileName),
				config.WithSharedConfigFiles([]string{filepath.Join(dataDir, "aws", "config")}),
				config.WithSharedCredentialsFiles([]string{filepath.Join(dataDir, "aws", "credentials")}))
			if err != nil {
				return fmt.Errorf("read the server's profile: %w (say its --data-dir)", err)
			}
			if c.ServerURL == "" && profile.BaseEndpoint != nil {
				c.ServerURL = *profile.BaseEndpoint
			}
			c.Credentials, c.Region, c.Log = profile.Credentials, profile.Region, log
			f, err := fleet.New(c)
			if err != nil {
				return err
			}
			done := make(chan struct{})
			defer func() { <-done }()
			ended := make(chan struct{})
			defer close(ended)
			go func() {
				defer close(done)
				watchFleet(cmd.ErrOrStderr(), f, c.Nodes, ended)
			}()
			return f.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", devcluster.DefaultDataDir, "data directory of the server, for its address and its key")
	cmd.Flags().StringVar(&c.ServerURL, "server", "", "the control plane's endpoint (default: the one in the data directory's profile)")
	cmd.Flags().StringVar(&c.Cluster, "cluster", "default", "ECS cluster to join; it must be there")
	cmd.Flags().IntVar(&c.Nodes, "nodes", 1000, "how many nodes")
	cmd.Flags().IntVar(&c.Zones, "zones", 3, "over how many availability zones they are spread")
	cmd.Flags().Int32Var(&c.CPU, "cpu", 4096, "CPU units of a node, 1024 to a core")
	cmd.Flags().Int32Var(&c.MemoryMiB, "memory", 16384, "memory of a node, in MiB")
	cmd.Flags().DurationVar(&c.StartDelay, "start-delay", 100*time.Millisecond, "time from when a node hears of a task until it runs")
	cmd.Flags().DurationVar(&c.StopDelay, "stop-delay", 100*time.Millisecond, "time from when it hears that it is to stop until it has")
	return cmd
}

// watchFleet writes how the fleet stands each second.
func watchFleet(w io.Writer, f *fleet.Fleet, nodes int, ended <-chan struct{}) {
	terminal := isTerminal(os.Stderr)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := fleet.Stats{}
	for {
		select {
		case <-ended:
			fmt.Fprintln(w)
			return
		case <-tick.C:
		}
		s := f.Stats()
		if s == last {
			continue
		}
		line := fmt.Sprintf("%d of %d nodes registered, %d connected; tasks: %d assigned (%d/s), %d running, %d stopped", s.Registered, nodes, s.Connected, s.Assigned, s.Assigned-last.Assigned, s.Running, s.Stopped)
		last = s
		if terminal {
			fmt.Fprintf(w, "\r\x1b[K%s", line)
		} else {
			fmt.Fprintln(w, line)
		}
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
