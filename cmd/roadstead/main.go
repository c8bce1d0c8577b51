// Command roadstead runs Amazon ECS workloads on machines of one's own: control plane, node agent and tools in one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "roadstead:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "roadstead",
		Short:         "Amazon ECS on your own machines",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.PersistentFlags().String("log-level", "warn", "debug, info, warn or error")
	cmd.AddCommand(upCommand(), devCommand(), serverCommand(), agentCommand(), agentKeyCommand(), tokenCommand(), destroyCommand(), configureCommand(), imageCommand(), monitorCommand(), benchCommand())
	return cmd
}

// logger writes to standard error at the level that the flags ask for.
func logger(cmd *cobra.Command) (*slog.Logger, error) {
	text, err := cmd.Flags().GetString("log-level")
	if err != nil {
		return nil, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return nil, fmt.Errorf("--log-level %q: say debug, info, warn or error", text)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}
