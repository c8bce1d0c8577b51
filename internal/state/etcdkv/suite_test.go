package etcdkv_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
	"roadstead.dev/roadstead/internal/state/kvtest"
)

// embedded starts an etcd in this process for one test.
func embedded(t *testing.T, cfg etcdkv.EmbeddedConfig) *etcdkv.KV {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	kv, err := etcdkv.Embedded(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kv.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return kv
}

func TestEmbeddedSuite(t *testing.T) {
	kvtest.Run(t, kvtest.Backend{
		Open: func(t *testing.T) (first, second state.KV) {
			kv := embedded(t, etcdkv.EmbeddedConfig{})
			return kv, kv
		},
		Depose: func(t *testing.T, kv state.KV) { depose(t, kv.(*etcdkv.KV).Client(), "/roadstead/") },
	})
}

// TestExternalSuite runs against Debian's etcd with its default limits.
func TestExternalSuite(t *testing.T) {
	endpoint := startEtcd(t)
	prefixes := 0
	kvtest.Run(t, kvtest.Backend{
		Open: func(t *testing.T) (first, second state.KV) {
			prefixes++
			cfg := etcdkv.ExternalConfig{Endpoints: []string{endpoint}, Common: etcdkv.Common{Prefix: fmt.Sprintf("/test%d/", prefixes)}}
			return external(t, cfg), external(t, cfg)
		},
		Depose: func(t *testing.T, kv state.KV) {
			depose(t, kv.(*etcdkv.KV).Client(), fmt.Sprintf("/test%d/", prefixes))
		},
	})
}

func external(t *testing.T, cfg etcdkv.ExternalConfig) *etcdkv.KV {
	t.Helper()
	kv, err := etcdkv.External(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kv.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return kv
}

// depose revokes the leader's lease, which is what its expiry does.
func depose(t *testing.T, client *clientv3.Client, prefix string) {
	t.Helper()
	resp, err := client.Get(t.Context(), prefix+"meta/leader")
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("the leader's key: %v, %v", resp, err)
	}
	if _, err := client.Revoke(t.Context(), clientv3.LeaseID(resp.Kvs[0].Lease)); err != nil {
		t.Fatal(err)
	}
}

// startEtcd runs Debian's etcd until the test ends and gives its client address, a unix socket.
func startEtcd(t *testing.T, args ...string) (endpoint string) {
	t.Helper()
	path, err := exec.LookPath("etcd")
	if err != nil {
		t.Fatal("the etcd command is missing; it is in Debian's package etcd-server (etcd in older ones): apt-get install etcd-server")
	}
	// The path of a socket must be short. etcd wants the form host:port even for one, and makes it where it runs.
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{
		"--name", "test", "--data-dir", "data", "--logger", "zap", "--log-level", "warn",
		"--listen-client-urls", "unix://client:1", "--advertise-client-urls", "unix://client:1",
		"--listen-peer-urls", "unix://peer:1", "--initial-advertise-peer-urls", "http://127.0.0.1:1",
		"--initial-cluster", "test=http://127.0.0.1:1",
	}, args...)
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		exited <- <-exited
		if t.Failed() {
			t.Log(lastLines(out.String(), 20))
		}
		os.RemoveAll(dir)
	})
	waitForEtcd(t, filepath.Join(dir, "client:1"), exited)
	return "unix://" + filepath.Join(dir, "client:1")
}

func waitForEtcd(t *testing.T, socket string, exited chan error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return
		}
		select {
		case <-tick.C:
		case err := <-exited:
			exited <- err
			t.Fatalf("etcd has ended: %v", err)
		case <-deadline:
			t.Fatal("etcd does not answer")
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
