package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// bareCrun is `crun run --detach` on a directory that is there already, four at a time: what nobody who uses crun can beat.
type bareCrun struct {
	dir    string
	rootfs string
	// holder keeps a mount namespace without the unused unified cgroup mount that crun 1.8 refuses on hybrid hosts.
	holder *exec.Cmd
	serial int
}

func startCrun() (*bareCrun, error) {
	dir, err := os.MkdirTemp("", "bench-crun")
	if err != nil {
		return nil, err
	}
	c := &bareCrun{dir: dir, rootfs: filepath.Join(dir, "rootfs")}
	if err := os.MkdirAll(filepath.Join(c.rootfs, "bin"), 0o755); err != nil {
		return c, err
	}
	if _, err := command(context.Background(), "/bin/cp", "/bin/busybox", filepath.Join(c.rootfs, "bin", "nc")); err != nil {
		return c, err
	}
	c.holder = exec.Command("/usr/bin/unshare", "-m", "/bin/sh", "-c", "umount -l /sys/fs/cgroup/unified 2>/dev/null; echo ready; exec sleep infinity")
	out, err := c.holder.StdoutPipe()
	if err != nil {
		return c, err
	}
	if err := c.holder.Start(); err != nil {
		return c, err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	return c, err
}

func (*bareCrun) name() string { return "crun" }

func (c *bareCrun) crun(ctx context.Context, args ...string) error {
	ns := []string{"-t", strconv.Itoa(c.holder.Process.Pid), "-m", "/usr/bin/crun", "--root", filepath.Join(c.dir, "state")}
	cmd := exec.CommandContext(ctx, "/usr/bin/nsenter", append(ns, args...)...)
	// The container inherits what crun has; a pipe would keep this call waiting for the container's end.
	log, err := os.Create(filepath.Join(c.dir, "log-"+args[len(args)-1]))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("crun %v: %w: %s", args, err, said)
	}
	return nil
}

func (c *bareCrun) launch(ctx context.Context, n int, addr string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i := range n {
		id := fmt.Sprintf("bench-%d-%d", os.Getpid(), c.serial+i)
		g.Go(func() error {
			bundle := filepath.Join(c.dir, id)
			if err := c.spec(bundle, addr); err != nil {
				return err
			}
			return c.crun(ctx, "run", "--detach", "--bundle", bundle, id)
		})
	}
	err := g.Wait()
	c.serial += n
	return err
}

// spec writes a bundle with the namespaces and cgroup that a container of the others has too.
func (c *bareCrun) spec(bundle, addr string) error {
	type m = map[string]any
	mount := func(dst, kind string, options ...string) m {
		return m{"destination": dst, "type": kind, "source": kind, "options": options}
	}
	b, err := json.Marshal(m{
		"ociVersion": "1.0.2",
		"process":    m{"cwd": "/", "args": append([]string{"/bin/nc"}, connect(addr)[1:]...), "user": m{"uid": 0, "gid": 0}, "env": []string{"PATH=/bin"}},
		"root":       m{"path": c.rootfs, "readonly": true},
		"mounts":     []m{mount("/proc", "proc"), mount("/dev", "tmpfs", "nosuid", "mode=755"), mount("/sys", "sysfs", "ro"), mount("/dev/shm", "tmpfs")},
		"linux": m{
			"cgroupsPath": "/bench-crun/" + filepath.Base(bundle),
			"resources":   m{"memory": m{"limit": 32 << 20}, "cpu": m{"shares": 64}},
			"namespaces":  []m{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}},
		},
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, "config.json"), b, 0o600)
}

func (c *bareCrun) clear(ctx context.Context) error {
	ids, err := os.ReadDir(filepath.Join(c.dir, "state"))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.crun(ctx, "delete", "--force", id.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (c *bareCrun) close() {
	if c.holder != nil && c.holder.Process != nil {
		c.holder.Process.Kill()
		c.holder.Wait()
	}
	os.RemoveAll(c.dir)
}
