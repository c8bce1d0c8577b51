package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/devcluster"
	"roadstead.dev/roadstead/internal/keyring"
)

// nodeFlags are what `up` and `agent` both take.
type nodeFlags struct {
	cluster, containerd string
	imports             []string
	insecure            []string
	reserve             int32
	attributes          map[string]string
	capacityProvider    string
}

func (f *nodeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cluster, "cluster", "default", "ECS cluster to join; made if it is not there")
	cmd.Flags().StringVar(&f.containerd, "containerd", "", "address of a containerd to keep images in, in place of the built-in one")
	cmd.Flags().StringArrayVar(&f.imports, "import", nil, "docker or OCI archive to import at the start, if it is not there (may be given again)")
	cmd.Flags().StringSliceVar(&f.insecure, "insecure-registry", nil, "registries, HOST[:PORT], that speak plain HTTP; loopback ones may always")
	cmd.Flags().Int32Var(&f.reserve, "reserve-memory", 128, "memory that tasks don't get, in MiB")
	cmd.Flags().StringToStringVar(&f.attributes, "attribute", nil, "custom attributes, NAME=VALUE, that the machine registers with")
	cmd.Flags().StringVar(&f.capacityProvider, "capacity-provider", "", "capacity provider, one of the cluster's, that the machine belongs to")
}

func (f *nodeFlags) config() *devcluster.NodeConfig {
	return &devcluster.NodeConfig{Cluster: f.cluster, Containerd: f.containerd, Imports: f.imports, InsecureRegistries: f.insecure, ReservedMiB: f.reserve,
		Attributes: f.attributes, CapacityProvider: f.capacityProvider}
}

func agentCommand() *cobra.Command {
	var node nodeFlags
	var dataDir, server, region, token, ca string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run a node that joins a control plane",
		Long: `Run a node that joins a control plane: once with a token, which "roadstead token create" on the server has made, and from
then on with what it was given for that.

Without a token it signs with an access key of "roadstead agent-key", in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd)
			if err != nil {
				return err
			}
			cfg := devcluster.AgentConfig{
				DataDir: dataDir, Server: server, Region: region, Node: *node.config(), Log: log,
				Key:   keyring.Pair{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")},
				Ready: func(server string) { fmt.Fprintln(cmd.OutOrStdout(), "Joined", server) },
			}
			if cfg.Token, err = joinToken(cmd.InOrStdin(), token); err != nil {
				return err
			}
			if ca != "" {
				if cfg.CA, err = os.ReadFile(ca); err != nil {
					return err
				}
			}
			return devcluster.RunAgent(cmd.Context(), cfg)
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", devcluster.DefaultDataDir, "where the node keeps everything; one process at a time uses it")
	cmd.Flags().StringVar(&server, "server", "", "the control plane's endpoint, https://HOST:PORT (default: where it joined, or http://127.0.0.1:8620)")
	cmd.Flags().StringVar(&token, "join", "", "join token, needed once; other users of the machine may see it in the list of processes, but not that of @FILE, - (standard input) or $"+joinVariable)
	cmd.Flags().StringVar(&ca, "ca", "", "file of the CA of the server's certificate (PEM), if neither a token nor the machine knows it")
	cmd.Flags().StringVar(&region, "region", "us-east-1", "the AWS region that the control plane plays, if it has not joined with a token")
	node.add(cmd)
	return cmd
}

// joinVariable may have the join token in place of --join.
const joinVariable = "ROADSTEAD_JOIN_TOKEN"

// joinToken gives the join token that --join says: itself, @FILE or - for standard input. No longer than any token is read.
func joinToken(in io.Reader, said string) (string, error) {
	const longest = 4096
	from := in
	if path, ok := strings.CutPrefix(said, "@"); ok {
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("the join token: %w", err)
		}
		defer f.Close()
		from = f
	} else if said == "" {
		token := os.Getenv(joinVariable)
		return token, os.Unsetenv(joinVariable) // not for the processes that the agent starts
	} else if said != "-" {
		return said, nil
	}
	b, err := io.ReadAll(io.LimitReader(from, longest))
	if err != nil {
		return "", fmt.Errorf("the join token: %w", err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return "", errors.New("the join token: there is none in what --join names")
	}
	return string(b), nil
}

func agentKeyCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:   "agent-key",
		Short: "Make an access key for an agent, as lines for a shell",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := devcluster.ReadProfile(dataDir); err != nil { // makes no keys for a directory that is none
				return err
			}
			ring, err := keyring.Open(devcluster.DataDir(dataDir).Keys(), "")
			if err != nil {
				return err
			}
			key := ring.NewAgent()
			fmt.Fprintf(cmd.OutOrStdout(), "export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\n", key.AccessKeyID, key.SecretAccessKey)
			return nil
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", devcluster.DefaultDataDir, "data directory of the control plane")
	cmd.AddCommand(agentKeyListCommand(), agentKeyRevokeCommand())
	return cmd
}

func destroyCommand() *cobra.Command {
	var dataDir string
	var yes bool
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "End all containers of an installation and remove its network; what is stored stays",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return fmt.Errorf("this ends all containers of %s: say --yes to do it", dataDir)
			}
			log, err := logger(cmd)
			if err != nil {
				return err
			}
			return devcluster.Destroy(cmd.Context(), dataDir, log)
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", devcluster.DefaultDataDir, "data directory of the installation")
	cmd.Flags().BoolVar(&yes, "yes", false, "really")
	return cmd
}
