package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var ctx = context.Background()

func source(t testing.TB, opts ...string) Source {
	dir := t.TempDir()
	s := Source{
		ContainerID: "c0ffee", ContainerName: "web", TaskID: "task1", Path: filepath.Join(dir, "log", "web.log"), Driver: "awslogs",
		State: filepath.Join(dir, "state"), Options: map[string]string{"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"},
	}
	for i := 0; i < len(opts); i += 2 {
		s.Options[opts[i]] = opts[i+1]
	}
	must(t, os.MkdirAll(filepath.Dir(s.Path), 0o755))
	return s
}

func shipper(t testing.TB, s *server, edit ...func(*Config)) *Shipper {
	cfg := Config{Client: s, Interval: time.Millisecond, RetryMin: time.Millisecond, RetryMax: 4 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, e := range edit {
		e(&cfg)
	}
	sh := New(cfg)
	t.Cleanup(func() { must(t, sh.Close()) })
	return sh
}

func attach(t testing.TB, s *Shipper, src Source) Shipment {
	t.Helper()
	sh, err := s.Attach(ctx, src)
	must(t, err)
	t.Cleanup(sh.Close)
	return sh
}

func wantTexts(t testing.TB, s *server, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.texts("g", "p/web/task1")); diff != "" {
		t.Error(diff)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem != nil {
		t.Error(s.problem)
	}
}

// TestLive: a line is at the server soon after it is written, before and after a rotation, without waiting for a poll.
func TestLive(t *testing.T) {
	srv, src := newServer("g"), source(t)
	sh := attach(t, shipper(t, srv, func(c *Config) { c.Poll = time.Hour }), src)
	w := newWriter(t, src.Path, 1<<20, 3)
	var want []string
	var took []time.Duration
	for i := range 50 {
		if i%20 == 10 {
			w.rotate()
		}
		line := fmt.Sprint("line ", i)
		start := time.Now()
		w.record("stdout", line+"\n")
		<-srv.arrived
		took = append(took, time.Since(start))
		want = append(want, line)
	}
	w.close()
	must(t, sh.Drain(ctx))
	wantTexts(t, srv, want...)
	slices.Sort(took)
	t.Logf("median %v, slowest %v", took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > time.Second {
		t.Error("lines are not told of")
	}
}

// TestAttachErrors: what a container cannot start with, in Docker's words.
func TestAttachErrors(t *testing.T) {
	srv := newServer()
	s := shipper(t, srv)
	src := source(t)
	_, err := s.Attach(ctx, src)
	want := "failed to initialize logging driver: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	src.Options["awslogs-create-group"] = "true"
	sh := attach(t, s, src)
	if _, err := s.Attach(ctx, src); !errors.Is(err, errAttached) {
		t.Error("attached twice:", err)
	}
	sh.Close()
	sh.Close()
	if err := sh.Drain(ctx); !errors.Is(err, errClosed) {
		t.Error("drained after close:", err)
	}
	// It is known now: a server that is away does not keep the agent from taking it up again.
	srv.mu.Lock()
	srv.groups = nil
	srv.mu.Unlock()
	attach(t, s, src).Close()
	src.Driver = "gelf"
	if _, err := s.Attach(ctx, src); err == nil || !strings.HasPrefix(err.Error(), "failed to initialize logging driver: ") {
		t.Error(err)
	}
	for _, driver := range []string{"none", "json-file"} {
		sh, err := s.Attach(ctx, Source{Driver: driver})
		must(t, err)
		must(t, sh.Drain(ctx))
		sh.Close()
	}
}

// TestServerTrouble: throttling, failures with and without effect, old sequence tokens and a deleted stream: everything
// arrives, in order, and twice only where the server kept what it said it had not.
func TestServerTrouble(t *testing.T) {
	srv, src := newServer("g"), source(t)
	srv.misbehave = func(n int) (error, bool) {
		switch n % 6 {
		case 1:
			return &types.ThrottlingException{Message: aws.String("Rate exceeded")}, false
		case 2:
			return errBusy, false
		case 3:
			return errors.New("connection reset"), false
		case 4:
			return &types.InvalidSequenceTokenException{ExpectedSequenceToken: aws.String("t")}, false
		case 5:
			return &types.DataAlreadyAcceptedException{ExpectedSequenceToken: aws.String("t")}, true
		}
		delete(srv.groups["g"], "other")
		return nil, false
	}
	sh := attach(t, shipper(t, srv), src)
	w := newWriter(t, src.Path, 1<<20, 3)
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
		w.record("stdout", want[i]+"\n")
		<-srv.arrived
	}
	must(t, sh.Drain(ctx))
	wantTexts(t, srv, want...)
}

// TestRefusedLine: a batch that the server refuses for what is in it is taken apart, and only the culprit is dropped.
func TestRefusedLine(t *testing.T) {
	srv, src := newServer("g"), source(t)
	w := newWriter(t, src.Path, 1<<20, 3)
	var want []string
	for i := range 100 {
		line := fmt.Sprint(i)
		if i == 41 {
			line = "bad"
		} else {
			want = append(want, line)
		}
		w.record("stdout", line+"\n")
	}
	must(t, attach(t, shipper(t, srv, func(c *Config) { c.Client = picky{srv} }), src).Drain(ctx))
	wantTexts(t, srv, want...)
}

// TestLongAndSplit: parts are joined by stream, lines beyond the limit are cut between characters, empty ones dropped.
func TestLongAndSplit(t *testing.T) {
	srv, src := newServer("g"), source(t)
	w := newWriter(t, src.Path, 16<<20, 3)
	w.record("stdout", "one ")
	w.record("stderr", "error ")
	w.record("stdout", "line\n")
	w.record("stdout", "\n")
	w.record("stderr", "line\n")
	long := strings.Repeat("é", eventBytes) // twice the limit in bytes
	for rest := long; rest != ""; {
		n := min(len(rest), 16<<10)
		w.record("stdout", rest[:n])
		rest = rest[n:]
	}
	w.record("stdout", "\nno newline at the end")
	must(t, attach(t, shipper(t, srv), src).Drain(ctx))
	got := srv.texts("g", "p/web/task1")
	if len(got) != 6 && len(got) != 5 || got[0] != "one line" || got[1] != "error line" {
		t.Fatalf("%d events", len(got))
	}
	if joined := strings.Join(got[2:], ""); joined != long+"\nno newline at the end" && joined != long+"no newline at the end" {
		t.Error("the long line is not what was written")
	}
	wantNoProblem(t, srv)
}

func wantNoProblem(t *testing.T, s *server) {
	t.Helper()
	if s.problem != nil {
		t.Error(s.problem)
	}
}

// TestBigBatches: limits of a request hold when much is waiting.
func TestBigBatches(t *testing.T) {
	for name, size := range map[string]int{"many": 3, "large": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			srv, src := newServer("g"), source(t)
			w := newWriter(t, src.Path, 1<<30, 3)
			var want []string
			for i := range min(25000, 8<<20/size) {
				want = append(want, strings.Repeat("x", size)+fmt.Sprint(i))
				w.record("stdout", want[i]+"\n")
				w.now = w.now.Add(time.Minute)
			}
			must(t, attach(t, shipper(t, srv), src).Drain(ctx))
			if !slices.Equal(want, srv.texts("g", "p/web/task1")) {
				t.Error("not what was written")
			}
			wantNoProblem(t, srv)
		})
	}
}

// TestMultiline: a pattern's lines begin events, and silence ends one.
func TestMultiline(t *testing.T) {
	srv, src := newServer("g"), source(t, "awslogs-multiline-pattern", "^INFO|^ERROR")
	sh := attach(t, shipper(t, srv, func(c *Config) { c.MultilineWait = 10 * time.Millisecond }), src)
	w := newWriter(t, src.Path, 1<<20, 3)
	w.record("stdout", "before\n")
	w.record("stdout", "ERROR one\n")
	w.record("stdout", "  at two\n")
	w.record("stdout", "\n")
	w.record("stdout", "INFO three\n")
	for len(srv.texts("g", "p/web/task1")) < 3 {
		<-srv.arrived
	}
	w.record("stdout", "INFO four\n")
	must(t, sh.Drain(ctx))
	wantTexts(t, srv, "before\n", "ERROR one\n  at two\n\n", "INFO three\n", "INFO four\n")
}

// TestAway: while the server is away memory stays bounded; what is rotated away meanwhile is told of in its place, with
// its size, and the rest arrives.
func TestAway(t *testing.T) {
	srv, src := newServer("g"), source(t)
	away := make(chan struct{})
	tried := make(chan struct{}, 1)
	srv.misbehave = func(int) (error, bool) {
		select {
		case <-away:
			return nil, false
		default:
		}
		select {
		case tried <- struct{}{}:
		default:
		}
		return errBusy, false
	}
	sh := attach(t, shipper(t, srv, func(c *Config) { c.RetryMax = time.Millisecond }), src)
	w := newWriter(t, src.Path, 4000, 3)
	for i := range 1000 {
		w.record("stdout", fmt.Sprintln("line", i, strings.Repeat("x", 20)))
		if i%20 == 0 {
			<-tried // it has looked at what waits
			<-tried
		}
	}
	w.close()
	close(away)
	must(t, sh.Drain(ctx))
	got := srv.texts("g", "p/web/task1")
	lost := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "roadstead: output was lost here") })
	if lost <= 0 || !strings.Contains(got[lost], "bytes") || !strings.HasPrefix(got[len(got)-1], "line 999 ") {
		t.Fatalf("%d events, the loss told at %d: %q, %q", len(got), lost, got[lost], got[len(got)-1])
	}
	before, after := 0, 0
	fmt.Sscanf(got[lost-1], "line %d", &before)
	fmt.Sscanf(got[lost+1], "line %d", &after)
	if before != lost-1 || 999-after != len(got)-1-(lost+1) {
		t.Errorf("lines %d to %d are missing of %d events: %s", before, after, len(got), got[lost])
	}
	wantNoProblem(t, srv)
}

// TestDeletedGroup: the output of an ended container whose group is gone is given up with an error, not kept for ever.
func TestDeletedGroup(t *testing.T) {
	srv, src := newServer("g"), source(t)
	sh := attach(t, shipper(t, srv), src)
	srv.mu.Lock()
	delete(srv.groups, "g")
	srv.mu.Unlock()
	newWriter(t, src.Path, 1<<20, 3).record("stdout", "x\n")
	if err := sh.Drain(ctx); !errors.Is(err, errGone) {
		t.Error(err)
	}
}

// TestRetryForEver: a server that is away for a day is tried again and again, with pauses that grow to a bound. The time
// is synctest's.
func TestRetryForEver(t *testing.T) {
	src := source(t)
	synctest.Test(t, func(t *testing.T) {
		srv := newServer("g")
		start := time.Now()
		srv.misbehave = func(int) (error, bool) {
			if time.Since(start) < 24*time.Hour {
				return errBusy, false
			}
			return nil, false
		}
		s := New(Config{Client: srv, watch: silent{}})
		sh, err := s.Attach(ctx, src)
		must(t, err)
		newWriter(t, src.Path, 1<<20, 3).record("stdout", "patience\n")
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := sh.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		must(t, sh.Drain(ctx))
		wantTexts(t, srv, "patience")
		if srv.puts < 8000 || srv.puts > 20000 {
			t.Errorf("%d tries in a day", srv.puts)
		}
	})
}

// TestExactlyOnce is the property: whatever is written arrives once and in order, across random lengths, parts,
// rotations, restarts of the shipper at any moment between batches, and failures.
func TestExactlyOnce(t *testing.T) {
	shared := &inotify{} // its end takes long
	defer shared.close()
	rapid.Check(t, func(rt *rapid.T) {
		srv, src := newServer("g"), source(t)
		defer os.RemoveAll(filepath.Dir(src.State))
		fail := rapid.IntRange(0, 3).Draw(rt, "fail")
		srv.misbehave = func(n int) (error, bool) {
			if fail > 0 && n%(fail+1) == 0 {
				return errBusy, false
			}
			return nil, false
		}
		// So many files that none is rotated away unread.
		w := newWriter(t, src.Path, int64(rapid.IntRange(1, 3000).Draw(rt, "maxBytes")), 1000)
		var want []string
		partial := map[string]string{}
		s := shipper(t, srv, func(c *Config) { c.Log, c.watch = nil, keepOpen{shared} })
		sh, err := s.Attach(ctx, src)
		must(t, err)
		for range rapid.IntRange(0, 150).Draw(rt, "steps") {
			switch op := rapid.IntRange(0, 9).Draw(rt, "op"); op {
			case 0:
				sh.Close()
				sh, err = s.Attach(ctx, src)
				must(t, err)
			case 1:
				runtime.Gosched()
			case 2:
				w.rotate()
			default:
				stream := []string{"stdout", "stderr"}[op%2]
				text := rapid.StringN(1, -1, 60).Draw(rt, "text")
				text = strings.ReplaceAll(text, "\n", " ") + fmt.Sprint(len(want))
				partial[stream] += text
				if op > 4 {
					want = append(want, partial[stream])
					delete(partial, stream)
					text += "\n"
				}
				w.record(stream, text)
			}
		}
		w.close()
		must(t, sh.Drain(ctx))
		for _, stream := range []string{"stdout", "stderr"} {
			if partial[stream] != "" {
				want = append(want, partial[stream])
			}
		}
		got := srv.texts("g", "p/web/task1")
		// A line of several parts has the time of its first, so lines may change places within a batch.
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got, equateEmpty); diff != "" {
			rt.Fatal(diff)
		}
		if srv.problem != nil {
			rt.Fatal(srv.problem)
		}
	})
}

var equateEmpty = cmp.Transformer("nil", func(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
})

// TestOrder is the same for whole lines of one stream, which must keep their order.
func TestOrder(t *testing.T) {
	srv, src := newServer("g"), source(t)
	w := newWriter(t, src.Path, 2000, 1000)
	var want []string
	s := shipper(t, srv, func(c *Config) { c.Log = nil })
	sh, err := s.Attach(ctx, src)
	must(t, err)
	for i := range 5000 {
		want = append(want, fmt.Sprint(i))
		w.record("stdout", want[i]+"\n")
		if rand.IntN(100) == 0 {
			sh.Close()
			sh, err = s.Attach(ctx, src)
			must(t, err)
		}
	}
	must(t, sh.Drain(ctx))
	if !slices.Equal(want, srv.texts("g", "p/web/task1")) {
		t.Error("not what was written")
	}
}
