package logs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// Direct ships output that is in no file: that of simulated containers, which hand it over line by line. Groups, streams,
// options and errors are a Shipper's, but every line is an event. All methods may be called at once from many goroutines.
type Direct struct {
	cfg Config

	mu       sync.Mutex
	attached map[string]*directShipment // by container
}

// NewDirect makes one; only Client, Log, RetryMin and RetryMax of the configuration are used.
func NewDirect(cfg Config) *Direct {
	return &Direct{cfg: New(cfg).cfg, attached: map[string]*directShipment{}}
}

// Attach makes the container's stream and takes its lines from now on, until Close.
func (d *Direct) Attach(ctx context.Context, src Source) (Shipment, error) {
	opts, err := parseOptions(src.Driver, src.Options)
	if err != nil {
		return nil, initError(err)
	}
	if src.Driver != driverAWSLogs {
		return nothing{}, nil
	}
	s := &directShipment{owner: d, container: src.ContainerID, draining: make(chan struct{}), idle: make(chan struct{})}
	close(s.idle)
	s.dest = destination{
		client: d.cfg.Client, log: d.cfg.Log.With("container", src.ContainerName, "task", src.TaskID), retryMin: d.cfg.RetryMin, retryMax: d.cfg.RetryMax,
		group: opts.group, stream: opts.streamName(src), region: opts.region, createGroup: opts.createGroup, draining: s.draining,
	}
	if err := s.dest.create(ctx); err != nil {
		return nil, initError(err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.attached[src.ContainerID] != nil {
		return nil, initError(errAttached)
	}
	d.attached[src.ContainerID] = s
	return s, nil
}

// Write takes a line of a container's output. It does not block; a container that is not attached is not heard.
func (d *Direct) Write(container, line string) {
	d.mu.Lock()
	s := d.attached[container]
	d.mu.Unlock()
	if s != nil && line != "" { // CloudWatch takes no empty events
		s.add(types.InputLogEvent{Message: aws.String(line), Timestamp: aws.Int64(time.Now().UnixMilli())})
	}
}

type directShipment struct {
	owner     *Direct
	container string
	dest      destination
	draining  chan struct{}
	ctx       context.Context
	cancel    context.CancelFunc
	once      sync.Once

	mu    sync.Mutex
	queue []types.InputLogEvent
	// idle is closed while nothing is queued or being sent; err is of the last sending.
	idle    chan struct{}
	sending bool
	err     error
}

// add queues an event, and sends as long as there is something to send.
func (s *directShipment) add(e types.InputLogEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, e)
	if !s.sending {
		s.sending, s.idle = true, make(chan struct{})
		go s.send()
	}
}

func (s *directShipment) send() {
	for {
		s.mu.Lock()
		events := s.queue[:min(len(s.queue), batchEvents/10)]
		s.queue = s.queue[len(events):]
		if len(events) == 0 {
			s.sending = false
			close(s.idle)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if err := s.dest.sendAll(s.ctx, events, func() {}); err != nil {
			s.mu.Lock()
			s.err = fmt.Errorf("output is lost: %w", err)
			s.mu.Unlock()
		}
	}
}

// Drain waits until all lines are sent.
func (s *directShipment) Drain(ctx context.Context) error {
	s.once.Do(func() { close(s.draining) })
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
		return fmt.Errorf("ship the rest of the output: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, context.Canceled) {
		return nil // closed: nobody wants to know
	}
	return s.err
}

// Close stops at once.
func (s *directShipment) Close() {
	s.cancel()
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	delete(s.owner.attached, s.container)
}
