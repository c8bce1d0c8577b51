package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/awsprofile"
	"roadstead.dev/roadstead/internal/devcluster"
)

func configureCommand() *cobra.Command {
	var dataDir, profile, awsDir string
	cmd := &cobra.Command{
		Use:   "configure",
		Short: "Write an AWS profile for this installation into your AWS config",
		Long: `Write an AWS profile (access key, region, endpoint) into ~/.aws/config and ~/.aws/credentials, in place of
one of the same name. Nothing else in those files changes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := devcluster.ReadProfile(dataDir)
			if err != nil {
				return err
			}
			if awsDir == "" {
				home, err := os.UserHomeDir()
				if err != nil {
					return err
				}
				awsDir = filepath.Join(home, ".aws")
			}
			p.Name = profile
			if err := awsprofile.Write(awsDir, p); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Wrote profile %s to %s. Use it with: export AWS_PROFILE=%s\n", profile, awsDir, profile)
			return nil
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", devcluster.DefaultDataDir, "data directory of the installation")
	cmd.Flags().StringVar(&profile, "profile", devcluster.ProfileName, "name of the profile to write")
	cmd.Flags().StringVar(&awsDir, "aws-dir", "", "directory of the AWS files (default ~/.aws)")
	return cmd
}
