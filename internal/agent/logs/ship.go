package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// shipment sends one container's output. One goroutine reads, sends and notes how far it came, in turn: what is in memory
// is one batch, whatever the server does.
type shipment struct {
	cfg        Config
	path       string
	cursorPath string
	log        *slog.Logger
	dest       target
	released   func()

	// The goroutine's own.
	follow   *follower
	assemble assembler
	batch    batch
	decoder  decoder
	lastPut  time.Time
	lastLine time.Time
	lastTime time.Time // of a line, by the container's clock; at first now
	lost     string    // what is to be told before the next line
	bad      int
	at       position // behind what was sent
	unsaved  bool     // what was sent is not in the cursor, for want of room on the disk

	wake   chan struct{}
	drain  chan struct{}
	done   chan struct{} // closed when the goroutine has ended
	cancel context.CancelFunc

	once sync.Once // closes drain

	// result is good once done is closed: nil if all was sent.
	result error
}

var _ Shipment = (*shipment)(nil)

var errClosed = errors.New("the shipment was closed before all output was sent")

// plan is what a shipment is made of beside the shipper's configuration.
type plan struct {
	path, cursorPath string
	dest             target
	shape            shape
	multiline        *regexp.Regexp
	at               cursor
	log              *slog.Logger
	// drain is closed when the container has ended.
	drain chan struct{}
}

func newShipment(cfg Config, p plan) *shipment {
	s := &shipment{
		cfg: cfg, path: p.path, cursorPath: p.cursorPath, dest: p.dest, assemble: p.at.Pending, at: p.at.Position, log: p.log,
		lastTime: time.Now(), wake: make(chan struct{}, 1), drain: p.drain, done: make(chan struct{}),
	}
	s.assemble.multiline, s.assemble.shape = p.multiline, p.shape
	return s
}

// start opens the file and starts the goroutine.
func (s *shipment) start() error {
	var err error
	if s.follow, err = newFollower(s.path, s.at); err != nil {
		return err
	}
	// Without being told of changes, polling is left.
	unwatch, err := s.cfg.watch.add(s.path, s.notify)
	if err != nil {
		s.log.Warn("cannot watch a log file; it is looked at once a second", "error", err)
		s.cfg.Poll = min(s.cfg.Poll, time.Second)
		unwatch = func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		defer close(s.done)
		defer s.released()
		defer s.follow.close()
		defer s.dest.close()
		defer unwatch()
		s.result = s.run(ctx)
		cancel()
	}()
	return nil
}

// notify says that the file may have changed.
func (s *shipment) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *shipment) Drain(ctx context.Context) error {
	s.once.Do(func() { close(s.drain) })
	select {
	case <-s.done:
		return s.result
	case <-ctx.Done():
		return fmt.Errorf("output was not all sent: %w", ctx.Err())
	}
}

func (s *shipment) Close() {
	s.cancel()
	<-s.done
}

// run ends with nil when everything is sent after a drain, or with an error if not.
func (s *shipment) run(ctx context.Context) error {
	retry := time.Duration(0)
	for {
		last := s.draining() // before we look: what is written before the drain is read
		sent, err := s.round(ctx)
		switch {
		case ctx.Err() != nil:
			return errClosed
		case errors.Is(err, errGone) || errors.Is(err, errGivenUp):
			return err
		case err != nil: // of the file or the cursor: the disk
			s.log.Error("cannot ship output; trying again", "error", err)
			retry = min(max(2*retry, s.cfg.RetryMin), s.cfg.RetryMax)
		case sent:
			retry = 0
			continue
		case last:
			s.placeLost(time.Now())
			if s.assemble.flush(); len(s.assemble.Queue) == 0 {
				return nil
			}
			continue
		default:
			retry = 0
		}
		if !s.wait(ctx, retry) {
			return errClosed
		}
	}
}

// round sends a batch of what there is, and says whether there was anything.
func (s *shipment) round(ctx context.Context) (sent bool, err error) {
	full, err := s.collect()
	if err == nil && !full && len(s.batch.events) > 0 {
		s.pause(ctx)
		_, err = s.collect()
	}
	switch {
	case err != nil:
		return false, err
	case len(s.batch.events) > 0:
		return true, s.put(ctx)
	case s.unsaved:
		return false, s.save()
	}
	return false, nil
}

// collect reads lines into the batch until it is full or there are no more.
func (s *shipment) collect() (full bool, err error) {
	for {
		if !s.fromQueue() {
			return true, nil
		}
		line, err := s.follow.next()
		if s.follow.lost.found {
			s.reportLost()
		}
		switch {
		case errors.Is(err, io.EOF):
			s.follow.idle()
			s.reportBad()
			return !s.fromQueue(), nil
		case errors.Is(err, errRecord):
			s.bad++
			continue
		case err != nil:
			return false, err
		}
		s.decodeLine(line)
	}
}

// fromQueue moves events into the batch and says whether all went in.
func (s *shipment) fromQueue() bool {
	for i, e := range s.assemble.Queue {
		if !s.batch.add(e) {
			s.assemble.Queue = s.assemble.Queue[:copy(s.assemble.Queue, s.assemble.Queue[i:])]
			return false
		}
	}
	s.assemble.Queue = s.assemble.Queue[:0]
	return true
}

func (s *shipment) decodeLine(line []byte) {
	r, err := s.decoder.decode(line)
	if err != nil {
		s.bad++
		return
	}
	if r.time.UnixMilli() < 0 { // none, which CloudWatch does not take: that of the line before
		r.time = s.lastTime
	}
	s.lastTime = r.time
	s.placeLost(r.time)
	s.assemble.add(r)
	s.lastLine = time.Now()
}

// reportLost keeps what is to be told of output that was rotated away.
func (s *shipment) reportLost() {
	lost := s.follow.lost
	s.lost = "roadstead: output may have been lost here: its files were rotated away while it could not be sent"
	if lost.files > 0 {
		s.lost = fmt.Sprintf("roadstead: output was lost here, at least %d bytes: it was written faster than it could be sent", lost.bytes)
	}
	s.log.Warn("output was rotated away before it could be sent", "files", lost.files, "bytes", lost.bytes)
	s.follow.lost = gap{}
	s.assemble.flush() // its other half is gone
}

// placeLost puts that line before the first one that is not lost, with the same time.
func (s *shipment) placeLost(at time.Time) {
	if s.lost != "" {
		s.assemble.Queue = append(s.assemble.Queue, event{originAt(at, "stderr"), s.lost})
		s.lost = ""
	}
}

func (s *shipment) reportBad() {
	if s.bad > 0 {
		s.log.Warn("lines of a log file could not be read", "lines", s.bad)
		s.bad = 0
	}
}

// pause keeps batches that are not full apart, so that a busy container's lines gather.
func (s *shipment) pause(ctx context.Context) {
	rest := s.cfg.Interval - time.Since(s.lastPut)
	if rest <= 0 {
		return
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.drain:
	case <-timer.C:
	}
}

// put sends the batch and notes how far that is.
func (s *shipment) put(ctx context.Context) error {
	// Before it is sent: a file that is emptied meanwhile is not to be taken for the one that was read.
	at, err := s.follow.position()
	if err != nil { // it was emptied already: the cursor stays, and after a restart the batch would be sent again
		s.log.Warn("how far output was read cannot be told", "error", err)
		at = s.at
	}
	err = s.dest.send(ctx, s.batch.events, func() {
		// Only to know what waits, if it should be lost; an error comes again when the file is read.
		_, _ = s.follow.find()
	})
	if err != nil {
		return err
	}
	s.lastPut = time.Now()
	s.batch.reset()
	s.unsaved, s.at = true, at
	return s.save()
}

// save writes the cursor. The batch must be empty: what is in it is neither sent nor in the cursor.
func (s *shipment) save() error {
	if err := (cursor{Position: s.at, Pending: s.assemble}).save(s.cursorPath); err != nil {
		return err
	}
	s.unsaved = false
	return nil
}

func (s *shipment) draining() bool { return closed(s.drain) }

// wait waits for a change of the file, or for an event of several lines to be complete. It returns false when ctx ends.
func (s *shipment) wait(ctx context.Context, retry time.Duration) bool {
	limit, drain := s.cfg.Poll, s.drain
	if s.assemble.holding() {
		limit = max(s.cfg.MultilineWait-time.Since(s.lastLine), 0)
	}
	if retry > 0 {
		limit, drain = retry, nil
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-drain: // closed: the next round is the last
	case <-s.wake:
	case <-timer.C:
		if s.assemble.holding() && time.Since(s.lastLine) >= s.cfg.MultilineWait {
			s.assemble.endEvent()
		}
	}
	return true
}
