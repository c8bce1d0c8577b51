package logstore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const crashDir = "LOGSTORE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := writeUntilKilled(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	crashWriters = 8
	crashBatch   = 5
)

// writeUntilKilled puts batches from several goroutines and prints the name of each that is acknowledged.
func writeUntilKilled(dir string, out io.Writer) error {
	s, err := Open(Config{Dir: dir, ReserveBytes: 1 << 20, MemTableBytes: 1 << 20})
	if err != nil {
		return err
	}
	go s.Run(context.Background()) //nolint:errcheck // it ends with the process
	var mu sync.Mutex
	failed := make(chan error, crashWriters)
	for w := range crashWriters {
		go func() {
			ctx, stream := context.Background(), fmt.Sprint("s", w)
			for n := 0; ; n++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, n)
				var in []Input
				for i := range crashBatch {
					in = append(in, Input{time.Now().UnixMilli(), fmt.Sprintf("%s %d %0*d", name, i, n%300, 0)})
				}
				if _, err := s.Put(ctx, "g", stream, in); err != nil {
					failed <- err
					return
				}
				mu.Lock()
				fmt.Fprintln(out, name)
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

// TestKilledStoreHasAllThatWasAcknowledged kills a writing process again and again: every acknowledged batch is there once
// and whole, and of no other batch a part.
func TestKilledStoreHasAllThatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, Config{Dir: dir})
	ok(t, s.CreateGroup(context.Background(), Group{Name: "g"}))
	for w := range crashWriters {
		ok(t, s.CreateStream(context.Background(), "g", fmt.Sprint("s", w)))
	}
	stop()
	acked := map[string]bool{}
	const kills = 20
	for round := range kills {
		killWriter(t, dir, 20+10*round, acked)
		s, stop := open(t, Config{Dir: dir})
		checkBatches(t, s, acked)
		stop()
	}
	t.Logf("%d batches acknowledged over %d kills", len(acked), kills)
}

// killWriter runs a writer until it has acknowledged so many batches and kills it in the midst of the next.
func killWriter(t *testing.T, dir string, batches int, acked map[string]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // what was in the pipe when it was killed has been read too
		}
		acked[strings.TrimSpace(line)] = true
		if n == batches {
			ok(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() >= 0 {
		t.Fatalf("the writer ended by itself: %v", err)
	}
}

func checkBatches(t *testing.T, s *Store, acked map[string]bool) {
	t.Helper()
	found := map[string]int{}
	q := FilterQuery{Group: "g", Range: Always}
	for {
		page, err := s.Filter(context.Background(), q)
		ok(t, err)
		for _, e := range page.Events {
			name, rest, _ := strings.Cut(e.Message, " ")
			var i int
			if _, err := fmt.Sscan(rest, &i); err != nil {
				t.Fatalf("message %q: %v", e.Message, err)
			}
			if found[name]&(1<<i) != 0 {
				t.Fatalf("event %s %d is there twice", name, i)
			}
			found[name] |= 1 << i
		}
		if q.After = page.Next; q.After == nil {
			break
		}
	}
	for name := range acked {
		if _, there := found[name]; !there {
			t.Errorf("batch %s was acknowledged and is lost", name)
		}
	}
	for name, events := range found {
		if events != 1<<crashBatch-1 {
			t.Errorf("batch %s is there in part: %b", name, events)
		}
	}
}

// TestAcknowledgedMeansSynced takes away all that was not synced, as a power cut does.
func TestAcknowledgedMeansSynced(t *testing.T) {
	ctx := context.Background()
	disk := vfs.NewCrashableMem()
	s, _ := open(t, Config{Dir: "logs", fs: disk, MemTableBytes: 1 << 20})
	ok(t, s.CreateGroup(ctx, Group{Name: "g"}))
	ok(t, s.CreateStream(ctx, "g", "s"))
	for n := range 200 {
		_, err := s.Put(ctx, "g", "s", []Input{{s.now(), fmt.Sprintf("%d %s", n, strings.Repeat("x", 20_000))}})
		ok(t, err)
		if n%50 != 0 {
			continue
		}
		after, _ := open(t, Config{Dir: "logs", fs: disk.CrashClone(vfs.CrashCloneCfg{})})
		events := 0
		q := FilterQuery{Group: "g", Range: Always}
		for more := true; more; more = q.After != nil {
			page, err := after.Filter(ctx, q)
			ok(t, err)
			events += len(page.Events)
			q.After = page.Next
		}
		if events != n+1 {
			t.Errorf("after a power cut %d events of %d are there", events, n+1)
		}
	}
}
