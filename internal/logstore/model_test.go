package logstore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
	"roadstead.dev/roadstead/internal/fault"
)

// model is what a Store means, said simply: everything in a list, in the order of arrival.
type model struct {
	groups map[string]*modelGroup
}

type modelGroup struct {
	retention int
	streams   map[string]*modelStream
	events    []Event // of live streams, sorted by position without Seq, which is arrival
}

type modelStream struct{ st Stream }

// visible is the group's unexpired events within the range.
func (g *modelGroup) visible(now int64, r Range, wants func(string) bool) []Event {
	var out []Event
	for _, e := range g.events {
		if e.Time >= r.Start && e.Time < r.End && wants(e.Stream) && (g.retention == 0 || e.Time >= now-int64(g.retention)*day) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int { return int(a.Time - b.Time) })
	return out
}

// machine runs a store and the model side by side.
type machine struct {
	t     *rapid.T
	dir   string
	clock *clock
	s     *Store
	stop  func()
	m     model
	n     int
}

var someStream = rapid.SampledFrom([]string{"s", "s1", "s2", "t"})

// oneOf picks a name, mostly one that is there.
func oneOf[V any](t *rapid.T, what string, there map[string]V, all ...string) string {
	known := slices.Sorted(maps.Keys(there))
	if len(known) > 0 && rapid.IntRange(0, 9).Draw(t, "known "+what) > 0 {
		all = known
	}
	return rapid.SampledFrom(all).Draw(t, what)
}

func (m *machine) group(t *rapid.T) string { return oneOf(t, "group", m.m.groups, "g1", "g2", "g2/x") }

func (m *machine) stream(t *rapid.T) (group, stream string) {
	group = m.group(t)
	var there map[string]*modelStream
	if g := m.m.groups[group]; g != nil {
		there = g.streams
	}
	return group, oneOf(t, "stream", there, "s", "s1", "s2", "t")
}

func (m *machine) start() {
	s, err := Open(Config{Dir: m.dir, Now: m.clock.now, ReserveBytes: 1 << 20, MemTableBytes: 1 << 20})
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	m.s, m.stop = s, func() {
		cancel()
		if err := <-done; err != nil {
			m.t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			m.t.Fatal(err)
		}
	}
}

// same checks that the store refused what the model refuses.
func (m *machine) same(what string, err error, want fault.Kind) {
	if want == "" && err != nil || want != "" && !fault.Is(err, want) {
		m.t.Fatalf("%s: %v, want %q", what, err, want)
	}
}

func (m *machine) createGroup(t *rapid.T) {
	name := rapid.SampledFrom([]string{"g1", "g2", "g2/x"}).Draw(t, "group")
	err := m.s.CreateGroup(context.Background(), Group{Name: name, Class: "STANDARD"})
	if m.m.groups[name] != nil {
		m.same("create group", err, AlreadyExists)
		return
	}
	m.same("create group", err, "")
	m.m.groups[name] = &modelGroup{streams: map[string]*modelStream{}}
}

func (m *machine) deleteGroup(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "spared") > 0 {
		t.Skip("spared")
	}
	name := m.group(t)
	err := m.s.DeleteGroup(context.Background(), name)
	if m.m.groups[name] == nil {
		m.same("delete group", err, fault.ResourceNotFound)
		return
	}
	m.same("delete group", err, "")
	delete(m.m.groups, name)
}

func (m *machine) retain(t *rapid.T) {
	name, days := m.group(t), rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "days")
	err := m.s.UpdateGroup(context.Background(), name, func(g *Group) error { g.Retention = days; return nil })
	g := m.m.groups[name]
	if g == nil {
		m.same("retain", err, fault.ResourceNotFound)
		return
	}
	m.same("retain", err, "")
	// What expired is gone for good once it has been swept; sweep in both, so that a longer retention does not bring it back.
	g.retention = days
	m.sweep(t)
}

func (m *machine) createStream(t *rapid.T) {
	group, name := m.group(t), someStream.Draw(t, "stream")
	err := m.s.CreateStream(context.Background(), group, name)
	g := m.m.groups[group]
	switch {
	case g == nil:
		m.same("create stream", err, fault.ResourceNotFound)
	case g.streams[name] != nil:
		m.same("create stream", err, AlreadyExists)
	default:
		m.same("create stream", err, "")
		g.streams[name] = &modelStream{Stream{Name: name, Created: m.clock.ms}}
	}
}

func (m *machine) deleteStream(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "spared") > 0 {
		t.Skip("spared")
	}
	group, name := m.stream(t)
	err := m.s.DeleteStream(context.Background(), group, name)
	g := m.m.groups[group]
	if g == nil || g.streams[name] == nil {
		m.same("delete stream", err, fault.ResourceNotFound)
		return
	}
	m.same("delete stream", err, "")
	delete(g.streams, name)
	g.events = slices.DeleteFunc(g.events, func(e Event) bool { return e.Stream == name })
}

func (m *machine) put(t *rapid.T) {
	group, name := m.stream(t)
	offsets := rapid.SliceOfN(rapid.Int64Range(-20*day, day), 1, 3).Draw(t, "offsets")
	if rapid.IntRange(0, 5).Draw(t, "recent") > 0 {
		offsets = rapid.SliceOfN(rapid.Int64Range(-20, 20), 1, 20).Draw(t, "offsets")
	}
	slices.Sort(offsets)
	var in []Input
	for _, o := range offsets {
		m.n++
		in = append(in, Input{m.clock.ms + o, fmt.Sprintf("event %d %s", m.n, strings.Repeat("x", m.n%50))})
	}
	res, err := m.s.Put(context.Background(), group, name, in)
	var kept []Input
	for _, e := range in {
		if e.Time >= m.clock.ms-maxAge && e.Time <= m.clock.ms+maxAhead {
			kept = append(kept, e)
		}
	}
	if len(kept) > 0 && kept[len(kept)-1].Time-kept[0].Time > day {
		m.same("put", err, fault.InvalidParameter)
		return
	}
	g := m.m.groups[group]
	if g == nil || g.streams[name] == nil {
		m.same("put", err, fault.ResourceNotFound)
		return
	}
	m.same("put", err, "")
	kept = slices.DeleteFunc(kept, func(e Input) bool { return g.retention > 0 && e.Time < m.clock.ms-int64(g.retention)*day })
	if got := len(in) - max(res.TooOld, res.Expired) - res.TooNew; got != len(kept) {
		t.Fatalf("kept %d of %d, want %d: %+v", got, len(in), len(kept), res)
	}
	g.keep(name, kept, m.clock.ms)
}

func (g *modelGroup) keep(name string, kept []Input, now int64) {
	st := &g.streams[name].st
	for _, e := range kept {
		if st.Count == 0 || e.Time < st.First {
			st.First = e.Time
		}
		st.Last = max(st.Last, e.Time)
		st.Count++
		st.Ingested = now
		g.events = append(g.events, Event{Pos: Pos{Time: e.Time}, Stream: name, Ingested: now, Message: e.Message})
	}
}

func (m *machine) sweep(*rapid.T) {
	if err := m.s.Sweep(context.Background()); err != nil {
		m.t.Fatal(err)
	}
	for _, g := range m.m.groups {
		if g.retention > 0 {
			g.events = slices.DeleteFunc(g.events, func(e Event) bool { return e.Time < m.clock.ms-int64(g.retention)*day })
		}
	}
}

func (m *machine) wait(t *rapid.T) {
	m.clock.ms += rapid.SampledFrom([]int64{1, 1000, day / 2, day}).Draw(t, "wait")
}

func (m *machine) reopen(*rapid.T) {
	m.stop()
	m.start()
}

var eventDiff = cmpopts.IgnoreFields(Pos{}, "Seq")

// read compares one stream, read page by page in a random direction.
func (m *machine) read(t *rapid.T) {
	group, name := m.stream(t)
	r := m.someRange(t)
	q := ReadQuery{Group: group, Stream: name, Range: r, Limit: rapid.IntRange(1, 20).Draw(t, "limit"), Tail: rapid.Bool().Draw(t, "tail")}
	var got []Event
	for {
		page, err := m.s.Read(context.Background(), q)
		g := m.m.groups[group]
		if g == nil || g.streams[name] == nil {
			m.same("read", err, fault.ResourceNotFound)
			return
		}
		m.same("read", err, "")
		if len(page) == 0 {
			break
		}
		if q.Tail {
			got = append(slices.Clone(page), got...)
			q.Before = &page[0].Pos
		} else {
			got = append(got, page...)
			q.After = &page[len(page)-1].Pos
		}
	}
	want := m.m.groups[group].visible(m.clock.ms, r, func(s string) bool { return s == name })
	if d := cmp.Diff(want, got, eventDiff, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("read %s %s (-want +got):\n%s", group, name, d)
	}
}

func (m *machine) someRange(t *rapid.T) Range {
	if rapid.IntRange(0, 3).Draw(t, "bounded") > 0 {
		return Always
	}
	start := m.clock.ms + rapid.Int64Range(-30, 30).Draw(t, "start")
	return Range{start, start + rapid.Int64Range(0, 30).Draw(t, "length")}
}

// filter compares a search of a whole group, or of chosen streams, in a random direction.
func (m *machine) filter(t *rapid.T) {
	group := m.group(t)
	q := FilterQuery{Group: group, Range: m.someRange(t), Limit: rapid.IntRange(1, 20).Draw(t, "limit"), Backward: rapid.Bool().Draw(t, "backward")}
	wants := func(string) bool { return true }
	switch rapid.IntRange(0, 2).Draw(t, "streams") {
	case 1:
		q.Streams = rapid.SliceOfN(someStream, 1, 3).Draw(t, "names")
		wants = func(s string) bool { return slices.Contains(q.Streams, s) }
	case 2:
		q.Prefix = rapid.SampledFrom([]string{"s", "s1", "u"}).Draw(t, "prefix")
		wants = func(s string) bool { return strings.HasPrefix(s, q.Prefix) }
	}
	digit := rapid.SampledFrom([]string{"", "1", "xx"}).Draw(t, "match")
	q.Match = func(b []byte) bool { return strings.Contains(string(b), digit) }
	g := m.m.groups[group]
	refused := fault.Kind("")
	if g == nil || slices.ContainsFunc(q.Streams, func(s string) bool { return g.streams[s] == nil }) {
		refused = fault.ResourceNotFound
	}
	var got []Event
	for {
		page, err := m.s.Filter(context.Background(), q)
		m.same("filter", err, refused)
		got = append(got, page.Events...)
		if q.After = page.Next; q.After == nil {
			break
		}
	}
	if refused != "" {
		return
	}
	want := slices.DeleteFunc(g.visible(m.clock.ms, q.Range, wants), func(e Event) bool { return !strings.Contains(e.Message, digit) })
	if q.Backward {
		slices.Reverse(want)
	}
	if d := cmp.Diff(want, got, eventDiff, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("filter %+v (-want +got):\n%s", q, d)
	}
}

// describe compares the lists of groups and of streams.
func (m *machine) describe(t *rapid.T) {
	var names []string
	q := GroupQuery{Limit: rapid.IntRange(1, 3).Draw(t, "limit")}
	for more := true; more; {
		var groups []Group
		var err error
		groups, more, err = m.s.Groups(q)
		m.same("groups", err, "")
		for _, g := range groups {
			names = append(names, g.Name)
			m.bytes(g)
			q.After = g.Name
		}
	}
	var want []string
	for name := range m.m.groups {
		want = append(want, name)
		m.streams(t, name)
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Fatalf("groups %v, want %v", names, want)
	}
}

// bytes holds what the group is said to hold against what it shows and what expired but is not swept.
func (m *machine) bytes(g Group) {
	var want int64
	for _, e := range m.m.groups[g.Name].events {
		want += int64(len(e.Message)) + EventOverhead
	}
	if g.Bytes != want {
		m.t.Fatalf("group %s has %d bytes, want %d", g.Name, g.Bytes, want)
	}
}

func (m *machine) streams(t *rapid.T, group string) {
	q := StreamQuery{Group: group, ByTime: rapid.Bool().Draw(t, "by time"), Descending: rapid.Bool().Draw(t, "descending"), Limit: rapid.IntRange(1, 4).Draw(t, "limit")}
	var got, want []Stream
	for more := true; more; {
		page, m2, err := m.s.Streams(q)
		m.same("streams", err, "")
		got, more = append(got, page...), m2
		if len(page) > 0 {
			q.After = &StreamMark{page[len(page)-1].Last, page[len(page)-1].Name}
		}
	}
	for _, st := range m.m.groups[group].streams {
		st.st.Bytes = 0
		for _, e := range m.m.groups[group].events {
			if e.Stream == st.st.Name {
				st.st.Bytes += int64(len(e.Message)) + EventOverhead
			}
		}
		want = append(want, st.st)
	}
	slices.SortFunc(want, func(a, b Stream) int {
		c := strings.Compare(a.Name, b.Name)
		if q.ByTime && a.Last != b.Last {
			c = int(a.Last - b.Last)
		}
		if q.Descending {
			c = -c
		}
		return c
	})
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Stream{}, "ID"), cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("streams of %s (-want +got):\n%s", group, d)
	}
}

func TestStoreIsItsModel(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{t: t, dir: dir, clock: &clock{1_700_000_000_000}, m: model{groups: map[string]*modelGroup{}}}
		m.start()
		defer func() { m.stop() }()
		for range 2 {
			m.createGroup(t)
		}
		for range 6 {
			m.createStream(t)
		}
		for range 8 {
			m.put(t)
		}
		t.Repeat(map[string]func(*rapid.T){
			"createGroup": m.createGroup, "deleteGroup": m.deleteGroup, "retain": m.retain,
			"createStream": m.createStream, "deleteStream": m.deleteStream,
			"put": m.put, "put2": m.put, "put3": m.put, "put4": m.put, "sweep": m.sweep, "wait": m.wait, "reopen": m.reopen,
			"read": m.read, "read2": m.read, "filter": m.filter, "filter2": m.filter, "describe": m.describe,
		})
		// Once swept, nothing of the deleted is on the disk.
		m.sweep(t)
		if err := m.s.scan([]byte{tagDead}, func(k, _ []byte) error { return fmt.Errorf("%q is still dead", k) }); err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, g := range m.m.groups {
			want += len(g.events)
		}
		for _, tag := range []byte{tagEvent, tagIndex} {
			n := 0
			if err := m.s.scan([]byte{tag}, func(_, _ []byte) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			if n != want {
				t.Fatalf("%d keys %q on the disk, want %d", n, tag, want)
			}
		}
	})
}
