package e2e

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// discovery is what a client of a service without a load balancer does: it asks where the service's tasks are, again and again.
type discovery struct {
	mu  sync.Mutex
	at  time.Time
	all []string
}

// stale is how old a client lets its addresses become. Tasks serve for longer than that once they are told to stop.
const stale = time.Second

// pick gives one of the addresses, those of a moment ago or newer.
func (d *discovery) pick(in *installation) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for now := time.Now(); len(d.all) == 0 || time.Since(d.at) > stale; {
		d.all, d.at = healthy(in, "site"), now
		now = time.Now()
	}
	return d.all[rand.N(len(d.all))]
}

// healthy is where the tasks of a service serve whose health checks have passed: one that has only started may not listen yet.
func healthy(in *installation, service string) []string {
	var all []string
	for _, task := range in.running(service) {
		if task.HealthStatus == types.HealthStatusHealthy {
			all = append(all, pageOf(task))
		}
	}
	return all
}

// TestRollsUnderLoad: clients that never pause are all answered while every task is replaced, since tasks serve on for a while after
// SIGTERM, and new ones are healthy before the old are told to stop.
func TestRollsUnderLoad(t *testing.T) {
	in := up(t)
	page := func(revision string) {
		in.register("page", types.NetworkModeBridge, types.ContainerDefinition{
			Name: aws.String("web"), Image: aws.String("roadstead/hello:latest"), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}}, StopTimeout: aws.Int32(30),
			HealthCheck: &types.HealthCheck{Command: []string{"CMD", "/hello", "health"}, Interval: aws.Int32(5)},
			Environment: []types.KeyValuePair{{Name: aws.String("HELLO_STOP_DELAY"), Value: aws.String("4s")}, {Name: aws.String("REVISION"), Value: aws.String(revision)}},
		})
	}
	page("old")
	in.cli("ecs", "create-service", "--service-name", "site", "--task-definition", "page", "--desired-count", "3")
	in.stable("site")
	within(t, time.Minute, "tasks that are healthy", func() bool { return len(healthy(in, "site")) == 3 })
	before := healthy(in, "site")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var d discovery
	var answered, refused atomic.Int64
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	ask := func() error {
		res, err := client.Get(d.pick(in))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.StatusCode == http.StatusOK {
			answered.Add(1)
		} else {
			refused.Add(1)
		}
		return nil
	}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := ask(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	page("new")
	in.cli("ecs", "update-service", "--service", "site", "--task-definition", "page")
	in.stable("site")
	// The old tasks end while clients go on.
	within(t, time.Minute, "the end of the old tasks", func() bool {
		return !slices.ContainsFunc(before, func(url string) bool { _, err := fetchPage(url); return err == nil })
	})
	cancel()
	clients.Wait()
	if refused.Load() > 0 || answered.Load() == 0 {
		t.Errorf("%d requests were answered, %d not with 200", answered.Load(), refused.Load())
	}
	t.Logf("%d requests were answered", answered.Load())
	for _, url := range in.addresses("site") {
		if _, err := fetchPage(url); err != nil {
			t.Error(err)
		}
	}
}
