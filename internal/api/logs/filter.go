package logs

import (
	"context"
	"fmt"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/logstore/pattern"
)

// maxStreamNames is how many streams a search or a Live Tail may name.
const maxStreamNames = 100

// backwardSince is the first startTime, 2024-01-01, from which AWS searches backward.
const backwardSince = 1_704_067_200_000

// FilterLogEvents searches a log group in the order of its events' times. A token keeps the direction that it began with. searchedLogStreams is empty, as AWS's is.
func (s *Service) FilterLogEvents(ctx context.Context, in *cloudwatchlogs.FilterLogEventsInput) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	var c checks
	q := logstore.FilterQuery{
		Streams: c.streams(in.LogStreamNames, "logStreamNames"),
		Prefix:  c.Optional(in.LogStreamNamePrefix, "logStreamNamePrefix", streamNameForm),
		Range:   logstore.Range{Start: c.time(in.StartTime, "startTime", 0), End: c.time(in.EndTime, "endTime", math.MaxInt64)},
		Limit:   c.limit(in.Limit, logstore.MaxPageEvents, logstore.MaxPageEvents),
	}
	token := c.Optional(in.NextToken, "nextToken", tokenForm)
	text := c.Optional(in.FilterPattern, "filterPattern", patternForm)
	var err error
	if q.Group, err = s.groupOf(&c, in.LogGroupName, in.LogGroupIdentifier); err != nil {
		return nil, err
	}
	if in.LogStreamNames != nil && in.LogStreamNamePrefix != nil {
		return nil, badParameter("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
	}
	if q.Start > q.End {
		return nil, badParameter("startTime must be less than or equal to endTime.")
	}
	if q.Match, q.Cost, err = matcher(text); err != nil {
		return nil, err
	}
	q.Backward = in.StartFromHead != nil && !*in.StartFromHead
	if q.Backward && token == "" && q.Start < backwardSince {
		return nil, badParameter("startFromHead can be false only when startTime is on or after Jan 1, 2024 00:00:00 UTC.")
	}
	if q.End < math.MaxInt64 {
		q.End++ // events at the end are wanted here, though not by GetLogEvents
	}
	scope := tokenScope("filter", q.Group, q.Streams, q.Prefix, text, q.Start, q.End)
	if token != "" {
		p, err := openToken(token, scope)
		if err != nil {
			return nil, err
		}
		q.After, q.Backward = &logstore.Pos{Time: p.Time, Seq: p.Seq}, p.Back
	}
	page, err := s.store.Filter(ctx, q)
	if err != nil {
		return nil, err
	}
	return filtered(page, q.Backward, scope), nil
}

func filtered(page logstore.FilterPage, back bool, scope string) *cloudwatchlogs.FilterLogEventsOutput {
	out := &cloudwatchlogs.FilterLogEventsOutput{
		Events:             make([]types.FilteredLogEvent, 0, len(page.Events)),
		SearchedLogStreams: []types.SearchedLogStream{},
	}
	for _, e := range page.Events {
		out.Events = append(out.Events, types.FilteredLogEvent{
			EventId:       aws.String(e.ID()),
			LogStreamName: aws.String(e.Stream),
			Timestamp:     aws.Int64(e.Time),
			IngestionTime: aws.Int64(e.Ingested),
			Message:       aws.String(e.Message),
		})
	}
	if page.Next != nil {
		out.NextToken = aws.String(sealToken(place{Time: page.Next.Time, Seq: page.Next.Seq, Back: back}, scope))
	}
	return out
}

// matcher makes a filter of a pattern, nil for an empty one, and gives its cost.
func matcher(text string) (match func([]byte) bool, cost int, err error) {
	if text == "" {
		return nil, 1, nil
	}
	p, err := pattern.Parse(text)
	if err != nil {
		return nil, 0, fault.New(fault.InvalidParameter, "%v", err)
	}
	return p.Match, p.Cost(), nil
}

// streams checks a list of stream names, if it is there.
func (c *checks) streams(names []string, member string) []string {
	if names == nil {
		return nil
	}
	c.Count(len(names), fmt.Sprintf("'[%d names]'", len(names)), member, 1, maxStreamNames)
	for i, n := range names {
		if c.Found() < 10 {
			c.Value(n, fmt.Sprintf("%s.%d.member", member, i+1), streamNameForm)
		}
	}
	return names
}
