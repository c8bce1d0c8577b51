package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// target answers calls one after another as told; the last answer stays.
type target struct {
	answers []string
	bodies  []string
	at      []time.Duration
	began   time.Time
}

// RoundTrip answers "500" and the like with that status, "lost" with an error, "slow" never, and all else with 200 and that text.
func (t *target) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	t.bodies, t.at = append(t.bodies, string(body)), append(t.at, time.Since(t.began))
	text := t.answers[min(len(t.bodies), len(t.answers))-1]
	switch text {
	case "lost":
		return nil, errors.New("connection refused")
	case "slow":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "500", "404", "302":
		return &http.Response{StatusCode: map[string]int{"500": 500, "404": 404, "302": 302}[text], Body: io.NopCloser(&bytes.Buffer{})}, nil
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(text))}, nil
}

// outcome is what becomes of a hook whose target answers so, after a while.
func outcome(t *testing.T, answers ...string) (ecs.HookRun, *target) {
	t.Helper()
	to := &target{answers: answers}
	var run ecs.HookRun
	synctest.Test(t, func(t *testing.T) {
		to.began = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		store, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() { ended <- store.Run(ctx) }()
		go func() {
			ended <- Run(ctx, Config{Store: store, Place: ecs.Place{Account: "1", Region: "r"}, Client: &http.Client{Transport: to}, Timeout: time.Minute})
		}()
		err = store.Update(ctx, func(tx *state.Tx) error {
			tx.ServiceDeployments.Put(&ecs.ServiceDeployment{
				Cluster: "c", Service: "s", ID: "d", Status: ecs.ServiceDeploymentInProgress, Stage: ecs.StagePreScaleUp, Target: ecs.RevisionCounts{ID: "7"},
				Configuration: ecs.DeploymentConfiguration{Hooks: []ecs.LifecycleHook{{TargetType: ecs.HookLambda, TargetARN: "http://x/", Details: `{"own":1}`}}},
				Hooks:         []ecs.HookRun{{ID: "h", Stage: ecs.StagePreScaleUp, Status: ecs.HookInProgress, NextCall: ecs.MillisOf(time.Now())}},
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		run = store.View().ServiceDeployments.Get("c/s/d").Hooks[0]
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	return run, to
}

func TestOutcomes(t *testing.T) {
	const ok, more = `{"hookStatus":"SUCCEEDED"}`, `{"hookStatus":"IN_PROGRESS"}`
	for _, c := range []struct {
		name    string
		answers []string
		status  string
		calls   int32
		reason  string
	}{
		{"succeeded", []string{ok}, ecs.HookSucceeded, 1, ""},
		{"failed", []string{`{"hookStatus":"FAILED"}`}, ecs.HookFailed, 1, "The hook target answered FAILED."},
		{"in progress", []string{more, more, ok}, ecs.HookSucceeded, 3, ""},
		{"lost and found", []string{"lost", "500", ok}, ecs.HookSucceeded, 3, ""},
		{"lost", []string{"lost"}, ecs.HookFailed, 5, "The hook target did not answer 5 times."},
		{"slow", []string{"slow"}, ecs.HookFailed, 5, "The hook target did not answer 5 times."},
		{"not there", []string{"404"}, ecs.HookFailed, 1, "The hook target answered with the HTTP status 404."},
		{"elsewhere", []string{"302"}, ecs.HookFailed, 1, "The hook target answered with the HTTP status 302."},
		{"no JSON", []string{"yes"}, ecs.HookFailed, 1, "The hook target did not answer with a JSON object."},
		{"no status", []string{"{}"}, ecs.HookFailed, 1, "The hook target did not answer with a valid hookStatus."},
		{"delay", []string{`{"hookStatus":"IN_PROGRESS","callBackDelay":-1}`}, ecs.HookFailed, 1, "The hook target answered with a callBackDelay that is not between 0 and a day."},
	} {
		run, _ := outcome(t, c.answers...)
		if run.Status != c.status || run.Calls != c.calls || run.Reason != c.reason {
			t.Errorf("%s: %+v", c.name, run)
		}
	}
}

// TestCall holds what a target is told, and when it is told again.
func TestCall(t *testing.T) {
	_, to := outcome(t, `{"hookStatus":"IN_PROGRESS"}`, `{"hookStatus":"IN_PROGRESS","callBackDelay":60,"hookDetails":{"step":2}}`, `{"hookStatus":"SUCCEEDED"}`)
	if len(to.at) != 3 || to.at[0] != 0 || to.at[1] != 30*time.Second || to.at[2] != 90*time.Second {
		t.Fatalf("called after %v", to.at)
	}
	var first, last request
	if err := errors.Join(json.Unmarshal([]byte(to.bodies[0]), &first), json.Unmarshal([]byte(to.bodies[2]), &last)); err != nil {
		t.Fatal(err)
	}
	if first.LifecycleStage != ecs.StagePreScaleUp || first.ResourceARN != "arn:aws:ecs:r:1:service-deployment/c/s/d" || first.ExecutionID != "h" ||
		first.ExecutionDetails.ServiceARN != "arn:aws:ecs:r:1:service/c/s" || first.ExecutionDetails.TargetServiceRevisionARN != "arn:aws:ecs:r:1:service-revision/c/s/7" ||
		string(first.HookDetails) != `{"own":1}` || string(last.HookDetails) != `{"step":2}` {
		t.Errorf("%s\n%s", to.bodies[0], to.bodies[2])
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte(`{"hookStatus":"IN_PROGRESS","callBackDelay":60,"hookDetails":{"step":2}}`))
	f.Add([]byte(`{"hookStatus":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := readReply(raw)
		if err == nil && (out.HookStatus == "" || out.CallBackDelay < 0) {
			t.Errorf("%+v", out)
		}
	})
}
