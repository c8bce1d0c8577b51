package main

import (
	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/agent/monitor"
)

// monitorCommand is how an agent starts the process that its containers hang on; it is of no use to people.
func monitorCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:    "monitor",
		Short:  "Hold a node's containers (started by the agent)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd)
			if err != nil {
				return err
			}
			return monitor.Run(cmd.Context(), monitor.Config{Dir: dir, Log: log})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the monitor's directory")
	_ = cmd.MarkFlagRequired("dir") // fails only for a flag that is not there
	return cmd
}
