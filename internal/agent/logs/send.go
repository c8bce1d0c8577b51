package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
)

var _ target = (*destination)(nil)

// destination is a log stream.
type destination struct {
	client             LogsAPI
	log                *slog.Logger
	group, stream      string
	region             string
	createGroup        bool
	retryMin, retryMax time.Duration

	// draining is closed when the container has ended.
	draining <-chan struct{}
	token    *string
}

// errGone ends the sending of an ended container's output to a log group that was deleted.
var errGone = errors.New("the log group was deleted")

// inRegion signs for the region of the container's configuration.
func (d *destination) inRegion(o *cwl.Options) {
	if d.region != "" {
		o.Region = d.region
	}
}

// create makes the stream, and the group if that was asked for. Both may be there already.
func (d *destination) create(ctx context.Context) error {
	err := d.createStream(ctx)
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) && d.createGroup {
		_, err = d.client.CreateLogGroup(ctx, &cwl.CreateLogGroupInput{LogGroupName: &d.group}, d.inRegion)
		var exists *types.ResourceAlreadyExistsException
		if err != nil && !errors.As(err, &exists) {
			return fmt.Errorf("failed to create Cloudwatch log group: %w", plainError(err))
		}
		err = d.createStream(ctx)
	}
	if err != nil {
		return fmt.Errorf("failed to create Cloudwatch log stream: %w", plainError(err))
	}
	return nil
}

func (d *destination) createStream(ctx context.Context) error {
	_, err := d.client.CreateLogStream(ctx, &cwl.CreateLogStreamInput{LogGroupName: &d.group, LogStreamName: &d.stream}, d.inRegion)
	var exists *types.ResourceAlreadyExistsException
	if errors.As(err, &exists) {
		return nil
	}
	return err
}

// plainError says an AWS error as Docker does: its code and message alone.
func plainError(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return apiError{api}
	}
	return err
}

type apiError struct{ smithy.APIError }

func (e apiError) Error() string { return e.ErrorCode() + ": " + e.ErrorMessage() }
func (e apiError) Unwrap() error { return e.APIError }

// open makes the stream.
func (d *destination) open(ctx context.Context) error { return d.create(ctx) }

func (d *destination) close() {}

// send puts the events in order: the two streams of a container may be written a little out of it.
func (d *destination) send(ctx context.Context, events []event, waiting func()) error {
	slices.SortStableFunc(events, func(x, y event) int { return cmp.Compare(x.Millis, y.Millis) })
	out := make([]types.InputLogEvent, len(events))
	for i := range events {
		out[i] = types.InputLogEvent{Message: &events[i].Text, Timestamp: &events[i].Millis}
	}
	return d.sendAll(ctx, out, waiting)
}

// sendAll delivers events, in order, and tries until it succeeds or ctx ends. waiting is called before each pause. Events
// that the server refuses for what they are, and would refuse for ever, are dropped and told of.
func (d *destination) sendAll(ctx context.Context, events []types.InputLogEvent, waiting func()) error {
	failing := failure{log: d.log, pause: d.retryMin}
	for {
		again, err := d.put(ctx, events)
		if err == nil && !again {
			failing.over()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var invalid *types.InvalidParameterException
		if errors.As(err, &invalid) {
			return d.refused(ctx, events, err, waiting)
		}
		var missing *types.ResourceNotFoundException
		if errors.As(err, &missing) && closed(d.draining) {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		failing.again(err)
		waiting()
		if err := failing.wait(ctx, d.retryMax); err != nil {
			return err
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// refused finds the events of a batch that make the server refuse it, by halves.
func (d *destination) refused(ctx context.Context, events []types.InputLogEvent, cause error, waiting func()) error {
	if len(events) == 1 {
		d.log.Error("the server refuses a line of output; it is dropped", "bytes", len(*events[0].Message), "error", plainError(cause))
		return nil
	}
	half := len(events) / 2
	if err := d.sendAll(ctx, events[:half], waiting); err != nil {
		return err
	}
	return d.sendAll(ctx, events[half:], waiting)
}

// put makes one request. again asks for another without an error that would be worth telling.
func (d *destination) put(ctx context.Context, events []types.InputLogEvent) (again bool, err error) {
	out, err := d.client.PutLogEvents(ctx, &cwl.PutLogEventsInput{
		LogGroupName: &d.group, LogStreamName: &d.stream, LogEvents: events, SequenceToken: d.token,
	}, d.inRegion)
	var (
		accepted *types.DataAlreadyAcceptedException
		token    *types.InvalidSequenceTokenException
		missing  *types.ResourceNotFoundException
	)
	switch {
	case err == nil:
		d.token = out.NextSequenceToken
		d.reportRejected(out.RejectedLogEventsInfo, len(events))
		return false, nil
	case errors.As(err, &accepted):
		d.token = accepted.ExpectedSequenceToken
		return false, nil
	case errors.As(err, &token):
		d.token = token.ExpectedSequenceToken
		return true, nil
	case errors.As(err, &missing): // deleted while we were sending
		if err := d.create(ctx); err != nil {
			return false, err
		}
		return true, nil
	}
	return false, err
}

// reportRejected tells of events that were too old or too new.
func (d *destination) reportRejected(r *types.RejectedLogEventsInfo, n int) {
	if r == nil {
		return
	}
	rejected := 0
	if r.TooNewLogEventStartIndex != nil {
		rejected += n - int(*r.TooNewLogEventStartIndex)
	}
	var old int32
	for _, end := range []*int32{r.TooOldLogEventEndIndex, r.ExpiredLogEventEndIndex} {
		if end != nil {
			old = max(old, *end)
		}
	}
	if rejected += int(old); rejected > 0 {
		d.log.Warn("the server did not keep lines of output for their time", "events", rejected)
	}
}

// failure tells of a server that does not take the output: once at its beginning, once a minute and at its end.
type failure struct {
	log   *slog.Logger
	since time.Time
	told  time.Time
	pause time.Duration
}

func (f *failure) again(err error) {
	now := time.Now()
	if f.since.IsZero() {
		f.since = now
	}
	if err != nil && now.Sub(f.told) >= time.Minute {
		f.told = now
		f.log.Warn("cannot send output; trying again", "since", f.since, "error", err)
	}
}

func (f *failure) over() {
	if !f.told.IsZero() {
		f.log.Info("output is being sent again", "after", time.Since(f.since))
	}
}
