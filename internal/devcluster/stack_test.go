package devcluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestRunStackEndsInReverse(t *testing.T) {
	var order []string
	started := make(chan struct{}, 3)
	mk := func(name string) part {
		return part{name, func(ctx context.Context) error {
			started <- struct{}{}
			<-ctx.Done()
			order = append(order, name)
			return ctx.Err()
		}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range 3 {
			<-started
		}
		cancel()
	}()
	if err := runStack(ctx, slog.New(slog.DiscardHandler), []part{mk("a"), mk("b"), mk("c")}); err != nil {
		t.Error(err)
	}
	if want := []string{"c", "b", "a"}; !slices.Equal(order, want) {
		t.Errorf("ended in the order %v", order)
	}
}

func TestRunStackFailure(t *testing.T) {
	broken := errors.New("broken")
	wait := part{"wait", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	for _, c := range []struct {
		err  error
		want string
	}{{broken, "bad: broken"}, {nil, "bad: ended by itself"}} {
		err := runStack(t.Context(), slog.New(slog.DiscardHandler), []part{wait, {"bad", func(context.Context) error { return c.err }}, wait})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, not %q", err, c.want)
		}
	}
}
