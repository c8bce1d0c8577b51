package fake

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/runtimetest"
)

func TestRuntime(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) *runtimetest.Subject {
		r := &Runtime{}
		return &runtimetest.Subject{
			Runtime: r, Reopen: func(*testing.T) runtime.Runtime { return r }, Image: &runtime.Image{Name: "busybox"},
			Exit:    func(code int) []string { return []string{"exit", strconv.Itoa(code)} },
			Forever: []string{"serve"}, Stubborn: []string{"fake", "ignore-term"}, Print: []string{"fake", "log=hello", "after=0s"},
			OOM: []string{"fake", "oom"}, Fail: []string{"fake", "start-error=no"}, Printed: "hello",
		}
	})
}

func TestBehaviours(t *testing.T) {
	for _, c := range []struct {
		args  []string
		label string
		want  Behaviour
	}{
		{args: []string{"nginx"}, want: Behaviour{After: -1}},
		{args: []string{"true"}, want: Behaviour{}},
		{args: []string{"false"}, want: Behaviour{ExitCode: 1}},
		{args: []string{"sleep", "1.5"}, want: Behaviour{After: 1500 * time.Millisecond}},
		{args: []string{"sleep", "infinity"}, want: Behaviour{After: -1}},
		{args: []string{"nginx"}, label: "after=1m exit=3", want: Behaviour{After: time.Minute, ExitCode: 3}},
		{args: []string{"fake", "ignore-term", "term-delay=1s", "term-code=5", "start-delay=10ms"},
			want: Behaviour{After: -1, IgnoreTerm: true, TermDelay: time.Second, TermCode: 5, StartDelay: 10 * time.Millisecond}},
	} {
		spec := &runtime.Spec{Args: c.args}
		if c.label != "" {
			spec.Labels = map[string]string{"fake": c.label}
		}
		if got := FromSpec(spec); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v %q: %+v", c.args, c.label, got)
		}
	}
}

func TestPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		im := &Images{}
		ctx := context.Background()
		results := make(chan error, 10)
		for range 10 {
			go func() {
				_, err := im.Pull(ctx, "slow", runtime.PullOptions{})
				results <- err
			}()
		}
		begin := time.Now()
		for range 10 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begin); took != time.Second || im.Asked() != 1 {
			t.Errorf("ten pulls of one image took %v and asked %d times", took, im.Asked())
		}
		if _, err := im.Pull(ctx, "missing", runtime.PullOptions{}); err == nil {
			t.Error("a missing image was pulled")
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := im.Pull(gone, "slow:2", runtime.PullOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("a pull that was given up: %v", err)
		}
		image, err := im.Pull(ctx, "slow", runtime.PullOptions{Policy: runtime.PullOnce})
		if err != nil {
			t.Fatal(err)
		}
		im.Hold(image, "c")
		if err := im.Remove(ctx, "slow"); err == nil {
			t.Error("an image in use was removed")
		}
		im.Release("c")
		if err := im.Remove(ctx, "slow"); err != nil {
			t.Error(err)
		}
		if err := im.Remove(ctx, "slow"); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		time.Sleep(2 * time.Second) // the given-up pull ends
	})
}
