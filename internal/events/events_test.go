package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

var update = flag.Bool("update", false, "write the golden files anew")

var place = ecs.Place{Account: "111122223333", Region: "us-west-2"}

// start opens a store with an outbox whose clock stands still.
func start(t *testing.T) *state.Store {
	t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	o := events.NewOutbox(place, func() time.Time { return at })
	s, err := state.Open(t.Context(), state.Config{KV: memkv.New(memkv.Unlimited), Outbox: o.Note})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(ctx) }() // Its error is ctx's.
	t.Cleanup(func() { cancel(); <-ended })
	return s
}

func change(t *testing.T, s *state.Store, fn func(tx *state.Tx)) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx *state.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func rule(pattern string) *state.EventRule {
	return &state.EventRule{Bus: "default", Name: "r", State: state.RuleEnabled, Pattern: pattern, Targets: []state.EventTarget{{ID: "t"}}}
}

// told gives what the outbox has, written out.
func told(t *testing.T, s *state.Store) []string {
	t.Helper()
	var out []string
	v := s.View()
	for r := range v.EventOutbox.All() {
		list, err := events.Describe(place, &v.Tables, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			out = append(out, d.JSON)
		}
	}
	return out
}

func ptr[T any](v T) *T { return &v }

// TestGolden holds events against files that were compared with the developer's guide.
func TestGolden(t *testing.T) {
	instance := ecs.Instance{ID: ecs.InstanceID{15: 2}, Cluster: "default", Status: ecs.InstanceActive, HostID: "i-0123456789abcdef0", Version: 3,
		Registered: ecs.Resources{CPU: 2048, MemoryMiB: 3885, Ports: []ecs.Port{{Number: 22}}}, AgentVersion: "1.2.3", AgentHash: "aebcbca",
		Attributes: []ecs.Attribute{{Name: "ecs.availability-zone", Value: "us-west-2c"}, {Name: "ecs.cpu-architecture", Value: "x86_64"}}, RegisteredAt: 1700000000000}
	task := ecs.Task{ID: ecs.TaskID{15: 1}, Cluster: "default", Definition: ecs.DefinitionID{Family: "web", Revision: 2}, Instance: instance.ID,
		LastStatus: ecs.TaskStopped, DesiredStatus: ecs.TaskStopped, Group: "family:web", LaunchType: ecs.LaunchEC2, Version: 4,
		CreatedAt: 1700000001002, StartedAt: 1700000002000, StoppedAt: 1700000003000, StopCode: ecs.StopEssentialContainerExit, StoppedReason: "Essential container in task exited",
		Reserved: ecs.Resources{CPU: 128, MemoryMiB: 64}, ConnectivityAt: 1700000001500,
		Containers: []ecs.Container{{Name: "a", ID: "cf159fd6", LastStatus: ecs.TaskStopped, ExitCode: ptr(int32(1)), RuntimeID: "r",
			NetworkBindings: []ecs.NetworkBinding{{BindIP: "0.0.0.0", ContainerPort: ptr(int32(80)), HostPort: ptr(int32(32768)), Protocol: "tcp"}}}}}
	for name, fn := range map[string]func(tx *state.Tx){
		"task":     func(tx *state.Tx) { tx.Tasks.Put(&task) },
		"instance": func(tx *state.Tx) { tx.Instances.Put(&instance) },
		"action": func(tx *state.Tx) {
			tx.ServiceEvents.Put(&ecs.ServiceEvent{Cluster: "default", Service: "web", Number: 1, ID: "6ebe9c4b-0000-4000-8000-000000000001", CreatedAt: 1700000004000,
				Message: "m", Action: ecs.ActionPlacementFailure, Reason: "why"})
		},
		"deployment": func(tx *state.Tx) {
			tx.Services.Put(&ecs.Service{Cluster: "default", Name: "web", Status: ecs.ServiceActive, Deployments: []ecs.Deployment{
				{ID: "ecs-svc/123", RolloutState: ecs.RolloutFailed, RolloutStateReason: "ECS deployment circuit breaker: tasks failed to start.", UpdatedAt: 1700000005000}}})
		},
		"daemon-deployment": func(tx *state.Tx) {
			tx.DaemonDeployments.Put(&ecs.DaemonDeployment{Cluster: "default", Daemon: "agent", ID: "0EYSiB0qap8xf0N76FsbEg", Target: "4980306466373577095",
				Status: ecs.ServiceDeploymentRollbackFailed, UpdatedAt: 1700000006000})
		},
		"daemon-unplaced": func(tx *state.Tx) {
			tx.DaemonRevisions.Put(&ecs.DaemonRevision{Cluster: "default", Daemon: "agent", ID: "4980306466373577095", Definition: ecs.DefinitionID{Family: "collector", Revision: 3, Daemon: true}})
			tx.Daemons.Put(&ecs.Daemon{Cluster: "default", Name: "agent", Status: ecs.DaemonActive, Revisions: []string{"4980306466373577095"},
				Unplaced: &ecs.DaemonUnplaced{Instance: instance.ID, Reason: "RESOURCE:CPU", At: 1700000007000}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			change(t, s, func(tx *state.Tx) {
				tx.Definitions.Put(&ecs.TaskDefinition{Family: "web", Revision: 2, ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a", Image: "httpd", Cpu: 128, Memory: ptr(int32(64))}}})
				if name == "task" || name == "daemon-unplaced" {
					tx.Instances.Put(&instance)
				}
			})
			change(t, s, func(tx *state.Tx) { tx.EventRules.Put(rule(`{"source":["aws.ecs"]}`)) })
			change(t, s, fn)
			got := told(t, s)
			count := 1
			if name == "task" {
				count = 2 // The instance's resources are taken too.
			}
			if len(got) != count {
				t.Fatalf("%d events", len(got))
			}
			var text bytes.Buffer
			if err := json.Indent(&text, []byte(got[0]), "", "  "); err != nil {
				t.Fatal(err)
			}
			text.WriteByte('\n')
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), text.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestDaemonTaskImpaired tells once of a daemon's task that did not come to run.
func TestDaemonTaskImpaired(t *testing.T) {
	s := start(t)
	task := ecs.Task{ID: ecs.TaskID{1}, Cluster: "c", Group: "daemon:agent", StartedBy: "ecs-daemon/7", Instance: ecs.InstanceID{2}, LastStatus: ecs.TaskPending, Version: 1}
	change(t, s, func(tx *state.Tx) {
		tx.EventRules.Put(rule(`{"detail-type":["ECS Daemon Service Action"]}`))
		tx.Instances.Put(&ecs.Instance{ID: ecs.InstanceID{2}, Cluster: "c", CapacityProvider: "machines"})
		tx.DaemonRevisions.Put(&ecs.DaemonRevision{Cluster: "c", Daemon: "agent", ID: "7", Definition: ecs.DefinitionID{Family: "collector", Revision: 3, Daemon: true}})
		tx.Tasks.Put(&task)
	})
	ended := task
	ended.LastStatus, ended.StoppedAt, ended.StopCode, ended.StoppedReason, ended.Version = ecs.TaskStopped, 1700000003000, ecs.StopTaskFailedToStart, "CannotPullContainerError: no", 2
	change(t, s, func(tx *state.Tx) { tx.Tasks.Put(&ended) })
	again := ended
	again.Version = 3
	change(t, s, func(tx *state.Tx) { tx.Tasks.Put(&again) })
	got := told(t, s)
	if len(got) != 1 {
		t.Fatalf("%d events: %v", len(got), got)
	}
	var e struct {
		Resources []string
		Detail    map[string]string
	}
	if err := json.Unmarshal([]byte(got[0]), &e); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"eventType": "WARNING", "eventName": "DAEMON_TASK_START_IMPAIRED", "failureType": "TASK_FAILED_TO_RUN", "clusterArn": place.ClusterARN("c"),
		"containerInstanceArn": place.InstanceARN("c", task.Instance), "taskArn": place.TaskARN("c", task.ID), "capacityProviderName": "machines",
		"daemonArn": place.DaemonARN("c", "agent"), "daemonRevisionArn": place.DaemonRevisionARN("c", "agent", "7"),
		"daemonTaskDefinitionArn": "arn:aws:ecs:us-west-2:111122223333:daemon-task-definition/collector:3", "createdAt": "2023-11-14T22:13:23.000Z",
		"reason": "Task failed to reach RUNNING status: CannotPullContainerError: no",
	}
	if d := cmp.Diff(want, e.Detail); d != "" || len(e.Resources) != 1 {
		t.Error(d, e.Resources)
	}
}

// TestOutbox notes what some rule may match, once for each version, and nothing else.
func TestOutbox(t *testing.T) {
	s := start(t)
	put := func(version int64) {
		change(t, s, func(tx *state.Tx) { tx.Tasks.Put(&ecs.Task{ID: ecs.TaskID{1}, Cluster: "c", Version: version}) })
	}
	expect := func(n int) {
		t.Helper()
		if got := told(t, s); len(got) != n {
			t.Fatalf("%d events, want %d: %v", len(got), n, got)
		}
	}
	put(1)
	expect(0) // No rule.
	for _, p := range []string{`{"source":["my.app"]}`, `{"source":["aws.ecs"],"detail-type":["ECS Service Action"]}`, ``} {
		change(t, s, func(tx *state.Tx) { tx.EventRules.Put(rule(p)) })
		put(2)
		expect(0)
		put(1)
	}
	disabled := rule(`{"source":["aws.ecs"]}`)
	disabled.State = state.RuleDisabled
	change(t, s, func(tx *state.Tx) { tx.EventRules.Put(disabled) })
	put(2)
	expect(0)
	change(t, s, func(tx *state.Tx) { tx.EventRules.Put(rule(`{"detail-type":[{"prefix":"ECS Task"}]}`)) })
	put(2) // No change that ECS shows.
	expect(0)
	put(3)
	put(4)
	expect(2)
	change(t, s, func(tx *state.Tx) { tx.Tasks.Delete(ecs.TaskID{1}) })
	expect(2)
}
