package logstore

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestTailChooses(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, Config{Dir: t.TempDir()})
	for _, g := range []string{"g", "h"} {
		ok(t, s.CreateGroup(ctx, Group{Name: g}))
		for _, st := range []string{"a1", "a2", "b"} {
			ok(t, s.CreateStream(ctx, g, st))
		}
	}
	for name, c := range map[string]struct {
		q    TailQuery
		want []string
	}{
		"a group":     {TailQuery{Groups: []string{"g"}}, []string{"g/a1", "g/a2", "g/b"}},
		"both groups": {TailQuery{Groups: []string{"g", "h"}}, []string{"g/a1", "g/a2", "g/b", "h/a1", "h/a2", "h/b"}},
		"a stream":    {TailQuery{Groups: []string{"h"}, Streams: []string{"b"}}, []string{"h/b"}},
		"a prefix":    {TailQuery{Groups: []string{"g"}, Prefixes: []string{"x", "a"}}, []string{"g/a1", "g/a2"}},
	} {
		tail, err := s.Tail(c.q)
		ok(t, err)
		for _, g := range []string{"g", "h"} {
			for _, st := range []string{"a1", "a2", "b"} {
				putMany(t, s, g, st, 2, s.now())
			}
		}
		for _, want := range c.want {
			a := <-tail.C
			if got := a.Group + "/" + a.Stream; got != want || len(a.Events) != 2 || a.Events[1].Message != "event 1" {
				t.Errorf("%s: %s where %s should be: %v", name, got, want, a.Events)
			}
			tail.Release(a)
		}
		if len(tail.C) != 0 {
			t.Errorf("%s: more than wanted came", name)
		}
		tail.Close()
	}
	if s.tail.watched(1) {
		t.Error("a closed tail is still known")
	}
}

// TestSlowTailLoses has a watcher that never reads: writers go on, its queue stays bounded, and what it lost is counted.
func TestSlowTailLoses(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, Config{Dir: t.TempDir()})
	ok(t, s.CreateGroup(ctx, Group{Name: "g"}))
	ok(t, s.CreateStream(ctx, "g", "s"))
	tail, err := s.Tail(TailQuery{Groups: []string{"g"}})
	ok(t, err)
	defer tail.Close()
	const batches, batch = 40, 20
	long := strings.Repeat("x", 40_000)
	for range batches {
		in := make([]Input, batch)
		for i := range in {
			in[i] = Input{s.now(), long}
		}
		slices.SortFunc(in, func(a, b Input) int { return int(a.Time - b.Time) })
		_, err := s.Put(ctx, "g", "s", in)
		ok(t, err)
	}
	var got, bytes int64
	for len(tail.C) > 0 {
		a := <-tail.C
		got += int64(len(a.Events))
		bytes += a.bytes
		tail.Release(a)
	}
	if lost := tail.Lost(); lost == 0 || got+lost != batches*batch || bytes > tailBytes {
		t.Errorf("%d came (%d bytes), %d were lost, of %d", got, bytes, lost, batches*batch)
	}
	putMany(t, s, "g", "s", 1, s.now())
	if a := <-tail.C; len(a.Events) != 1 || tail.Lost() != 0 {
		t.Error("a tail that reads again does not go on")
	}
}
