package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const image = "roadstead/busybox:latest"

// connect is the command that each container runs: connect, and stay until the other end closes.
func connect(addr string) []string {
	host, port, _ := net.SplitHostPort(addr)
	return []string{"nc", host, port}
}

// command runs a program and gives what it said on standard output.
func command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// dockerd is a daemon of the benchmark's own.
type dockerd struct {
	dir  string
	cmd  *exec.Cmd
	once sync.Once
}

func startDockerd(ctx context.Context, archive string) (*dockerd, error) {
	if _, err := exec.LookPath("/usr/sbin/dockerd"); err != nil {
		fmt.Fprintln(os.Stderr, "bench: installing docker.io to compare with")
		script := `set -e; p=/usr/sbin/policy-rc.d; if [ ! -e $p ]; then printf '#!/bin/sh\nexit 101\n' >$p; chmod +x $p; trap "rm -f $p" EXIT; fi; apt-get install -y -qq --no-install-recommends docker.io >/dev/null`
		if _, err := command(ctx, "/bin/sh", "-c", script); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "bench-docker")
	if err != nil {
		return nil, err
	}
	d := &dockerd{dir: dir}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// No bridge and no iptables: host networking is measured, and the machine's network stays as it is.
	d.cmd = exec.Command("/usr/sbin/dockerd", "-H", d.socket(), "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, err = d.docker(ctx, "info"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(filepath.Join(dir, "log"))
			d.stop()
			return nil, fmt.Errorf("dockerd is not ready after 30 s: %w\n%s", err, said)
		}
	}
	if _, err := d.docker(ctx, "load", "-i", archive); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *dockerd) socket() string { return "unix://" + filepath.Join(d.dir, "sock") }

func (d *dockerd) docker(ctx context.Context, args ...string) (string, error) {
	return command(ctx, "/usr/bin/docker", append([]string{"-H", d.socket()}, args...)...)
}

// stop ends the daemon, once.
func (d *dockerd) stop() {
	d.once.Do(func() {
		d.cmd.Process.Signal(os.Interrupt)
		d.cmd.Wait()
		os.RemoveAll(d.dir)
	})
}

// dockerSubject is a way to use the daemon: "docker" or "swarm".
func dockerSubject(ctx context.Context, d *dockerd, name string) (subject, error) {
	if name == "docker" {
		return dockerRun{d}, nil
	}
	_, err := d.docker(ctx, "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:0")
	return swarm{d}, err
}

// dockerRun is `docker run -d`, four at a time.
type dockerRun struct{ d *dockerd }

func (dockerRun) name() string { return "docker run" }
func (s dockerRun) close()     { s.d.stop() }

func (s dockerRun) launch(ctx context.Context, n int, addr string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for range n {
		g.Go(func() error {
			_, err := s.d.docker(ctx, append([]string{"run", "-d", "--network", "host", image}, connect(addr)...)...)
			return err
		})
	}
	return g.Wait()
}

func (s dockerRun) clear(ctx context.Context) error {
	ids, err := s.d.docker(ctx, "ps", "-aq")
	if err != nil || ids == "" {
		return err
	}
	_, err = s.d.docker(ctx, append([]string{"rm", "-f"}, strings.Fields(ids)...)...)
	return err
}

// swarm is a service of n replicas.
type swarm struct{ d *dockerd }

func (swarm) name() string { return "swarm" }
func (s swarm) close()     { s.d.stop() }

func (s swarm) launch(ctx context.Context, n int, addr string) error {
	args := []string{"service", "create", "--detach", "--name", "bench", "--replicas", fmt.Sprint(n), "--restart-condition", "none", "--network", "host", "--no-resolve-image", image}
	_, err := s.d.docker(ctx, append(args, connect(addr)...)...)
	return err
}

func (s swarm) clear(ctx context.Context) error {
	if _, err := s.d.docker(ctx, "service", "rm", "bench"); err != nil {
		return err
	}
	for {
		ids, err := s.d.docker(ctx, "ps", "-aq")
		if err != nil || ids == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
