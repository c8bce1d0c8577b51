package logs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"roadstead.dev/roadstead/internal/api/logs"
	"roadstead.dev/roadstead/internal/logstore"
)

// fill puts n events, one a millisecond up to now, into streams a and b in turn, in batches.
func fill(t testing.TB, c *cloudwatchlogs.Client, n int) (first int64) {
	t.Helper()
	ctx := context.Background()
	_, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/app/web")})
	ok(t, err)
	first = time.Now().UnixMilli() - int64(n)
	for i, stream := range []string{"a", "b"} {
		_, err = c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/app/web"), LogStreamName: &stream})
		ok(t, err)
		var events []types.InputLogEvent
		for j := i; j < n; j += 2 {
			events = append(events, types.InputLogEvent{Timestamp: aws.Int64(first + int64(j)), Message: aws.String(fmt.Sprintf("event %06d", j))})
		}
		for batch := range slices.Chunk(events, 5000) {
			out, err := c.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/app/web"), LogStreamName: &stream, LogEvents: batch})
			ok(t, err)
			if out.RejectedLogEventsInfo != nil || len(aws.ToString(out.NextSequenceToken)) != 56 {
				t.Fatalf("rejected %+v, token %q", out.RejectedLogEventsInfo, aws.ToString(out.NextSequenceToken))
			}
		}
	}
	return first
}

func TestSDKPaginators(t *testing.T) {
	c := client(serve(t, newService(t, newStore(t, logstore.Config{}), nil)))
	ctx := context.Background()
	const n = 25_000
	first := fill(t, c, n)

	next := 0
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(c, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/app/web"), StartTime: aws.Int64(first)})
	seen := map[string]bool{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		ok(t, err)
		for _, e := range page.Events {
			if want := fmt.Sprintf("event %06d", next); *e.Message != want || *e.LogStreamName != []string{"a", "b"}[next%2] || seen[*e.EventId] || len(*e.EventId) != 56 {
				t.Fatalf("event %d is %q of %s, id %s", next, *e.Message, *e.LogStreamName, *e.EventId)
			}
			seen[*e.EventId] = true
			next++
		}
	}
	if next != n {
		t.Errorf("filter gave %d of %d events", next, n)
	}

	next = 1
	stream := cloudwatchlogs.NewGetLogEventsPaginator(c, &cloudwatchlogs.GetLogEventsInput{
		LogGroupIdentifier: aws.String("arn:aws:logs:us-east-1:000000000000:log-group:/app/web"), LogStreamName: aws.String("b"), StartFromHead: aws.Bool(true), Limit: aws.Int32(3000),
	}, func(o *cloudwatchlogs.GetLogEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for stream.HasMorePages() {
		page, err := stream.NextPage(ctx)
		ok(t, err)
		for _, e := range page.Events {
			if want := fmt.Sprintf("event %06d", next); *e.Message != want {
				t.Fatalf("event %d is %q", next, *e.Message)
			}
			next += 2
		}
	}
	if next != n+1 {
		t.Errorf("stream ended at %d of %d", next, n)
	}
}

func TestSDKReadsBackward(t *testing.T) {
	c := client(serve(t, newService(t, newStore(t, logstore.Config{}), nil)))
	fill(t, c, 1000)
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/app/web"), LogStreamName: aws.String("a"), Limit: aws.Int32(150)}
	var got []string
	for {
		page, err := c.GetLogEvents(context.Background(), in)
		ok(t, err)
		var messages []string
		for _, e := range page.Events {
			messages = append(messages, *e.Message)
		}
		got = append(messages, got...)
		if in.NextToken != nil && *in.NextToken == *page.NextBackwardToken {
			break
		}
		in.NextToken = page.NextBackwardToken
	}
	if len(got) != 500 || !slices.IsSorted(got) || got[0] != "event 000000" || got[499] != "event 000998" {
		t.Errorf("%d events, from %q to %q", len(got), got[0], got[len(got)-1])
	}
	// What comes later is after the token that said the end.
	page, err := c.GetLogEvents(context.Background(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/app/web"), LogStreamName: aws.String("a"), Limit: aws.Int32(1)})
	ok(t, err)
	_, err = c.PutLogEvents(context.Background(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/app/web"), LogStreamName: aws.String("a"),
		LogEvents: []types.InputLogEvent{{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String("late")}}})
	ok(t, err)
	page, err = c.GetLogEvents(context.Background(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/app/web"), LogStreamName: aws.String("a"), NextToken: page.NextForwardToken, StartFromHead: aws.Bool(true)})
	ok(t, err)
	if len(page.Events) != 1 || *page.Events[0].Message != "late" {
		t.Errorf("after the end: %+v", page.Events)
	}
}

func TestSDKFiltersBackward(t *testing.T) {
	c := client(serve(t, newService(t, newStore(t, logstore.Config{}), nil)))
	first := fill(t, c, 1000)
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/app/web"), StartTime: aws.Int64(first + 100), EndTime: aws.Int64(first + 899), StartFromHead: aws.Bool(false), Limit: aws.Int32(90)}
	next := 899
	for {
		page, err := c.FilterLogEvents(context.Background(), in)
		ok(t, err)
		for _, e := range page.Events {
			if want := fmt.Sprintf("event %06d", next); *e.Message != want {
				t.Fatalf("%q where %q should be", *e.Message, want)
			}
			next--
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			break
		}
	}
	if next != 99 {
		t.Errorf("ended at %d", next)
	}
}

func TestSDKSeesExceptions(t *testing.T) {
	c := client(serve(t, newService(t, newStore(t, logstore.Config{}), nil)))
	ctx := context.Background()
	fill(t, c, 1)
	_, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/app/web")})
	if e := new(types.ResourceAlreadyExistsException); !errors.As(err, &e) || e.ErrorMessage() != "The specified log group already exists" {
		t.Errorf("second creation: %v", err)
	}
	_, err = c.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("nowhere")})
	if e := new(types.ResourceNotFoundException); !errors.As(err, &e) || e.ErrorMessage() != "The specified log group does not exist." {
		t.Errorf("unknown group: %v", err)
	}
	_, err = c.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/app/web"), FilterPattern: aws.String("{ $.a")})
	if e := new(types.InvalidParameterException); !errors.As(err, &e) {
		t.Errorf("bad pattern: %v", err)
	}
	tags := map[string]string{}
	for i := range 50 {
		tags[fmt.Sprint("k", i)] = "v"
	}
	arn := aws.String("arn:aws:logs:us-east-1:000000000000:log-group:/app/web")
	_, err = c.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: arn, Tags: tags})
	ok(t, err)
	_, err = c.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"more": "v"}})
	if e := new(types.TooManyTagsException); !errors.As(err, &e) || aws.ToString(e.ResourceName) != *arn {
		t.Errorf("51st tag: %v", err)
	}
}

func TestSDKLiveTail(t *testing.T) {
	c := client(serve(t, newService(t, newStore(t, logstore.Config{}), func(cfg *logs.Config) { cfg.TailEvery = 50 * time.Millisecond })))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	fill(t, c, 10)
	out, err := c.StartLiveTail(ctx, &cloudwatchlogs.StartLiveTailInput{
		LogGroupIdentifiers:   []string{"arn:aws:logs:us-east-1:000000000000:log-group:/app/web"},
		LogStreamNamePrefixes: []string{"a"},
		LogEventFilterPattern: aws.String("?wanted ?sought"),
	})
	ok(t, err)
	events := out.GetStream().Events()
	start, isStart := (<-events).(*types.StartLiveTailResponseStreamMemberSessionStart)
	if !isStart || len(aws.ToString(start.Value.SessionId)) != 36 || aws.ToString(start.Value.RequestId) == "" || len(start.Value.LogGroupIdentifiers) != 1 {
		t.Fatalf("the session's start is %+v", start)
	}
	for _, stream := range []string{"b", "a"} {
		_, err = c.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/app/web"), LogStreamName: &stream, LogEvents: []types.InputLogEvent{
			{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String("other")},
			{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String("wanted in " + stream)},
		}})
		ok(t, err)
	}
	for e := range events {
		u, isUpdate := e.(*types.StartLiveTailResponseStreamMemberSessionUpdate)
		if !isUpdate {
			t.Fatalf("event %T", e)
		}
		if len(u.Value.SessionResults) == 0 {
			continue
		}
		r := u.Value.SessionResults[0]
		if len(u.Value.SessionResults) != 1 || *r.Message != "wanted in a" || *r.LogStreamName != "a" || *r.LogGroupIdentifier != account+":/app/web" || u.Value.SessionMetadata.Sampled {
			t.Errorf("update: %+v of %d", r, len(u.Value.SessionResults))
		}
		break
	}
	// Whether Close tells of the read that it cuts off is a race inside the SDK.
	_ = out.GetStream().Close()
}
