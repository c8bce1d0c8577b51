package etcdkv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
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
			// Less than the defaults, for the race detector makes large transactions slow.
			kv := embedded(t, etcdkv.EmbeddedConfig{MaxTxnOps: 8192, MaxRequestBytes: 16 << 20})
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
	return newEtcd(t, args...).endpoint
}

// etcd is Debian's etcd in a process of its own.
type etcd struct {
	t        *testing.T
	dir      string
	args     []string
	endpoint string
	out      bytes.Buffer
	cmd      *exec.Cmd
	exited   chan error
}

func newEtcd(t *testing.T, args ...string) *etcd {
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
	e := &etcd{t: t, dir: dir, endpoint: "unix://" + filepath.Join(dir, "client:1")}
	e.args = append([]string{path,
		"--name", "test", "--data-dir", "data", "--logger", "zap", "--log-level", "warn",
		"--listen-client-urls", "unix://client:1", "--advertise-client-urls", "unix://client:1",
		"--listen-peer-urls", "unix://peer:1", "--initial-advertise-peer-urls", "http://127.0.0.1:1",
		"--initial-cluster", "test=http://127.0.0.1:1",
	}, args...)
	e.start()
	t.Cleanup(func() {
		e.kill()
		if t.Failed() {
			t.Log(lastLines(e.out.String(), 20))
		}
		os.RemoveAll(dir)
	})
	return e
}

func (e *etcd) start() {
	e.t.Helper()
	e.cmd = exec.Command(e.args[0], e.args[1:]...)
	e.cmd.Dir, e.cmd.Stdout, e.cmd.Stderr = e.dir, &e.out, &e.out
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	cmd, exited := e.cmd, make(chan error, 1)
	e.exited = exited
	go func() { exited <- cmd.Wait() }()
	waitForEtcd(e.t, strings.TrimPrefix(e.endpoint, "unix://"), exited)
}

func (e *etcd) kill() {
	e.cmd.Process.Kill()
	err := <-e.exited
	e.exited <- err
	for _, socket := range []string{"client:1", "peer:1"} { // A killed process leaves them behind.
		if err := os.Remove(filepath.Join(e.dir, socket)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			e.t.Error(err)
		}
	}
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

// TestExternalEtcdIsKilled under a Store that writes: the writes wait for it, and none that was acknowledged is lost.
func TestExternalEtcdIsKilled(t *testing.T) {
	e := newEtcd(t)
	kv := external(t, etcdkv.ExternalConfig{Endpoints: []string{e.endpoint}, Common: etcdkv.Common{LeaseTTL: 10 * time.Second}})
	s, stop := kvtest.Start(t, state.Config{KV: kv, CommitTimeout: time.Second})
	acknowledged := make(chan ecs.TaskID, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for ctx.Err() == nil {
				id := ecs.NewTaskID()
				err := s.Update(ctx, func(tx *state.Tx) error { tx.Tasks.Put(&ecs.Task{ID: id, Cluster: "c"}); return nil })
				if err == nil {
					acknowledged <- id
				} else if ctx.Err() == nil && !fault.Is(err, fault.Unavailable) {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		waitForMore(t, acknowledged, 50)
		e.kill()
		e.start()
	}
	waitForMore(t, acknowledged, 50)
	cancel()
	writers.Wait()
	stop()
	again, _ := kvtest.Start(t, state.Config{KV: external(t, etcdkv.ExternalConfig{Endpoints: []string{e.endpoint}})})
	close(acknowledged)
	for id := range acknowledged {
		if again.View().Tasks.Get(id) == nil {
			t.Fatalf("acknowledged task %v is lost", id)
		}
	}
}

// waitForMore waits until more writes are acknowledged than were so far.
func waitForMore(t *testing.T, acknowledged chan ecs.TaskID, more int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	before, deadline := len(acknowledged), time.After(40*time.Second)
	for len(acknowledged) < before+more {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("only %d writes since", len(acknowledged)-before)
		}
	}
}

// TestSeveralOnOneMachine start at once, each in its directory.
func TestSeveralOnOneMachine(t *testing.T) {
	var stores []*state.Store
	for range 3 {
		s, _ := kvtest.Start(t, state.Config{KV: embedded(t, etcdkv.EmbeddedConfig{})})
		stores = append(stores, s)
	}
	for i, s := range stores {
		err := s.Update(t.Context(), func(tx *state.Tx) error {
			tx.Clusters.Put(&ecs.Cluster{Name: fmt.Sprint(i)})
			return nil
		})
		if err != nil || s.View().Clusters.Len() != 1 {
			t.Errorf("store %d: %v, %d clusters", i, err, s.View().Clusters.Len())
		}
	}
}
