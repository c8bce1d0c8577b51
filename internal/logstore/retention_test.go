package logstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"roadstead.dev/roadstead/internal/fault"
)

// TestRunSweeps sees Run clear expired events off the disk by itself, on a clock of the test's own.
func TestRunSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, stop := open(t, Config{Dir: "logs", fs: vfs.NewMem(), SweepEvery: time.Hour})
		ok(t, s.CreateGroup(ctx, Group{Name: "g", Retention: 1}))
		ok(t, s.CreateStream(ctx, "g", "s"))
		_, err := s.Put(ctx, "g", "s", []Input{{s.now() - day/2, "old"}, {s.now(), "new"}})
		ok(t, err)
		time.Sleep(12*time.Hour + time.Minute)
		events, err := s.Read(ctx, ReadQuery{Group: "g", Stream: "s", Range: Always})
		ok(t, err)
		if len(events) != 1 || events[0].Message != "new" {
			t.Errorf("after half a day: %v", events)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := countEvents(t, s); n != 1 {
			t.Errorf("%d events on the disk after a sweep", n)
		}
		g, err := s.Group("g")
		ok(t, err)
		if g.Bytes != 3+EventOverhead {
			t.Errorf("the group has %d bytes", g.Bytes)
		}
		stop()
	})
}

func TestSweepInSteps(t *testing.T) {
	ctx := context.Background()
	c := &clock{1_700_000_000_000}
	s, _ := open(t, Config{Dir: t.TempDir(), Now: c.now})
	ok(t, s.CreateGroup(ctx, Group{Name: "g", Retention: 1}))
	for _, name := range []string{"dead", "old"} {
		ok(t, s.CreateStream(ctx, "g", name))
		for range 3 {
			putMany(t, s, "g", name, 10_000, c.ms)
		}
	}
	ok(t, s.DeleteStream(ctx, "g", "dead"))
	ok(t, s.Sweep(ctx))
	if n := countEvents(t, s); n != 30_000 {
		t.Errorf("%d events on the disk after a stream's burial", n)
	}
	c.ms += 2 * day
	putMany(t, s, "g", "old", 10, c.ms)
	ok(t, s.Sweep(ctx))
	if n := countEvents(t, s); n != 10 {
		t.Errorf("%d events on the disk after the retention", n)
	}
}

// putMany puts n events of one moment.
func putMany(t testing.TB, s *Store, group, stream string, n int, at int64) {
	t.Helper()
	in := make([]Input, n)
	for i := range in {
		in[i] = Input{at, fmt.Sprintf("event %d", i)}
	}
	_, err := s.Put(context.Background(), group, stream, in)
	ok(t, err)
}

// TestFilterPagesByWork finds a needle in more than one page's worth of hay, and never looks at more than a page's worth.
func TestFilterPagesByWork(t *testing.T) {
	ctx := context.Background()
	const work, batches = 5000, 62 // a little over ten pages' work
	s, _ := open(t, Config{Dir: t.TempDir(), scanEvents: work})
	ok(t, s.CreateGroup(ctx, Group{Name: "g"}))
	ok(t, s.CreateStream(ctx, "g", "s"))
	for range batches {
		putMany(t, s, "g", "s", 1000, s.now())
	}
	_, err := s.Put(ctx, "g", "s", []Input{{s.now() + 1000, "needle"}})
	ok(t, err)
	looked, pages := 0, 0
	q := FilterQuery{Group: "g", Range: Always, Match: func(b []byte) bool { looked++; return strings.Contains(string(b), "needle") }}
	var found []Event
	for {
		before := looked
		page, err := s.Filter(ctx, q)
		ok(t, err)
		found = append(found, page.Events...)
		if pages++; looked-before > work+1 {
			t.Errorf("a page looked at %d events", looked-before)
		}
		if q.After = page.Next; q.After == nil {
			break
		}
	}
	if len(found) != 1 || looked != batches*1000+1 || pages != 13 {
		t.Errorf("%d found, %d looked at in %d pages", len(found), looked, pages)
	}
}

func TestPagesEndAtOneMebibyte(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, Config{Dir: t.TempDir()})
	ok(t, s.CreateGroup(ctx, Group{Name: "g"}))
	ok(t, s.CreateStream(ctx, "g", "s"))
	long := strings.Repeat("x", 300<<10)
	for range 7 {
		_, err := s.Put(ctx, "g", "s", []Input{{s.now(), long}})
		ok(t, err)
	}
	for name, q := range map[string]ReadQuery{"from the head": {}, "from the tail": {Tail: true}} {
		q.Group, q.Stream, q.Range = "g", "s", Always
		events, err := s.Read(ctx, q)
		ok(t, err)
		if len(events) != 3 {
			t.Errorf("%s: %d events in a page", name, len(events))
		}
	}
	page, err := s.Filter(ctx, FilterQuery{Group: "g", Range: Always})
	ok(t, err)
	if len(page.Events) != 3 || page.Next == nil || *page.Next != page.Events[2].Pos {
		t.Errorf("filter: %d events, next %v", len(page.Events), page.Next)
	}
}

func TestStoppedStoreRefuses(t *testing.T) {
	s, stop := open(t, Config{Dir: t.TempDir()})
	ok(t, s.CreateGroup(context.Background(), Group{Name: "g"}))
	tail, err := s.Tail(TailQuery{Groups: []string{"g"}})
	ok(t, err)
	stop()
	if err := s.CreateGroup(context.Background(), Group{Name: "h"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("creating after the stop: %v", err)
	}
	if _, open := <-tail.C; open {
		t.Error("the tail goes on after the stop")
	}
	if _, err := s.Tail(TailQuery{Groups: []string{"g"}}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("tailing after the stop: %v", err)
	}
}

func TestIDs(t *testing.T) {
	for _, p := range []Pos{{}, {1_700_000_000_000, 1}, {1<<62 - 1, 1<<64 - 1}, {0, 5}} {
		id := p.ID()
		if got, valid := ParseID(id); !valid || got != p || len(id) < 56 {
			t.Errorf("%v is %s is %v, %v", p, id, got, valid)
		}
	}
	for _, id := range []string{"", "1", strings.Repeat("9", 56), strings.Repeat("9", 65), strings.Repeat("x", 56), "0" + Pos{1_700_000_000_000, 1}.ID()} {
		if p, valid := ParseID(id); valid {
			t.Errorf("%q is taken as %v", id, p)
		}
	}
}
