// Package kvtest is the suite that every state.KV passes, and a KV that misbehaves on purpose.
package kvtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/state"
)

// Backend is an implementation under test.
type Backend struct {
	// Open gives a KV on empty storage, and a second that another process would have of the same storage; they may be one.
	Open func(t *testing.T) (first, second state.KV)
	// Depose ends the leadership of whoever leads, as the expiry of a lease would, behind the back of the term's owner.
	Depose func(t *testing.T, kv state.KV)
}

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Backend)
	}{
		{"CommitsAreReadBack", commitsAreReadBack},
		{"PagesHaveEverything", pagesHaveEverything},
		{"ACommitHappensOnce", commitHappensOnce},
		{"AGapEndsTheTerm", gapEndsTheTerm},
		{"AtTheLimits", atTheLimits},
		{"OneLeaderAtATime", oneLeaderAtATime},
		{"ADeposedLeaderWritesNothing", deposedWritesNothing},
		{"AResignedTermWritesNothing", resignedWritesNothing},
		{"StoreKeepsEverything", storeKeepsEverything},
		{"StoreUnderLoad", storeUnderLoad},
		{"StoreSurvivesLostLeadership", storeSurvivesLostLeadership},
		{"StoresTakeTurns", storesTakeTurns},
		{"StoreRefusesWhatIsTooLarge", storeRefusesTooLarge},
		{"StoreFillsATransaction", storeFillsATransaction},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
}

func lead(t *testing.T, kv state.KV) (state.Term, int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	term, revision, err := kv.Lead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return term, revision
}

// commit repeats what has no answer, as a Store does: a slow machine may need it.
func commit(t *testing.T, term state.Term, n uint64, ops ...state.Op) int64 {
	t.Helper()
	for {
		revision, err := term.Commit(t.Context(), n, ops)
		refused := (*state.RefusedError)(nil)
		switch {
		case err == nil:
			return revision
		case errors.Is(err, state.ErrLost), errors.As(err, &refused), t.Context().Err() != nil:
			t.Fatalf("commit %d: %v", n, err)
		}
		t.Logf("commit %d is repeated: %v", n, err)
	}
}

func resign(t *testing.T, term state.Term) {
	t.Helper()
	if err := term.Resign(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("resign: %v", err)
	}
}

// all reads everything, two entries a page.
func all(t *testing.T, term state.Term) map[string]string { return paged(t, term, 2) }

// paged reads everything, so many entries a page.
func paged(t *testing.T, term state.Term, limit int) map[string]string {
	t.Helper()
	got, after := map[string]string{}, ""
	for {
		page, err := term.Page(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return got
		}
		for _, e := range page {
			if e.Key <= after {
				t.Fatalf("key %q follows %q", e.Key, after)
			}
			got[e.Key], after = string(e.Value), e.Key
		}
	}
}

func put(k, v string) state.Op { return state.Op{Key: k, Value: []byte(v)} }

func commitsAreReadBack(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	term, began := lead(t, kv)
	if got := all(t, term); len(got) != 0 {
		t.Fatalf("not empty: %v", got)
	}
	one := commit(t, term, 1, put("a/1", "x"), put("a/2", "y"), put("b/1", "z"), put("b/2", ""), put("c/é", "\x00\xff"))
	two := commit(t, term, 2, put("a/1", "xx"), state.Op{Key: "a/2"}, state.Op{Key: "never/was"})
	if !(began <= one && one < two) {
		t.Errorf("revisions %d, %d, %d do not grow", began, one, two)
	}
	want := map[string]string{"a/1": "xx", "b/1": "z", "b/2": "", "c/é": "\x00\xff"}
	if diff := cmp.Diff(want, all(t, term)); diff != "" {
		t.Error(diff)
	}
	resign(t, term)
	next, revision := lead(t, kv)
	defer resign(t, next)
	if revision <= two {
		t.Errorf("a new term begins at %d, the last commit was %d", revision, two)
	}
	if diff := cmp.Diff(want, all(t, next)); diff != "" {
		t.Error(diff)
	}
}

// pagesHaveEverything: keys that lie close together and far apart, and beyond those of every table, in pages of all sizes.
func pagesHaveEverything(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	term, _ := lead(t, kv)
	defer resign(t, term)
	want := map[string]string{}
	n := uint64(0)
	store := func(keys ...string) {
		t.Helper()
		for keys := range slices.Chunk(keys, min(10, kv.Limits().Ops)) {
			var ops []state.Op
			for _, k := range keys {
				ops, want[k] = append(ops, put(k, "of "+k)), "of "+k
			}
			n++
			commit(t, term, n, ops...)
		}
	}
	var keys []string
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("tasks/%08x", uint32(i)*2654435761), fmt.Sprintf("tasks/00ff%04d", i), fmt.Sprint("l/", strings.Repeat("a", i%40), i))
	}
	store(keys...)
	store("z", "\xff", "\xff\xff", "\xff\xff\xff", "0")
	for _, limit := range []int{1, 2, 3, 10, 64, 1000, 5000} {
		if diff := cmp.Diff(want, paged(t, term, limit)); diff != "" {
			t.Errorf("pages of %d: %s", limit, diff)
		}
	}

	// What this term writes behind a page is in the next.
	page, err := term.Page(t.Context(), "", 5000)
	if err != nil {
		t.Fatal(err)
	}
	last := page[len(page)-1].Key
	store(last + "\x00")
	if page, err = term.Page(t.Context(), last, 10); err != nil || len(page) != 1 {
		t.Errorf("%v, %v follow what was the last key", page, err)
	}
}

func commitHappensOnce(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	term, _ := lead(t, kv)
	defer resign(t, term)
	commit(t, term, 1, put("k", "1"))
	first := commit(t, term, 2, put("k", "2"))
	if again := commit(t, term, 2, put("k", "2")); again != first {
		t.Errorf("the same commit has revisions %d and %d", first, again)
	}
	if third := commit(t, term, 3, put("k", "3")); third <= first {
		t.Errorf("revision %d follows %d", third, first)
	}
}

func gapEndsTheTerm(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	term, _ := lead(t, kv)
	commit(t, term, 1, put("k", "1"))
	if _, err := term.Commit(t.Context(), 3, []state.Op{put("k", "3")}); !errors.Is(err, state.ErrLost) {
		t.Errorf("commit 3 after 1: %v", err)
	}
	resign(t, term)
	next, _ := lead(t, kv)
	defer resign(t, next)
	if got := all(t, next)["k"]; got != "1" {
		t.Errorf("k is %q", got)
	}
}

func atTheLimits(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	limits := kv.Limits()
	term, _ := lead(t, kv)
	defer resign(t, term)
	ops := make([]state.Op, min(limits.Ops, 100_000))
	for i := range ops {
		ops[i] = put(fmt.Sprintf("ops/%06d", i), "v")
	}
	commit(t, term, 1, ops...)
	for i := range ops {
		ops[i].Value = nil
	}
	commit(t, term, 2, ops...)
	next := uint64(3)
	if limits.Bytes < 100<<20 {
		next++
		commit(t, term, 3, put("large", strings.Repeat("x", limits.Bytes-len("large")-24)))
	}
	if limits.Ops > len(ops) {
		return // Out of a test's reach.
	}
	tooMany := make([]state.Op, limits.Ops+10)
	for i := range tooMany {
		tooMany[i] = put(fmt.Sprintf("ops/%06d", i), "v")
	}
	_, err := term.Commit(t.Context(), next, tooMany)
	if refused := (*state.RefusedError)(nil); !errors.As(err, &refused) {
		t.Errorf("too many operations: %v", err)
	}
}

func oneLeaderAtATime(t *testing.T, b Backend) {
	first, second := b.Open(t)
	term, _ := lead(t, first)
	commit(t, term, 1, put("k", "1"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := second.Lead(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second one leads, or fails otherwise: %v", err)
	}
	select {
	case <-term.Lost():
		t.Fatal("the first has lost its term")
	default:
	}
	commit(t, term, 2, put("k", "2"))
	got := make(chan state.Term)
	go func() {
		next, _, err := second.Lead(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- next
	}()
	resign(t, term)
	next := <-got
	defer resign(t, next)
	if v := all(t, next)["k"]; v != "2" {
		t.Errorf("k is %q", v)
	}
}

func deposedWritesNothing(t *testing.T, b Backend) {
	first, second := b.Open(t)
	old, _ := lead(t, first)
	commit(t, old, 1, put("k", "1"))
	b.Depose(t, first)
	if _, err := old.Commit(t.Context(), 2, []state.Op{put("k", "old")}); !errors.Is(err, state.ErrLost) {
		t.Errorf("a deposed leader's commit: %v", err)
	}
	term, _ := lead(t, second)
	defer resign(t, term)
	if _, err := old.Commit(t.Context(), 2, []state.Op{put("k", "old")}); !errors.Is(err, state.ErrLost) {
		t.Errorf("a deposed leader's commit: %v", err)
	}
	commit(t, term, 1, put("k2", "new"))
	if diff := cmp.Diff(map[string]string{"k": "1", "k2": "new"}, all(t, term)); diff != "" {
		t.Error(diff)
	}
	select {
	case <-old.Lost():
	default:
		t.Error("the old term does not know that it is over")
	}
}

func resignedWritesNothing(t *testing.T, b Backend) {
	kv, _ := b.Open(t)
	term, _ := lead(t, kv)
	commit(t, term, 1, put("k", "1"))
	resign(t, term)
	resign(t, term)
	if _, err := term.Commit(t.Context(), 2, []state.Op{put("k", "2")}); !errors.Is(err, state.ErrLost) {
		t.Errorf("commit after resigning: %v", err)
	}
	next, _ := lead(t, kv)
	defer resign(t, next)
	if v := all(t, next)["k"]; v != "1" {
		t.Errorf("k is %q", v)
	}
}
