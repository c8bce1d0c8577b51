package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

const taskARN = "arn:aws:ecs:us-east-1:000000000000:task/default/8f03e41243824aea923aca126495f665"

// source has one task of two containers, of which the second has ended.
type source struct{ broken bool }

func (source) Find(id string) (*Task, int) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 6000000, time.UTC)
	port, code := int32(80), int32(3)
	t := &Task{
		ARN: taskARN, Cluster: "default", Family: "web", Revision: 24, Service: "front", LaunchType: "EC2", Zone: "us-east-1a",
		Desired: ecs.TaskRunning, Known: ecs.TaskRunning, CPUs: 0.25, MemoryMiB: 512, PullStarted: start, PullEnded: start.Add(time.Second),
		Containers: []Container{
			{
				RuntimeID: strings.Repeat("ab", 32), Name: "nginx", ARN: "arn:c", Image: "nginx:1", ImageDigest: "sha256:1", Labels: map[string]string{"a": "b"},
				Ports:   []ecs.NetworkBinding{{ContainerPort: &port, HostPort: &port, Protocol: "tcp", BindIP: "0.0.0.0"}},
				Desired: ecs.TaskRunning, Known: ecs.TaskRunning, CPU: 10, MemoryMiB: 128, Created: start, Started: start, LogDriver: "awslogs",
				LogOptions: map[string]string{"awslogs-group": "g"}, Health: &Health{Status: ecs.HealthHealthy, Since: start, Output: "ok"},
				Networks: []Network{{Mode: "bridge", IPv4: []string{"172.20.0.2"}, MAC: "02:00:00:00:00:01"}},
				Volumes:  []Volume{{Source: "/data", Destination: "/var/data"}},
			},
			{RuntimeID: strings.Repeat("cd", 32), Name: "init", Image: "busybox", Desired: ecs.TaskStopped, Known: ecs.TaskStopped, ExitCode: &code},
		},
	}
	switch id {
	case "one":
		return t, 0
	case "two":
		return t, 1
	}
	return nil, 0
}

func (source) FindRole(id string) (Role, bool) {
	return Role{Task: taskARN, ARN: "arn:role"}, id == "role"
}

func (s source) Stats(_ context.Context, id string) (*runtime.Stats, error) {
	switch {
	case s.broken:
		return nil, errors.New("the secret reason")
	case strings.HasPrefix(id, "cd"):
		return nil, fmt.Errorf("container: %w", runtime.ErrNotFound)
	}
	m := &runtime.Stats{Memory: runtime.MemoryStats{Usage: 5, Limit: 10}}
	m.CPU.Usage.Total = 7
	return m, nil
}

func newServer(t *testing.T, cfg Config) func(method, path, body string) (int, string) {
	if cfg.Source == nil {
		cfg.Source = source{}
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	s := New(cfg)
	return func(method, path, body string) (int, string) {
		t.Helper()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		b, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Code, string(b)
	}
}

func TestDocuments(t *testing.T) {
	ask := newServer(t, Config{})
	const nginx = `{"DockerId":"abababababababababababababababababababababababababababababababab","Name":"nginx",
		"DockerName":"ecs-web-24-nginx-abababababababababab","Image":"nginx:1","ImageID":"sha256:1",
		"Ports":[{"ContainerPort":80,"Protocol":"tcp","HostPort":80,"HostIp":"0.0.0.0"}],"Labels":{"a":"b"},"DesiredStatus":"RUNNING","KnownStatus":"RUNNING",
		"Limits":{"CPU":10,"Memory":128},"CreatedAt":"2026-01-02T03:04:05.006Z","StartedAt":"2026-01-02T03:04:05.006Z","Type":"NORMAL",
		"Health":{"status":"HEALTHY","statusSince":"2026-01-02T03:04:05.006Z","output":"ok"},"Volumes":[{"Source":"/data","Destination":"/var/data"}],`
	const nginx4 = nginx + `"LogDriver":"awslogs","LogOptions":{"awslogs-group":"g"},"ContainerARN":"arn:c",
		"Networks":[{"NetworkMode":"bridge","IPv4Addresses":["172.20.0.2"],"MACAddress":"02:00:00:00:00:01"}]}`
	const nginx3 = nginx + `"Networks":[{"NetworkMode":"bridge","IPv4Addresses":["172.20.0.2"]}]}`
	const initContainer = `{"DockerId":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","Name":"init",
		"DockerName":"ecs-web-24-init-cdcdcdcdcdcdcdcdcdcd","Image":"busybox","ImageID":"","DesiredStatus":"STOPPED","KnownStatus":"STOPPED","ExitCode":3,
		"Limits":{"CPU":0,"Memory":0},"Type":"NORMAL"}`
	const task = `{"Cluster":"default","TaskARN":"` + taskARN + `","Family":"web","Revision":"24",
		"DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":0.25,"Memory":512},
		"PullStartedAt":"2026-01-02T03:04:05.006Z","PullStoppedAt":"2026-01-02T03:04:06.006Z","AvailabilityZone":"us-east-1a",`
	for path, want := range map[string]string{
		"/v4/one":       nginx4,
		"/v4/one/":      nginx4,
		"/v3/one":       nginx3,
		"/v4/two":       initContainer,
		"/v4/two/task":  task + `"ServiceName":"front","LaunchType":"EC2","Containers":[` + nginx4 + "," + initContainer + `]}`,
		"/v3/one/task/": task + `"Containers":[` + nginx3 + "," + initContainer + `]}`,
	} {
		code, body := ask("GET", path, "")
		if d := cmp.Diff(parse(t, want), parse(t, body)); d != "" || code != http.StatusOK {
			t.Errorf("%s: %d (-want +got)\n%s", path, code, d)
		}
	}
}

func parse(t *testing.T, s string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return v
}

func TestStats(t *testing.T) {
	ask := newServer(t, Config{})
	code, body := ask("GET", "/v4/one/stats", "")
	got := parse(t, body).(map[string]any)
	if code != http.StatusOK || got["name"] != "/ecs-web-24-nginx-abababababababababab" || got["memory_stats"].(map[string]any)["usage"] != 5.0 {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask("GET", "/v4/two/stats", ""); code != http.StatusNotFound {
		t.Errorf("of an ended container: %d %s", code, body)
	}
	code, body = ask("GET", "/v3/two/task/stats", "")
	all := parse(t, body).(map[string]any)
	if ended, there := all[strings.Repeat("cd", 32)]; code != http.StatusOK || len(all) != 2 || ended != nil || !there {
		t.Errorf("%d %s", code, body)
	}
	ask = newServer(t, Config{Source: source{broken: true}})
	if code, body := ask("GET", "/v4/one/stats", ""); code != http.StatusInternalServerError || strings.Contains(body, "secret") {
		t.Errorf("broken: %d %s", code, body)
	}
}

func TestUnknown(t *testing.T) {
	ask := newServer(t, Config{})
	for _, path := range []string{"/v4/other", "/v4/other/task", "/v5/one", "/", "/v4/one/nothing", "/v4//task", "/v4/one/../two"} {
		if code, body := ask("GET", path, ""); code == http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, _ := ask("DELETE", "/v4/one", ""); code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", code)
	}
}

func TestThrottle(t *testing.T) {
	now := time.Unix(1000, 0)
	ask := newServer(t, Config{Now: func() time.Time { return now }})
	count := func(id string) (ok int) {
		for range 100 {
			if code, _ := ask("GET", "/v4/"+id, ""); code == http.StatusOK {
				ok++
			} else if code != http.StatusTooManyRequests {
				t.Fatalf("%d", code)
			}
		}
		return ok
	}
	if n := count("one"); n != burst {
		t.Errorf("%d at once", n)
	}
	if n := count("two"); n != 0 {
		t.Errorf("%d of the same task by its other container", n)
	}
	now = now.Add(time.Second)
	if n := count("one"); n != perSecond {
		t.Errorf("%d a second later", n)
	}
}

func TestThrottlesAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	s := New(Config{Source: source{}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	for i := range maxTasks + 10 {
		s.allow(fmt.Sprint(i))
	}
	if len(s.throttles) != maxTasks || s.throttles["0"] != nil || s.throttles[fmt.Sprint(maxTasks)] == nil {
		t.Errorf("%d throttles", len(s.throttles))
	}
}

type protection struct {
	err     error
	enabled bool
	minutes *int32
}

func (p *protection) Get(_ context.Context, cluster, task string) (*ProtectionState, error) {
	return &ProtectionState{Enabled: p.enabled, TaskARN: task + "@" + cluster}, p.err
}

func (p *protection) Set(ctx context.Context, cluster, task string, enabled bool, minutes *int32) (*ProtectionState, error) {
	p.enabled, p.minutes = enabled, minutes
	return p.Get(ctx, cluster, task)
}

func TestProtection(t *testing.T) {
	const path = "/api/one/task-protection/v1/state"
	p := &protection{}
	ask := newServer(t, Config{Protection: p})
	code, body := ask("PUT", path, `{"ProtectionEnabled":true,"ExpiresInMinutes":60}`)
	if code != http.StatusOK || body != `{"protection":{"ProtectionEnabled":true,"TaskArn":"`+taskARN+`@default"}}` || *p.minutes != 60 {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask("GET", path, ""); code != http.StatusOK || !strings.Contains(body, `"ProtectionEnabled":true`) {
		t.Errorf("%d %s", code, body)
	}
	for _, bad := range []string{``, `{}`, `{"ProtectionEnabled":1}`, `{"ProtectionEnabled":true,"Other":1}`, `{"ProtectionEnabled":true,"X":"` + strings.Repeat("x", maxProtectionBody) + `"}`} {
		if code, body := ask("PUT", path, bad); code != http.StatusBadRequest || !strings.Contains(body, `{"error":{"Arn":"`+taskARN+`","Code":"InvalidParameterException"`) {
			t.Errorf("%.40s: %d %s", bad, code, body)
		}
	}
	p.err = &ProtectionFailure{ARN: taskARN, Reason: "TASK_NOT_VALID"}
	if code, body := ask("GET", path, ""); code != http.StatusOK || body != `{"failure":{"Arn":"`+taskARN+`","Reason":"TASK_NOT_VALID"}}` {
		t.Errorf("%d %s", code, body)
	}
	p.err = &ProtectionError{ARN: taskARN, Code: "AccessDeniedException", Message: "no", Status: 400}
	if code, body := ask("GET", path, ""); code != http.StatusBadRequest || !strings.Contains(body, `"Code":"AccessDeniedException"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := newServer(t, Config{})("GET", path, ""); code != http.StatusNotImplemented {
		t.Errorf("without: %d %s", code, body)
	}
}

func TestCredentials(t *testing.T) {
	var fail error
	lend := func(_ context.Context, r Role) (*Credentials, error) {
		return &Credentials{RoleARN: r.ARN, AccessKeyID: "ASIA", SecretAccessKey: "s", Token: "t", Expiration: time.Unix(0, 0).UTC()}, fail
	}
	ask := newServer(t, Config{Lend: lend})
	want := `{"RoleArn":"arn:role","AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"t","Expiration":"1970-01-01T00:00:00Z"}`
	if code, body := ask("GET", "/v2/credentials/role", ""); code != http.StatusOK || body != want {
		t.Errorf("%d %s", code, body)
	}
	// A container's id is another thing.
	for _, id := range []string{"one", "", "x"} {
		if code, body := ask("GET", "/v2/credentials/"+id, ""); code == http.StatusOK || strings.Contains(body, "ASIA") {
			t.Errorf("%q: %d %s", id, code, body)
		}
	}
	fail = errors.New("the secret reason")
	if code, body := ask("GET", "/v2/credentials/role", ""); code != http.StatusServiceUnavailable || strings.Contains(body, "secret reason") {
		t.Errorf("%d %s", code, body)
	}
	if code, body := newServer(t, Config{})("GET", "/v2/credentials/role", ""); code != http.StatusBadRequest || !strings.Contains(body, `"code":"InvalidIdInRequest"`) {
		t.Errorf("%d %s", code, body)
	}
}

// TestStatsCompare asks twice, ten seconds apart.
func TestStatsCompare(t *testing.T) {
	s := New(Config{Source: source{}, Log: slog.New(slog.DiscardHandler)})
	at := time.Unix(1000, 0)
	measure := func(total, rx uint64) *runtime.Stats {
		m := &runtime.Stats{ID: "a", Read: at, Networks: runtime.NetworkStats{"eth0": {RxBytes: rx}}}
		m.CPU.Usage.Total = total
		s.compare(m)
		return m
	}
	if m := measure(5, 100); !m.PreRead.IsZero() || m.RateStats != nil {
		t.Errorf("the first: %+v", m)
	}
	at = at.Add(10 * time.Second)
	if m := measure(9, 1100); m.PreCPU.Usage.Total != 5 || !m.PreRead.Equal(at.Add(-10*time.Second)) || m.RateStats.Rx != 100 || m.RateStats.Tx != 0 {
		t.Errorf("the second: %+v", m)
	}
	if m := measure(10, 50); m.RateStats != nil {
		t.Errorf("in the same moment: %+v", m)
	}
}
