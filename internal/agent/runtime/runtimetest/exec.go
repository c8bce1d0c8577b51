package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func (s *Subject) exec(t *testing.T, ctx context.Context, id string, spec *runtime.ExecSpec) runtime.Process {
	t.Helper()
	p, err := s.Runtime.Exec(ctx, id, spec)
	if err != nil {
		t.Fatalf("Exec: %v", err)
	}
	return p
}

func waitProcess(t *testing.T, p runtime.Process, want int) {
	t.Helper()
	if code, err := p.Wait(deadline(t)); err != nil || code != want {
		t.Errorf("a process ended with %d, %v, where %d was to be", code, err, want)
	}
}

func testExec(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Forever))
	for _, code := range []int{0, 1, 255} {
		waitProcess(t, s.exec(t, deadline(t), ID(0), &runtime.ExecSpec{Args: s.Exit(code)}), code)
	}
	var out, errs bytes.Buffer
	waitProcess(t, s.exec(t, deadline(t), ID(0), &runtime.ExecSpec{Args: s.Print, Stdout: &out, Stderr: &errs}), 0)
	if out.String() != s.Printed+"\n" || errs.Len() != 0 {
		t.Errorf("output %q, errors %q", &out, &errs)
	}
	out.Reset()
	long := strings.Repeat("a line that is not the last\n", 10_000)
	waitProcess(t, s.exec(t, deadline(t), ID(0), &runtime.ExecSpec{Args: []string{"cat"}, Stdin: strings.NewReader(long), Stdout: &out}), 0)
	if out.String() != long {
		t.Errorf("of %d bytes %d came back", len(long), out.Len())
	}
	s.Kill(t, ID(0), syscall.SIGKILL, false)
	s.Wait(t, ID(0))
}

func testExecRefused(t *testing.T, s *Subject) {
	if _, err := s.Runtime.Exec(deadline(t), ID(9), &runtime.ExecSpec{Args: s.Exit(0)}); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("in none: %v", err)
	}
	s.Start(t, s.Spec(0, s.Exit(0)))
	s.Wait(t, ID(0))
	if _, err := s.Runtime.Exec(deadline(t), ID(0), &runtime.ExecSpec{Args: s.Exit(0)}); !errors.Is(err, runtime.ErrNotRunning) {
		t.Errorf("in one that ended: %v", err)
	}
	s.Start(t, s.Spec(1, s.Forever))
	for _, args := range [][]string{nil, s.Fail} {
		if _, err := s.Runtime.Exec(deadline(t), ID(1), &runtime.ExecSpec{Args: args}); err == nil || errors.Is(err, runtime.ErrNotRunning) {
			t.Errorf("command %q: %v", args, err)
		}
	}
	s.Kill(t, ID(1), syscall.SIGKILL, false)
	s.Wait(t, ID(1))
}

// testExecEnds: a process ends by a signal, by its context, and with its container.
func testExecEnds(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Forever))
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	signalled := s.exec(t, ctx, ID(0), &runtime.ExecSpec{Args: s.Forever})
	given := s.exec(t, ctx, ID(0), &runtime.ExecSpec{Args: s.Forever})
	left := s.exec(t, deadline(t), ID(0), &runtime.ExecSpec{Args: s.Forever})
	short, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer stop()
	if _, err := signalled.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	if err := signalled.Resize(80, 24); !errors.Is(err, runtime.ErrNoTerminal) {
		t.Errorf("Resize: %v", err)
	}
	if err := signalled.Signal(int(syscall.SIGTERM)); err != nil {
		t.Error(err)
	}
	waitProcess(t, signalled, 128+int(syscall.SIGTERM))
	if err := signalled.Signal(int(syscall.SIGTERM)); err != nil {
		t.Errorf("a signal to one that ended: %v", err)
	}
	cancel()
	waitProcess(t, given, 137)
	s.Kill(t, ID(0), syscall.SIGKILL, false)
	waitProcess(t, left, 137)
	s.Wait(t, ID(0))
	s.Delete(t, ID(0), false)
}

// testExecMany: processes come and go at once, while their container ends under them.
func testExecMany(t *testing.T, s *Subject) {
	s.Start(t, s.Spec(0, s.Forever))
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			p, err := s.Runtime.Exec(deadline(t), ID(0), &runtime.ExecSpec{Args: s.Exit(i)})
			if err != nil {
				t.Errorf("Exec: %v", err)
				return
			}
			waitProcess(t, p, i)
		})
	}
	group.Wait()
	first := make(chan struct{})
	var once sync.Once
	for range 20 {
		group.Go(func() {
			p, err := s.Runtime.Exec(deadline(t), ID(0), &runtime.ExecSpec{Args: s.Forever})
			once.Do(func() { close(first) })
			if err == nil {
				waitProcess(t, p, 137)
			} else if !errors.Is(err, runtime.ErrNotRunning) {
				t.Errorf("Exec in one that ends: %v", err)
			}
		})
	}
	<-first
	s.Kill(t, ID(0), syscall.SIGKILL, false)
	group.Wait()
	s.Wait(t, ID(0))
	s.Delete(t, ID(0), false)
}
