package etcdkv_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/etcdkv"
)

// victimDir tells the test binary that it is to be the process that is killed.
const victimDir = "ROADSTEAD_TEST_VICTIM_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	killed         = 100
	killedInOneDir = 10
	victimCaller   = 16
	// perUpdate is how many tasks an Update writes: all are there, or none.
	perUpdate = 3
)

// victim writes as fast as it can and says on stdout which Updates are acknowledged, until it is killed.
func victim(dir string) error {
	kv, err := etcdkv.Embedded(context.Background(), etcdkv.EmbeddedConfig{Dir: dir})
	if err != nil {
		return err
	}
	s, err := state.Open(context.Background(), state.Config{KV: kv})
	if err != nil {
		return err
	}
	first, err := strconv.ParseUint(os.Getenv("FIRST"), 10, 64)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	next := first
	for range victimCaller {
		go func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				if err := s.Update(context.Background(), func(tx *state.Tx) error { writeGroup(tx, n); return nil }); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				// A write of 8 bytes to a pipe is atomic.
				if err := binary.Write(os.Stdout, binary.LittleEndian, n); err != nil {
					os.Exit(1)
				}
			}
		}()
	}
	return s.Run(context.Background())
}

// writeGroup is Update number n: perUpdate tasks and a shared counter.
func writeGroup(tx *state.Tx, n uint64) {
	for i := range perUpdate {
		tx.Tasks.Put(&ecs.Task{ID: groupID(n, i), Cluster: "c", Group: strconv.FormatUint(n, 10), Version: int64(n)})
	}
	count := ecs.Family{Name: "updates"}
	if f := tx.Families.Get("updates"); f != nil {
		count.LastRevision = f.LastRevision
	}
	count.LastRevision++
	tx.Families.Put(&count)
}

func groupID(n uint64, i int) (id ecs.TaskID) {
	binary.BigEndian.PutUint64(id[:8], n*0x9E3779B97F4A7C15) // Spread as random ids are.
	id[15] = byte(i)
	return id
}

// TestKilledAtAnyMoment kills a process under load a hundred times. Each time, every acknowledged write must be there, and no
// half of an Update.
func TestKilledAtAnyMoment(t *testing.T) {
	updates, slowest := 0, time.Duration(0)
	for range killed / killedInOneDir {
		// A new directory now and then, so that reading it does not take longer and longer.
		dir, acknowledged, next := t.TempDir(), map[uint64]bool{}, uint64(1)
		for range killedInOneDir {
			start := time.Now()
			acks := killVictim(t, dir, next, time.Duration(rand.Int64N(int64(60*time.Millisecond))))
			for _, n := range acks.numbers {
				acknowledged[n] = true
				next = max(next, n+1)
			}
			slowest = max(slowest, acks.first.Sub(start))
			// Those that were under way may be there too: their numbers are not used again.
			next += victimCaller
		}
		// Each victim has started on what the one before left; now look at it all.
		inspect(t, dir, acknowledged)
		updates += len(acknowledged)
	}
	t.Logf("%d Updates acknowledged; at most %v from the start of a process to its first one", updates, slowest)
	if updates < killed {
		t.Error("too few to show anything")
	}
}

type acks struct {
	numbers []uint64
	first   time.Time
}

// killVictim starts a process on dir and kills it a while after its first acknowledgement.
func killVictim(t *testing.T, dir string, first uint64, after time.Duration) (got acks) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir, "FIRST="+strconv.FormatUint(first, 10))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer guard.Stop()
	in := bufio.NewReader(out)
	for {
		var n uint64
		err := binary.Read(in, binary.LittleEndian, &n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.first.IsZero() {
			got.first = time.Now()
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		got.numbers = append(got.numbers, n)
	}
	cmd.Wait() // "signal: killed", as it must be.
	if got.first.IsZero() {
		t.Fatal("the process ended before it had written anything")
	}
	return got
}

func inspect(t *testing.T, dir string, acknowledged map[uint64]bool) {
	t.Helper()
	kv, err := etcdkv.Embedded(t.Context(), etcdkv.EmbeddedConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer kv.Close()
	s, err := state.Open(t.Context(), state.Config{KV: kv})
	if err != nil {
		t.Fatal(err)
	}
	v, groups := s.View(), map[int64]int{}
	for task := range v.Tasks.All() {
		groups[task.Version]++
	}
	for n, tasks := range groups {
		if tasks != perUpdate {
			t.Fatalf("Update %d is there by %d of %d", n, tasks, perUpdate)
		}
	}
	if f := v.Families.Get("updates"); int(f.LastRevision) != len(groups) {
		t.Fatalf("%d Updates are counted, %d are there", f.LastRevision, len(groups))
	}
	for n := range acknowledged {
		if groups[int64(n)] == 0 {
			t.Fatalf("Update %d was acknowledged and is lost", n)
		}
	}
}
