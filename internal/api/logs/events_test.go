package logs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"roadstead.dev/roadstead/internal/logstore"
)

// TestRejectedEvents has batches of which a part is too old, expired or too new: the rest is stored.
func TestRejectedEvents(t *testing.T) {
	const d = 24 * time.Hour
	for name, c := range map[string]struct {
		retention int32
		after     []time.Duration
		want      *types.RejectedLogEventsInfo
		stored    int
	}{
		"all good":           {0, []time.Duration{-time.Hour, 0, time.Hour}, nil, 3},
		"too old":            {0, []time.Duration{-20 * d, -15 * d, 0}, &types.RejectedLogEventsInfo{TooOldLogEventEndIndex: aws.Int32(2)}, 1},
		"too new":            {0, []time.Duration{0, 3 * time.Hour, 4 * time.Hour}, &types.RejectedLogEventsInfo{TooNewLogEventStartIndex: aws.Int32(1)}, 1},
		"expired":            {3, []time.Duration{-4 * d, -4*d + time.Hour}, &types.RejectedLogEventsInfo{ExpiredLogEventEndIndex: aws.Int32(2)}, 0},
		"expired in part":    {3, []time.Duration{-3*d - time.Hour, -3*d + time.Hour}, &types.RejectedLogEventsInfo{ExpiredLogEventEndIndex: aws.Int32(1)}, 1},
		"old and expired":    {3, []time.Duration{-20 * d, -4 * d, -4*d + time.Hour}, &types.RejectedLogEventsInfo{TooOldLogEventEndIndex: aws.Int32(1), ExpiredLogEventEndIndex: aws.Int32(3)}, 0},
		"at both ends":       {0, []time.Duration{-15 * d, 0, 3 * time.Hour}, &types.RejectedLogEventsInfo{TooOldLogEventEndIndex: aws.Int32(1), TooNewLogEventStartIndex: aws.Int32(2)}, 1},
		"all of it, too new": {0, []time.Duration{5 * d}, &types.RejectedLogEventsInfo{TooNewLogEventStartIndex: aws.Int32(0)}, 0},
	} {
		s := newService(t, newStore(t, logstore.Config{}), nil)
		prepare(t, s)
		_, err := s.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("n")})
		ok(t, err)
		if c.retention > 0 {
			_, err := s.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("g"), RetentionInDays: &c.retention})
			ok(t, err)
		}
		var events []types.InputLogEvent
		for _, after := range c.after {
			events = append(events, event(after, "x"))
		}
		out, err := s.PutLogEvents(ctx, put("g", "n", events...))
		ok(t, err)
		if diff := cmp.Diff(c.want, out.RejectedLogEventsInfo, cmpopts.IgnoreUnexported(types.RejectedLogEventsInfo{})); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		got, err := s.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("n")})
		ok(t, err)
		if len(got.Events) != c.stored {
			t.Errorf("%s: %d events are stored, want %d", name, len(got.Events), c.stored)
		}
	}
}

// TestEmptyStreamHasTokens reads a stream without events: both tokens are there, come back as they are, and find what comes.
func TestEmptyStreamHasTokens(t *testing.T) {
	s := newService(t, newStore(t, logstore.Config{}), nil)
	prepare(t, s)
	_, err := s.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("n")})
	ok(t, err)
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("n")}
	first, err := s.GetLogEvents(ctx, in)
	ok(t, err)
	in.NextToken = first.NextForwardToken
	again, err := s.GetLogEvents(ctx, in)
	ok(t, err)
	if len(first.Events) != 0 || *again.NextForwardToken != *first.NextForwardToken {
		t.Errorf("%d events, tokens %s then %s", len(first.Events), *first.NextForwardToken, *again.NextForwardToken)
	}
	_, err = s.PutLogEvents(ctx, put("g", "n", event(0, "x")))
	ok(t, err)
	if again, err = s.GetLogEvents(ctx, in); err != nil || len(again.Events) != 1 {
		t.Errorf("after the first event: %v, %v", again, err)
	}
}

// TestFilterEndIsInclusive holds what AWS says of endTime: GetLogEvents leaves out events at it, FilterLogEvents does not.
func TestFilterEndIsInclusive(t *testing.T) {
	s := newService(t, newStore(t, logstore.Config{}), nil)
	prepare(t, s)
	e := event(time.Minute, "at the end")
	_, err := s.PutLogEvents(ctx, put("g", "s", e))
	ok(t, err)
	filtered, err := s.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("g"), StartTime: e.Timestamp, EndTime: e.Timestamp})
	ok(t, err)
	got, err := s.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), StartTime: e.Timestamp, EndTime: e.Timestamp})
	ok(t, err)
	if len(filtered.Events) != 1 || len(got.Events) != 0 {
		t.Errorf("filter finds %d, get %d", len(filtered.Events), len(got.Events))
	}
}

func TestDescribeLogStreamsPages(t *testing.T) {
	s := newService(t, newStore(t, logstore.Config{}), nil)
	prepare(t, s)
	for i := range 120 {
		name := fmt.Sprintf("t%03d", i)
		_, err := s.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: &name})
		ok(t, err)
		_, err = s.PutLogEvents(ctx, put("g", name, event(time.Duration(i*7%120)*time.Second, "x")))
		ok(t, err)
	}
	for _, order := range []types.OrderBy{types.OrderByLogStreamName, types.OrderByLastEventTime} {
		in := &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("g"), OrderBy: order, Descending: aws.Bool(true)}
		var got []types.LogStream
		for {
			out, err := s.DescribeLogStreams(ctx, in)
			ok(t, err)
			got = append(got, out.LogStreams...)
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if len(got) != 121 {
			t.Errorf("by %s: %d streams", order, len(got))
		}
		for i := 1; i < len(got); i++ {
			a, b := got[i-1], got[i]
			if order == types.OrderByLogStreamName && *a.LogStreamName <= *b.LogStreamName ||
				order == types.OrderByLastEventTime && *a.LastEventTimestamp < *b.LastEventTimestamp {
				t.Errorf("by %s: %s before %s", order, *a.LogStreamName, *b.LogStreamName)
			}
		}
	}
	one, err := s.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupIdentifier: aws.String("arn:aws:logs:us-east-1:000000000000:log-group:g"), LogStreamNamePrefix: aws.String("t007")})
	ok(t, err)
	if len(one.LogStreams) != 1 || *one.LogStreams[0].Arn != "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:t007" || len(*one.LogStreams[0].UploadSequenceToken) != 56 {
		t.Errorf("one stream: %+v", one.LogStreams)
	}
}
