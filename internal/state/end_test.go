package state_test

import (
	"context"
	"testing"
	"testing/synctest"

	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/kvtest"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// slowReads is a KV whose terms but the first give no page before their context ends.
type slowReads struct {
	*memkv.KV
	terms   int
	reading chan struct{}
}

type slowTerm struct {
	state.Term
	reading chan struct{}
}

func (s *slowReads) Lead(ctx context.Context) (state.Term, int64, error) {
	t, revision, err := s.KV.Lead(ctx)
	if s.terms++; s.terms == 1 || err != nil {
		return t, revision, err
	}
	return slowTerm{t, s.reading}, revision, nil
}

func (t slowTerm) Page(ctx context.Context, _ string, _ int) ([]state.Entry, error) {
	close(t.reading)
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// TestEndWhileLeadingAgain: a Store that ends while it reads everything anew gives the leadership back.
func TestEndWhileLeadingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &slowReads{KV: memkv.New(memkv.Unlimited), reading: make(chan struct{})}
		_, stop := kvtest.Start(t, state.Config{KV: kv})
		kv.Depose()
		<-kv.reading
		stop()
		term, _, err := kv.KV.Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := term.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
