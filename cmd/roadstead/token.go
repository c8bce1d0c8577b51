package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/devcluster"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make, list and revoke the tokens that agents join with"}
	cmd.AddCommand(tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
	return cmd
}

func dataDirFlag(cmd *cobra.Command, to *string) *cobra.Command {
	cmd.Flags().StringVar(to, "data-dir", devcluster.DefaultDataDir, "data directory of the running control plane")
	return cmd
}

func tokenCreateCommand() *cobra.Command {
	var dataDir string
	var ttl time.Duration
	var uses int
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a join token and print it; it is shown this once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := devcluster.NewOffice(dataDir).CreateToken(cmd.Context(), ttl, uses)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.Token)
			return nil
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long it is good for")
	cmd.Flags().IntVar(&uses, "uses", 1, "how many agents may join with it")
	return dataDirFlag(cmd, &dataDir)
}

func tokenListCommand() *cobra.Command {
	var dataDir string
	return dataDirFlag(&cobra.Command{
		Use:   "list",
		Short: "List join tokens, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := devcluster.NewOffice(dataDir).Tokens(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tSTATUS\tEXPIRES\tUSED\tKEYS")
			for _, t := range list {
				status := "good"
				switch {
				case t.Revoked:
					status = "revoked"
				case !time.Now().Before(t.ExpiresAt):
					status = "expired"
				case len(t.Keys) >= t.MaxUses:
					status = "used"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d of %d\t%s\n", t.ID, status, t.ExpiresAt.Local().Format(time.RFC3339), len(t.Keys), t.MaxUses, strings.Join(t.Keys, " "))
			}
			return w.Flush()
		},
	}, &dataDir)
}

func tokenRevokeCommand() *cobra.Command {
	var dataDir string
	return dataDirFlag(&cobra.Command{
		Use:   "revoke ID",
		Short: "End a join token; agents that have joined with it stay",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return devcluster.NewOffice(dataDir).RevokeToken(cmd.Context(), args[0])
		},
	}, &dataDir)
}

func agentKeyListCommand() *cobra.Command {
	var dataDir string
	return dataDirFlag(&cobra.Command{
		Use:   "list",
		Short: "List the keys of agents that joined with a token, and those that were withdrawn",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := devcluster.NewOffice(dataDir).Keys(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "KEY\tSTATUS\tTOKEN\tINSTANCES")
			for _, k := range list {
				status := "good"
				if k.Revoked {
					status = "revoked"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, status, k.Token, strings.Join(k.Instances, " "))
			}
			return w.Flush()
		},
	}, &dataDir)
}

func agentKeyRevokeCommand() *cobra.Command {
	var dataDir string
	return dataDirFlag(&cobra.Command{
		Use:   "revoke KEY",
		Short: "Withdraw an agent's access key: its session ends at once, and it cannot come back without a new token",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return devcluster.NewOffice(dataDir).RevokeKey(cmd.Context(), args[0])
		},
	}, &dataDir)
}
