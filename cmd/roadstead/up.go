package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/devcluster"
	"roadstead.dev/roadstead/internal/ecs"
)

// planeFlags are what `up` and `server` both take.
type planeFlags struct {
	dataDir, listen, account, region string
	secretsKey, admin, advertise     string
	etcd                             []string
	settings                         settingsFlags
	tls                              devcluster.TLSConfig
}

func (f *planeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dataDir, "data-dir", devcluster.DefaultDataDir, "where everything is kept; one process at a time uses it")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8620", "address of the AWS endpoint, HOST:PORT; port 0 picks a free one")
	cmd.Flags().StringVar(&f.account, "account", "000000000000", "AWS account id to play, 12 digits")
	cmd.Flags().StringVar(&f.region, "region", "us-east-1", "AWS region to play")
	cmd.Flags().StringSliceVar(&f.etcd, "etcd-endpoints", nil, "client addresses of an etcd to keep the state in, in place of the built-in one")
	cmd.Flags().StringVar(&f.secretsKey, "secrets-key", "", "file with the key that secrets are encrypted with; made if it is not there (default secrets.key in the data directory)")
	cmd.Flags().StringVar(&f.advertise, "advertise", "", "URL at which the other servers of the same etcd reach this one (default: found out)")
	cmd.Flags().StringVar(&f.admin, "admin", "", "loopback address, IP:PORT, for net/http/pprof's pages; none if empty")
	f.settings.add(cmd)
	cmd.Flags().BoolVar(&f.tls.Never, "insecure-listen", false, "serve plain HTTP on an address beyond loopback too; such listeners are TLS otherwise")
	cmd.Flags().BoolVar(&f.tls.Always, "tls", false, "serve TLS on loopback too")
	cmd.Flags().StringSliceVar(&f.tls.Names, "tls-name", nil, "names and addresses, beside the machine's own, that the built-in certificate is for")
	cmd.Flags().StringVar(&f.tls.Cert, "tls-cert", "", "file of a certificate of yours, with its chain, in place of the built-in one (PEM)")
	cmd.Flags().StringVar(&f.tls.Key, "tls-key", "", "file of its key (PEM)")
}

func (f *planeFlags) config(cmd *cobra.Command) (devcluster.Config, error) {
	log, err := logger(cmd)
	if err != nil {
		return devcluster.Config{}, err
	}
	if err := tuneMemory(cmd.Context()); err != nil {
		return devcluster.Config{}, err
	}
	if !isAccount(f.account) {
		return devcluster.Config{}, fmt.Errorf("--account %q: an AWS account id has 12 digits", f.account)
	}
	settings, err := f.settings.settings()
	if err != nil {
		return devcluster.Config{}, err
	}
	return devcluster.Config{
		Settings: settings, TLS: f.tls,
		DataDir: f.dataDir, Listen: f.listen, EtcdEndpoints: f.etcd, SecretsKey: f.secretsKey, Advertise: f.advertise, Admin: f.admin, Log: log,
		Place: ecs.Place{Account: f.account, Region: f.region},
	}, nil
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

func upCommand() *cobra.Command {
	var plane planeFlags
	var node nodeFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine: control plane and node",
		Long: `Run everything on this machine: control plane and node. Ctrl-C ends it; containers run on, and the next start finds
them again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := plane.config(cmd)
			if err != nil {
				return err
			}
			cfg.Node = node.config()
			cfg.Ready = func(info devcluster.Info) { greet(cmd.OutOrStdout(), info) }
			return devcluster.Run(cmd.Context(), cfg)
		},
	}
	plane.add(cmd)
	node.add(cmd)
	return cmd
}

func serverCommand() *cobra.Command {
	var plane planeFlags
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a control plane that agents join",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := plane.config(cmd)
			if err != nil {
				return err
			}
			cfg.Ready = func(info devcluster.Info) {
				if info.Admin != "" {
					fmt.Fprintln(cmd.OutOrStdout(), "Admin:", info.Admin)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Endpoint: %s\nCredentials: %s (profile %s)\n", info.Endpoint, info.DataDir.AWS(), devcluster.ProfileName)
				if info.CABundle != "" {
					fmt.Fprintln(cmd.OutOrStdout(), "CA:", info.CABundle)
				}
			}
			return devcluster.Run(cmd.Context(), cfg)
		},
	}
	plane.add(cmd)
	return cmd
}

// greet says how to use a running installation.
func greet(w io.Writer, info devcluster.Info) {
	fmt.Fprintf(w, `
Roadstead is ready.
Endpoint: %[1]s

In another shell:

  export AWS_SHARED_CREDENTIALS_FILE=%[2]s/credentials AWS_CONFIG_FILE=%[2]s/config AWS_PROFILE=%[3]s
  export AWS_ENDPOINT_URL=%[1]s%[4]s
  # an AWS CLI older than 2.13 or 1.29 does not know AWS_ENDPOINT_URL:
  alias aws='aws --endpoint-url %[1]s'

A first task (from the project's directory):

  aws ecs register-task-definition --cli-input-json file://examples/hello.json
  aws ecs run-task --task-definition hello
  aws logs tail /examples/hello --follow

Ctrl-C ends Roadstead; containers run on and are found again at the next start.

`, info.Endpoint, info.DataDir.AWS(), devcluster.ProfileName, bundle(info))
}

// bundle is the line for clients that have no ca_bundle from the profile: those that do without one, and shells that have another.
func bundle(info devcluster.Info) string {
	if info.CABundle == "" {
		return ""
	}
	return "\n  export AWS_CA_BUNDLE=" + info.CABundle
}
