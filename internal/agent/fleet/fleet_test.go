package fleet_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"roadstead.dev/roadstead/internal/agent/fleet"
	"roadstead.dev/roadstead/internal/devcluster"
	"roadstead.dev/roadstead/internal/ecs"
)

// plane starts a control plane in memory without nodes.
func plane(t *testing.T) (url string, caller *fleet.Caller) {
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan devcluster.DevInfo, 1), make(chan error, 1)
	go func() {
		ended <- devcluster.Dev(ctx, devcluster.DevConfig{
			Listen: "127.0.0.1:0", Place: ecs.Place{Account: "000000000000", Region: "us-east-1"}, Zones: 1, CPU: 1024, MemoryMiB: 1024,
			Log: slog.New(slog.DiscardHandler), Ready: func(i devcluster.DevInfo) { ready <- i },
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case info := <-ready:
		keys := credentials.NewStaticCredentialsProvider(info.Root.AccessKeyID, info.Root.SecretAccessKey, "")
		return info.Endpoint, &fleet.Caller{URL: info.Endpoint, Region: "us-east-1", Credentials: keys, HTTP: http.DefaultClient}
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return "", nil
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after a minute: not %s", what)
		}
	}
}

// TestFleet has a service come up on a fleet and go away again.
func TestFleet(t *testing.T) {
	url, caller := plane(t)
	ctx, cancel := context.WithCancel(t.Context())
	var heard atomic.Int64
	f, err := fleet.New(fleet.Config{ServerURL: url, Credentials: caller.Credentials, Region: "us-east-1", Nodes: 20, Zones: 3, StartDelay: time.Millisecond,
		OnAssigned: func(ecs.TaskID, time.Time) { heard.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	call := func(operation string, in map[string]any, out any) {
		t.Helper()
		if err := caller.Call(ctx, operation, in, out); err != nil {
			t.Fatal(err)
		}
	}
	call("CreateCluster", map[string]any{}, nil)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	until(t, "connected", func() bool { return f.Stats().Connected == 20 })
	call("RegisterTaskDefinition", map[string]any{"family": "f", "containerDefinitions": []any{map[string]any{"name": "a", "image": "i", "memory": 10}}}, nil)
	call("CreateService", map[string]any{"serviceName": "s", "taskDefinition": "f", "desiredCount": 200}, nil)
	counts := func() (running, pending int) {
		var out struct {
			Clusters []struct {
				RunningTasksCount, PendingTasksCount int
			}
		}
		call("DescribeClusters", map[string]any{}, &out)
		return out.Clusters[0].RunningTasksCount, out.Clusters[0].PendingTasksCount
	}
	until(t, "running", func() bool { running, _ := counts(); return running == 200 })
	if s := f.Stats(); s.Assigned != 200 || s.Running != 200 || s.Stopped != 0 || heard.Load() != 200 {
		t.Errorf("%+v, %d heard of", s, heard.Load())
	}
	call("DeleteService", map[string]any{"service": "s", "force": true}, nil)
	until(t, "stopped", func() bool { running, pending := counts(); return running+pending == 0 })
	until(t, "acknowledged", func() bool { return f.Stats().Acknowledged == 400 })
	if s := f.Stats(); s.Running != 0 || s.Stopped != 200 {
		t.Errorf("%+v", s)
	}
}

func TestRefused(t *testing.T) {
	url, caller := plane(t)
	f, err := fleet.New(fleet.Config{ServerURL: url, Credentials: caller.Credentials, Region: "us-east-1", Nodes: 3, Cluster: "absent"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); err == nil {
		t.Error("a fleet joined a cluster that is not there")
	}
	if _, err := fleet.New(fleet.Config{ServerURL: url}); err == nil {
		t.Error("a fleet without nodes")
	}
}
