package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// target is where a container's output goes. It is used by one goroutine at a time.
type target interface {
	// open tries, at a container's first start, whether the target can be reached. Its error fails the start.
	open(ctx context.Context) error
	// send delivers events, in order, and tries until all have arrived or ctx ends. waiting is called before each pause.
	// It may sort events; their texts are only good until it returns.
	send(ctx context.Context, events []event, waiting func()) error
	// close lets go of connections. send may be called again.
	close()
}

// shape is what a target takes as one event.
type shape struct {
	// max is the longest text, in bytes: a longer line is cut.
	max int
	// empty says that empty lines are taken too.
	empty bool
	// pause is the least time before a failed batch is sent again.
	pause time.Duration
}

// protocol is a target that only knows how to try once.
type protocol interface {
	shape() shape
	open(ctx context.Context) error
	// deliver sends events and tells how many of them, from the first on, have arrived or are given up for what is in them.
	// After an error it begins anew: with another connection.
	deliver(ctx context.Context, events []event) (arrived int, err error)
	close()
}

// patient makes a target of a protocol: it tries again.
type patient struct {
	protocol
	log                *slog.Logger
	retryMin, retryMax time.Duration
	hide               hider
	// draining is closed when the container has ended; then a target that fails is given up after giveUp, if that is not 0.
	draining <-chan struct{}
	giveUp   time.Duration
	ended    time.Time
}

// errGivenUp ends the sending of an ended container's output to a target that is gone.
var errGivenUp = errors.New("the log target is gone")

func (p *patient) send(ctx context.Context, events []event, waiting func()) error {
	failing := failure{log: p.log, pause: p.retryMin}
	for {
		n, err := p.deliver(ctx, events)
		if events = events[n:]; err == nil && len(events) == 0 {
			failing.over()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n > 0 {
			failing.pause = p.retryMin
		}
		if err == nil {
			continue
		}
		err = p.hide.error(err)
		if p.over() {
			return fmt.Errorf("%w: %w", errGivenUp, err)
		}
		failing.again(err)
		waiting()
		if err := failing.wait(ctx, p.retryMax); err != nil {
			return err
		}
	}
}

// over tells, of a target that has failed, whether it is to be given up.
func (p *patient) over() bool {
	if p.giveUp == 0 || !closed(p.draining) {
		return false
	}
	if p.ended.IsZero() {
		p.ended = time.Now()
	}
	return time.Since(p.ended) > p.giveUp
}

// wait pauses, each time longer.
func (f *failure) wait(ctx context.Context, longest time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(f.pause/2 + rand.N(f.pause/2+1)):
	}
	f.pause = min(2*f.pause, longest)
	return nil
}

// hider keeps the values of secret options out of errors: an address that is a secret would be in each.
type hider []string

func (h hider) error(err error) error {
	if err == nil || len(h) == 0 {
		return err
	}
	text := err.Error()
	hidden := text
	for _, secret := range h {
		if secret != "" {
			hidden = strings.ReplaceAll(hidden, secret, "*****")
			// As it stands in a text in quotes.
			hidden = strings.ReplaceAll(hidden, strings.Trim(fmt.Sprintf("%q", secret), `"`), "*****")
		}
	}
	if hidden == text {
		return err
	}
	return hiddenError{hidden, err}
}

// hiddenError says less than what it wraps.
type hiddenError struct {
	text string
	err  error
}

func (e hiddenError) Error() string { return e.text }
func (e hiddenError) Unwrap() error { return e.err }

// target makes what speaks to where a driver's output goes.
func (s *Shipper) target(src Source, opts options, log *slog.Logger, drain <-chan struct{}) (target, shape, error) {
	if src.Driver == driverAWSLogs {
		if s.cfg.Client == nil {
			return nil, shape{}, errors.New("this node has no server for logs")
		}
		return &destination{
			client: s.cfg.Client, log: log, retryMin: s.cfg.RetryMin, retryMax: s.cfg.RetryMax, draining: drain,
			group: opts.group, stream: opts.streamName(src), region: opts.region, createGroup: opts.createGroup,
		}, shape{max: eventBytes}, nil
	}
	hide := src.hider()
	p, err := newProtocol(src, func(bytes int, err error) {
		log.Error("the target refuses a line of output; it is dropped", "bytes", bytes, "error", hide.error(err))
	})
	if err != nil {
		return nil, shape{}, err
	}
	takes := p.shape()
	pause := max(s.cfg.RetryMin, takes.pause)
	return &patient{protocol: p, log: log, retryMin: pause, retryMax: max(s.cfg.RetryMax, pause), hide: hide, draining: drain, giveUp: src.GiveUp}, takes, nil
}

func newProtocol(src Source, dropped func(bytes int, err error)) (protocol, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	switch src.Driver {
	case driverFluentd:
		return newFluentd(src)
	case driverSyslog:
		return newSyslog(src, host, dropped)
	case driverGELF:
		return newGELF(src, host, dropped)
	case driverSplunk:
		return newSplunk(src, host, dropped)
	case driverJournald:
		return newJournald(src)
	}
	return nil, fmt.Errorf("logger: no log driver named '%s' is registered", src.Driver)
}
