package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/devcluster"
	"roadstead.dev/roadstead/internal/ecs"
)

// devFlags are those of `dev`.
type devFlags struct {
	listen, account, region     string
	nodes, zones                int
	cpu, memory                 int32
	anyKey, quiet, announceJSON bool
	settings                    settingsFlags
}

func (f *devFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8620", "address of the AWS endpoint, HOST:PORT; port 0 picks a free one")
	cmd.Flags().StringVar(&f.account, "account", "000000000000", "AWS account id to play, 12 digits")
	cmd.Flags().StringVar(&f.region, "region", "us-east-1", "AWS region to play")
	cmd.Flags().IntVar(&f.nodes, "nodes", 3, "simulated container instances in the cluster default")
	cmd.Flags().IntVar(&f.zones, "zones", 3, "availability zones that they are spread over")
	cmd.Flags().Int32Var(&f.cpu, "cpu", 4096, "CPU units of each, 1024 to a core")
	cmd.Flags().Int32Var(&f.memory, "memory", 16384, "memory of each in MiB")
	cmd.Flags().BoolVar(&f.anyKey, "any-key", false, "let in whoever comes with an access key; signatures of unknown keys are not checked")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "say nothing but problems")
	cmd.Flags().BoolVar(&f.announceJSON, "json", false, "say where it listens, and the access key, as one line of JSON")
	f.settings.add(cmd)
}

func devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a control plane in memory with simulated nodes, for tests and CI",
		Long: `Run a control plane in memory with simulated nodes, for tests and CI. It is the real control plane and the real agent; only
containers are made up: they do what their commands and docker labels ask, as docs/dev.md says. Nothing is written to disk,
it needs no root, and POST /_roadstead/reset makes everything new.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd)
			if err != nil {
				return err
			}
			if err := tuneMemory(cmd.Context()); err != nil {
				return err
			}
			if !isAccount(f.account) {
				return fmt.Errorf("--account %q: an AWS account id has 12 digits", f.account)
			}
			settings, err := f.settings.settings()
			if err != nil {
				return err
			}
			var told error
			err = devcluster.Dev(cmd.Context(), devcluster.DevConfig{
				Listen: f.listen, Place: ecs.Place{Account: f.account, Region: f.region}, Nodes: f.nodes, Zones: f.zones, CPU: f.cpu, MemoryMiB: f.memory,
				AnyKey: f.anyKey, Settings: settings, Log: log, Ready: func(info devcluster.DevInfo) { told = f.announce(cmd.OutOrStdout(), info) },
			})
			if err == nil {
				err = told
			}
			return err
		},
	}
	f.add(cmd)
	return cmd
}

// announce says how to use a running simulation.
func (f *devFlags) announce(w io.Writer, info devcluster.DevInfo) error {
	switch {
	case f.announceJSON:
		return json.NewEncoder(w).Encode(map[string]any{
			"endpoint": info.Endpoint, "region": info.Place.Region, "account": info.Place.Account,
			"accessKeyId": info.Root.AccessKeyID, "secretAccessKey": info.Root.SecretAccessKey,
		})
	case f.quiet:
		return nil
	}
	_, err := fmt.Fprintf(w, `
Roadstead is ready: %[5]d simulated nodes, everything in memory.
Endpoint: %[1]s

In another shell:

  export AWS_ENDPOINT_URL=%[1]s AWS_REGION=%[2]s AWS_DEFAULT_REGION=%[2]s
  export AWS_ACCESS_KEY_ID=%[3]s AWS_SECRET_ACCESS_KEY=%[4]s
  # an AWS CLI older than 2.13 or 1.29 does not know AWS_ENDPOINT_URL:
  alias aws='aws --endpoint-url %[1]s'

  aws ecs list-container-instances
  curl -X POST %[1]s/_roadstead/reset   # makes everything new

Ctrl-C ends it, and nothing is left.

`, info.Endpoint, info.Place.Region, info.Root.AccessKeyID, info.Root.SecretAccessKey, f.nodes)
	return err
}
