package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// StreamConfig says where a Stream goes.
type StreamConfig struct {
	Group, Stream string
	// Region is what requests are signed for; empty is the client's.
	Region string
	// CreateGroup makes the group if it is not there.
	CreateGroup bool
}

// maxStreamBytes is how much of a Stream may be on its way, in bytes.
const maxStreamBytes = 1 << 20

// Stream is a log stream to which lines are written as they come, and not by way of a file: those of a session. What a server that
// is away does not take is kept up to a bound, and then Write waits.
type Stream struct {
	dest   destination
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	queue  []types.InputLogEvent
	bytes  int
	rest   []byte // of a line that is not complete
	closed bool
	// more is rung when there is something to send, and room when something was sent.
	more, room chan struct{}
}

// OpenStream makes the stream, and the group if that is asked for. It fails if that cannot be.
func OpenStream(ctx context.Context, cfg Config, to StreamConfig) (*Stream, error) {
	cfg = New(cfg).cfg
	if cfg.Client == nil {
		return nil, errors.New("this node has no server for logs")
	}
	s := &Stream{done: make(chan struct{}), more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	s.dest = destination{
		client: cfg.Client, log: cfg.Log.With("group", to.Group, "stream", to.Stream), retryMin: cfg.RetryMin, retryMax: cfg.RetryMax,
		group: to.Group, stream: to.Stream, region: to.Region, createGroup: to.CreateGroup,
	}
	if err := s.dest.create(ctx); err != nil {
		return nil, err
	}
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go s.send(sending)
	return s, nil
}

// Write takes output; each line of it is an event. It waits while too much is on its way, until Close is called. It is for one
// goroutine at a time.
func (s *Stream) Write(p []byte) (int, error) {
	for written := 0; written < len(p); {
		n, err := s.take(p[written:])
		if written += n; err != nil {
			return written, err
		}
		if written < len(p) {
			<-s.room
		}
	}
	return len(p), nil
}

var errStreamClosed = errors.New("the log stream is closed")

// take takes as many lines as there is room for.
func (s *Stream) take(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		if s.closed {
			return n, errStreamClosed
		}
		if s.bytes >= maxStreamBytes {
			return n, nil
		}
		part := p[n:]
		end := bytes.IndexByte(part, '\n')
		complete := end >= 0
		if complete {
			part = part[:end+1]
		}
		part = part[:min(len(part), maxStreamLine-len(s.rest))]
		s.rest = append(s.rest, part...)
		n += len(part)
		if complete || len(s.rest) >= maxStreamLine {
			s.endLine()
		}
	}
	return n, nil
}

// maxStreamLine is where a line is cut into events, in bytes: well below CloudWatch's own bound.
const maxStreamLine = 64 << 10

// endLine queues the line that there is. s.mu is held.
func (s *Stream) endLine() {
	text := bytes.ToValidUTF8(bytes.TrimRight(s.rest, "\r\n"), []byte("�"))
	s.rest = s.rest[:0]
	if len(text) == 0 { // CloudWatch takes no empty events
		return
	}
	s.queue = append(s.queue, types.InputLogEvent{Message: aws.String(string(text)), Timestamp: aws.Int64(time.Now().UnixMilli())})
	s.bytes += len(text) + eventOverhead
	ring(s.more)
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// send sends what is queued, until it is closed and nothing is left, or ctx ends.
func (s *Stream) send(ctx context.Context) {
	defer close(s.done)
	for {
		s.mu.Lock()
		events := s.queue[:min(len(s.queue), batchEvents/10)]
		over := s.closed
		s.mu.Unlock()
		if len(events) == 0 {
			if over {
				return
			}
			select {
			case <-s.more:
			case <-ctx.Done():
				return
			}
			continue
		}
		events, size := fitting(events)
		if err := s.dest.sendAll(ctx, events, func() {}); err != nil {
			return // what is left is told by Close
		}
		s.mu.Lock()
		s.queue = s.queue[len(events):]
		s.bytes -= size
		s.mu.Unlock()
		ring(s.room)
	}
}

// fitting is as much of events as one request may have.
func fitting(events []types.InputLogEvent) ([]types.InputLogEvent, int) {
	size := 0
	for i := range events {
		more := len(*events[i].Message) + eventOverhead
		if i > 0 && size+more > batchBytes {
			return events[:i], size
		}
		size += more
	}
	return events, size
}

// Close sends what is left, until ctx ends. An error says how much is lost.
func (s *Stream) Close(ctx context.Context) error {
	s.mu.Lock()
	if len(s.rest) > 0 {
		s.endLine()
	}
	s.closed = true
	s.mu.Unlock()
	ring(s.more)
	ring(s.room)
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	s.cancel()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 {
		return fmt.Errorf("%d events are lost: %w", len(s.queue), ctx.Err())
	}
	return nil
}
