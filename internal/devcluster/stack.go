package devcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// runStack runs parts, each standing on those before it, until ctx ends or one of them does; then it ends them from the
// last to the first, each before the one under it. A part that ends by itself, even without an error, ends the whole.
func runStack(ctx context.Context, log *slog.Logger, parts []part) error {
	type ended struct {
		i   int
		err error
	}
	ends := make(chan ended, len(parts))
	cancels := make([]context.CancelFunc, len(parts))
	done := make([]chan struct{}, len(parts))
	for i, p := range parts {
		var pctx context.Context
		pctx, cancels[i] = context.WithCancel(context.WithoutCancel(ctx))
		done[i] = make(chan struct{})
		go func() {
			defer close(done[i])
			err := p.run(pctx)
			ends <- ended{i, err}
		}()
	}
	var first error
	select {
	case <-ctx.Done():
	case e := <-ends:
		first = e.err
		if first == nil {
			first = errors.New("ended by itself")
		}
		first = fmt.Errorf("%s: %w", parts[e.i].name, first)
	}
	for i := len(parts) - 1; i >= 0; i-- {
		cancels[i]()
		<-done[i]
		log.Debug("stopped", "part", parts[i].name)
	}
	close(ends)
	errs := []error{first}
	for e := range ends {
		if e.err != nil && !errors.Is(e.err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", parts[e.i].name, e.err))
		}
	}
	return errors.Join(errs...)
}
