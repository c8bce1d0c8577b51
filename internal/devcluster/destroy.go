package devcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/netns"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/oci"
)

// ociConfig is the container runtime of a data directory.
func ociConfig(dir DataDir, log *slog.Logger) oci.Config {
	return oci.Config{Dir: dir.path("node/containers"), CgroupRoot: "/roadstead-" + dir.Name(), Log: log}
}

// netnsConfig is the network of a data directory.
func netnsConfig(dir DataDir, log *slog.Logger) netns.Config {
	return netns.Config{DataDir: dir.path("node/network"), Name: dir.Name(), Log: log}
}

// Destroy ends all containers of an installation that is not up, the process that holds them, and its network. What is
// stored stays: the next start finds the tasks ended.
func Destroy(ctx context.Context, path string, log *slog.Logger) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	dir, lock, err := openDataDir(path)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Stat(dir.Node()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	containers, err := oci.New(ociConfig(dir, log))
	if err != nil {
		return err
	}
	err = endContainers(ctx, containers)
	if err := errors.Join(err, containers.Close()); err != nil {
		return err
	}
	network, err := netns.New(netnsConfig(dir, log))
	if err != nil {
		return err
	}
	return errors.Join(network.Destroy(ctx), os.RemoveAll(dir.Run()))
}

func endContainers(ctx context.Context, containers *oci.Runtime) error {
	list, err := containers.List(ctx)
	if err != nil {
		return fmt.Errorf("list the containers: %w", err)
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, c := range list {
		g.Go(func() error { return endContainer(ctx, containers, c) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return containers.Shutdown(ctx, false)
}

func endContainer(ctx context.Context, containers *oci.Runtime, c *runtime.Status) error {
	if c.State == runtime.Running {
		if err := containers.Kill(ctx, c.ID, int(unix.SIGKILL), true); err != nil {
			return err
		}
		if _, err := containers.Wait(ctx, c.ID); err != nil {
			return err
		}
	}
	return containers.Delete(ctx, c.ID, false)
}
