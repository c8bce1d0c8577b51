package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/images"
	"roadstead.dev/roadstead/internal/devcluster"
)

func imageCommand() *cobra.Command {
	var dataDir, containerd string
	cmd := &cobra.Command{Use: "image", Short: "Import, list and remove images of this machine's node"}
	cmd.PersistentFlags().StringVar(&dataDir, "data-dir", devcluster.DefaultDataDir, "data directory of the installation")
	cmd.PersistentFlags().StringVar(&containerd, "containerd", "", "address of the containerd that keeps the images, if the node was started with one")
	manage := func(cmd *cobra.Command, do func(context.Context, images.Manager) error) error {
		log, err := logger(cmd)
		if err != nil {
			return err
		}
		m, err := devcluster.Images(cmd.Context(), dataDir, containerd, log)
		if err != nil {
			return err
		}
		defer m.Close()
		return do(cmd.Context(), m)
	}
	cmd.AddCommand(imageImportCommand(manage), imageListCommand(manage), imageRemoveCommand(manage))
	return cmd
}

type manager func(*cobra.Command, func(context.Context, images.Manager) error) error

func imageImportCommand(manage manager) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Import docker or OCI archives (- is standard input)",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return manage(cmd, func(ctx context.Context, m images.Manager) error {
				for _, file := range files {
					list, err := importFile(ctx, m, cmd.InOrStdin(), file, name)
					if err != nil {
						return fmt.Errorf("import %s: %w", file, err)
					}
					for _, image := range list {
						fmt.Fprintln(cmd.OutOrStdout(), "imported", image.Name, image.Digest)
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name for an image whose archive has none")
	return cmd
}

func importFile(ctx context.Context, m images.Manager, stdin io.Reader, file, name string) ([]*runtime.Image, error) {
	if file == "-" {
		return m.ImportAs(ctx, stdin, name)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return m.ImportAs(ctx, f, name)
}

func imageListCommand(manage manager) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the images that are here",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return manage(cmd, func(ctx context.Context, m images.Manager) error {
				list, err := m.List(ctx)
				if err != nil {
					return err
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "NAME\tDIGEST\tPLATFORM\tSIZE")
				for _, image := range list {
					fmt.Fprintf(w, "%s\t%s\t%s/%s\t%.1f MiB\n", image.Name, image.Digest, image.Config.OS, image.Config.Architecture, float64(image.Size)/(1<<20))
				}
				return w.Flush()
			})
		},
	}
}

func imageRemoveCommand(manage manager) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME...",
		Short: "Remove images that no container uses",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return manage(cmd, func(ctx context.Context, m images.Manager) error {
				for _, name := range names {
					if err := m.Remove(ctx, name); err != nil {
						return fmt.Errorf("remove %s: %w", name, err)
					}
				}
				return nil
			})
		},
	}
}
