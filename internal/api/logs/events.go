package logs

import (
	"context"
	"fmt"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/logstore"
)

// PutLogEvents stores a batch of events. Sequence tokens are taken and ignored. An entity is answered as one that is not
// kept, which it is not.
func (s *Service) PutLogEvents(ctx context.Context, in *cloudwatchlogs.PutLogEventsInput) (*cloudwatchlogs.PutLogEventsOutput, error) {
	var c checks
	group := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	stream := c.Text(in.LogStreamName, "logStreamName", streamNameForm)
	c.Optional(in.SequenceToken, "sequenceToken", constraint.Form{Min: 1, Max: math.MaxInt32})
	events := c.events(in.LogEvents)
	if err := c.err(); err != nil {
		return nil, err
	}
	for _, e := range events {
		if len(e.Message) > logstore.MaxBatchBytes-logstore.EventOverhead {
			return nil, badParameter("Log event too large: %d bytes exceeds limit of %d", len(e.Message)+logstore.EventOverhead, logstore.MaxBatchBytes)
		}
	}
	res, err := s.store.Put(ctx, group, stream, events)
	if err != nil {
		return nil, err
	}
	out := &cloudwatchlogs.PutLogEventsOutput{
		NextSequenceToken:     aws.String(sequenceToken(res.Stream, res.Stored)),
		RejectedLogEventsInfo: rejectedInfo(res, len(events)),
	}
	if in.Entity != nil {
		out.RejectedEntityInfo = &types.RejectedEntityInfo{ErrorType: types.EntityRejectionErrorTypeUnsupportedLogGroupType}
	}
	return out, nil
}

// events checks the events of a batch one by one, saying no more than a few things that are wrong.
func (c *checks) events(in []types.InputLogEvent) []logstore.Input {
	if in == nil {
		c.Add("null", "logEvents", "Member must not be null")
		return nil
	}
	c.Count(len(in), fmt.Sprintf("'[%d events]'", len(in)), "logEvents", 1, logstore.MaxBatchEvents)
	if len(in) > logstore.MaxBatchEvents {
		return nil
	}
	events := make([]logstore.Input, 0, len(in))
	for i, e := range in {
		if c.Found() >= 10 {
			break
		}
		member := fmt.Sprintf("logEvents.%d.member.", i+1)
		if e.Timestamp == nil {
			c.Add("null", member+"timestamp", "Member must not be null")
		}
		c.Text(e.Message, member+"message", constraint.Form{Min: 1, Max: math.MaxInt})
		t := c.time(e.Timestamp, member+"timestamp", 0)
		events = append(events, logstore.Input{Time: t, Message: aws.ToString(e.Message)})
	}
	return events
}

func rejectedInfo(res logstore.PutResult, n int) *types.RejectedLogEventsInfo {
	if res.TooNew+res.TooOld+res.Expired == 0 {
		return nil
	}
	info := &types.RejectedLogEventsInfo{}
	if res.TooNew > 0 {
		info.TooNewLogEventStartIndex = aws.Int32(int32(n - res.TooNew))
	}
	if res.TooOld > 0 {
		info.TooOldLogEventEndIndex = aws.Int32(int32(res.TooOld))
	}
	if res.Expired > 0 {
		info.ExpiredLogEventEndIndex = aws.Int32(int32(res.Expired))
	}
	return info
}

// GetLogEvents gives a page of a stream. Its tokens name positions: forward is what follows the page's last event, backward
// what precedes its first. At an end the token that was given comes back, by which clients know that they are there.
func (s *Service) GetLogEvents(ctx context.Context, in *cloudwatchlogs.GetLogEventsInput) (*cloudwatchlogs.GetLogEventsOutput, error) {
	var c checks
	q := logstore.ReadQuery{
		Stream: c.Text(in.LogStreamName, "logStreamName", streamNameForm),
		Range:  logstore.Range{Start: c.time(in.StartTime, "startTime", 0), End: c.time(in.EndTime, "endTime", math.MaxInt64)},
		Tail:   !aws.ToBool(in.StartFromHead),
		Limit:  c.limit(in.Limit, logstore.MaxPageEvents, logstore.MaxPageEvents),
	}
	token := c.Optional(in.NextToken, "nextToken", tokenForm)
	var err error
	if q.Group, err = s.groupOf(&c, in.LogGroupName, in.LogGroupIdentifier); err != nil {
		return nil, err
	}
	if q.Start > q.End {
		return nil, badParameter("startTime must be less than or equal to endTime.")
	}
	here := logstore.Pos{Time: q.Start} // where both tokens stand if there is nothing
	if token != "" {
		p, forward, err := openEventToken(token)
		if err != nil {
			return nil, err
		}
		if here = p; forward {
			q.After = &p
		} else {
			q.Before = &p
		}
	}
	events, err := s.store.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	first, last := here, here
	out := &cloudwatchlogs.GetLogEventsOutput{Events: make([]types.OutputLogEvent, 0, len(events))}
	for _, e := range events {
		out.Events = append(out.Events, types.OutputLogEvent{
			Timestamp: aws.Int64(e.Time), IngestionTime: aws.Int64(e.Ingested), Message: aws.String(e.Message),
		})
	}
	if len(events) > 0 {
		first, last = events[0].Pos, events[len(events)-1].Pos
	}
	out.NextForwardToken, out.NextBackwardToken = aws.String(forwardToken(last)), aws.String(backwardToken(first))
	return out, nil
}
