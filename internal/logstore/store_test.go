package logstore

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// clock is a settable time, in milliseconds.
type clock struct{ ms int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms) }

// open makes a running store in dir that stops with the test.
func open(t testing.TB, cfg Config) (*Store, func()) {
	t.Helper()
	if cfg.ReserveBytes == 0 {
		cfg.ReserveBytes = 1 << 20
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var stopped bool
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReopenedStoreHasAll(t *testing.T) {
	dir, c, ctx := t.TempDir(), &clock{1_700_000_000_000}, context.Background()
	s, stop := open(t, Config{Dir: dir, Now: c.now})
	ok(t, s.CreateGroup(ctx, Group{Name: "g", Class: "STANDARD", Tags: map[string]string{"a": "b"}}))
	ok(t, s.CreateStream(ctx, "g", "s"))
	var in []Input
	for i := range 100 {
		in = append(in, Input{c.ms + int64(i/10), fmt.Sprint("event ", i)})
	}
	_, err := s.Put(ctx, "g", "s", in)
	ok(t, err)
	stop()
	s, _ = open(t, Config{Dir: dir, Now: c.now})
	got, err := s.Read(ctx, ReadQuery{Group: "g", Stream: "s", Range: Always})
	ok(t, err)
	if len(got) != 100 || got[0].Message != "event 0" || got[99].Message != "event 99" || got[99].Ingested != c.ms {
		t.Fatalf("read %d events: %v", len(got), got)
	}
	page, err := s.Filter(ctx, FilterQuery{Group: "g", Range: Always})
	ok(t, err)
	if len(page.Events) != 100 || page.Next != nil {
		t.Fatalf("filtered %d, next %v", len(page.Events), page.Next)
	}
	tail, err := s.Read(ctx, ReadQuery{Group: "g", Stream: "s", Range: Always, Tail: true, Limit: 7})
	ok(t, err)
	if len(tail) != 7 || tail[0].Message != "event 93" {
		t.Fatalf("tail: %v", tail)
	}
	g, err := s.Group("g")
	ok(t, err)
	if want := int64(100*EventOverhead + 10*7 + 90*8); g.Tags["a"] != "b" || g.Bytes != want {
		t.Fatalf("group: %+v", g)
	}
}
