package logs

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"roadstead.dev/roadstead/internal/logstore"
)

// CreateLogStream makes a log stream.
func (s *Service) CreateLogStream(ctx context.Context, in *cloudwatchlogs.CreateLogStreamInput) (*cloudwatchlogs.CreateLogStreamOutput, error) {
	var c checks
	group := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	stream := c.Text(in.LogStreamName, "logStreamName", streamNameForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := s.store.CreateStream(ctx, group, stream); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.CreateLogStreamOutput{}, nil
}

// DeleteLogStream deletes a log stream with its events.
func (s *Service) DeleteLogStream(ctx context.Context, in *cloudwatchlogs.DeleteLogStreamInput) (*cloudwatchlogs.DeleteLogStreamOutput, error) {
	var c checks
	group := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	stream := c.Text(in.LogStreamName, "logStreamName", streamNameForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := s.store.DeleteStream(ctx, group, stream); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.DeleteLogStreamOutput{}, nil
}

// DescribeLogStreams lists a log group's streams by name or by the time of their last event.
func (s *Service) DescribeLogStreams(_ context.Context, in *cloudwatchlogs.DescribeLogStreamsInput) (*cloudwatchlogs.DescribeLogStreamsOutput, error) {
	var c checks
	q := logstore.StreamQuery{
		Prefix:     c.Optional(in.LogStreamNamePrefix, "logStreamNamePrefix", streamNameForm),
		ByTime:     in.OrderBy == types.OrderByLastEventTime,
		Descending: aws.ToBool(in.Descending),
		Limit:      c.limit(in.Limit, maxDescribed, maxDescribed),
	}
	token := c.Optional(in.NextToken, "nextToken", tokenForm)
	c.Enum(string(in.OrderBy), "orderBy", "LogStreamName", "LastEventTime")
	var err error
	if q.Group, err = s.groupOf(&c, in.LogGroupName, in.LogGroupIdentifier); err != nil {
		return nil, err
	}
	if q.ByTime && in.LogStreamNamePrefix != nil {
		return nil, badParameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	scope := tokenScope("streams", q.Group, q.Prefix, q.ByTime, q.Descending)
	if token != "" {
		p, err := openToken(token, scope)
		if err != nil {
			return nil, err
		}
		q.After = &logstore.StreamMark{Last: p.Time, Name: p.Name}
	}
	streams, more, err := s.store.Streams(q)
	if err != nil {
		return nil, err
	}
	out := &cloudwatchlogs.DescribeLogStreamsOutput{LogStreams: make([]types.LogStream, 0, len(streams))}
	for _, st := range streams {
		out.LogStreams = append(out.LogStreams, s.describedStream(q.Group, st))
	}
	if more {
		last := streams[len(streams)-1]
		out.NextToken = aws.String(sealToken(place{Name: last.Name, Time: last.Last}, scope))
	}
	return out, nil
}

// describedStream leaves out the times of a stream that has had no event. storedBytes is 0, as AWS has it for streams.
func (s *Service) describedStream(group string, st logstore.Stream) types.LogStream {
	d := types.LogStream{
		Arn:           aws.String(s.groupARN(group) + ":log-stream:" + st.Name),
		LogStreamName: aws.String(st.Name),
		CreationTime:  aws.Int64(st.Created),
		//lint:ignore SA1019 CloudWatch Logs still gives a zero
		StoredBytes:         aws.Int64(0),
		UploadSequenceToken: aws.String(sequenceToken(st.ID, st.Count)),
	}
	if st.Count > 0 {
		d.FirstEventTimestamp = aws.Int64(st.First)
		d.LastEventTimestamp = aws.Int64(st.Last)
		d.LastIngestionTime = aws.Int64(st.Ingested)
	}
	return d
}

// sequenceToken is a token of the old kind: given, never asked for. It has 56 digits, as AWS's.
func sequenceToken(stream, count uint64) string {
	return fmt.Sprintf("49%026d%028d", stream, count)
}
