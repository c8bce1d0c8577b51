package logs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"roadstead.dev/roadstead/internal/api/logs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/logstore"
)

var ctx = context.Background()

// call makes a case's function of a handler and its input.
func call[In, Out any](h func(context.Context, *In) (*Out, error), in *In) func() error {
	return func() error { _, err := h(ctx, in); return err }
}

type refusal struct {
	name    string
	do      func() error
	kind    fault.Kind
	message string // what the message contains; the whole of it if it ends in a full stop or a quotation mark
}

const (
	badGroup   = `Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`
	badStream  = `Value 'a:b' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*`
	nullGroup  = `1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null`
	noSuch     = "The specified log group does not exist."
	noStream   = "The specified log stream does not exist."
	badToken   = "The specified nextToken is invalid."
	emptyGroup = `1 validation error detected: Value '' at 'logGroupName' failed to satisfy constraint: Member must have length greater than or equal to 1`
)

func TestRefusals(t *testing.T) {
	store := newStore(t, logstore.Config{})
	s := newService(t, store, nil)
	prepare(t, s)
	before := contents(t, s)
	var cases []refusal
	for _, more := range [][]refusal{groupRefusals(s), tagRefusals(s), streamRefusals(s), putRefusals(s), readRefusals(s), tailRefusals(s)} {
		cases = append(cases, more...)
	}
	for _, c := range cases {
		err := c.do()
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != c.kind || !strings.Contains(f.Message, c.message) {
			t.Errorf("%s: %v, want %s %q", c.name, err, c.kind, c.message)
		}
		if f != nil && len(f.Message) > 20_000 {
			t.Errorf("%s: a message of %d bytes", c.name, len(f.Message))
		}
	}
	if d := cmp.Diff(before, contents(t, s), cmpopts.IgnoreUnexported(types.LogGroup{}, types.LogStream{}, types.FilteredLogEvent{})); d != "" {
		t.Errorf("refused requests changed something:\n%s", d)
	}
}

func prepare(t *testing.T, s *logs.Service) {
	t.Helper()
	for _, name := range []string{"g", "kept"} {
		_, err := s.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name, DeletionProtectionEnabled: aws.Bool(name == "kept"), Tags: map[string]string{"k": "v"}})
		ok(t, err)
	}
	_, err := s.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")})
	ok(t, err)
	_, err = s.PutLogEvents(ctx, put("g", "s", event(0, "hello")))
	ok(t, err)
}

// contents is all that the service shows of its state.
func contents(t *testing.T, s *logs.Service) []any {
	t.Helper()
	groups, err := s.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
	ok(t, err)
	all := []any{groups.LogGroups}
	for _, g := range groups.LogGroups {
		tags, err := s.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: g.LogGroupArn})
		ok(t, err)
		streams, err := s.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g.LogGroupName})
		ok(t, err)
		events, err := s.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: g.LogGroupName})
		ok(t, err)
		all = append(all, tags.Tags, streams.LogStreams, events.Events)
	}
	return all
}

// event is one from so long after now.
func event(after time.Duration, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: aws.Int64(time.Now().Add(after).UnixMilli()), Message: &message}
}

func put(group, stream string, events ...types.InputLogEvent) *cloudwatchlogs.PutLogEventsInput {
	return &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream, LogEvents: events}
}

func groupRefusals(s *logs.Service) []refusal {
	create := func(in cloudwatchlogs.CreateLogGroupInput) func() error { return call(s.CreateLogGroup, &in) }
	describe := func(in cloudwatchlogs.DescribeLogGroupsInput) func() error { return call(s.DescribeLogGroups, &in) }
	retain := func(name string, days *int32) func() error {
		return call(s.PutRetentionPolicy, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &name, RetentionInDays: days})
	}
	const bad = fault.InvalidParameter
	return []refusal{
		{"create: no name", create(cloudwatchlogs.CreateLogGroupInput{}), bad, nullGroup},
		{"create: empty name", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("")}), bad, emptyGroup},
		{"create: bad name", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("a b")}), bad, badGroup},
		{"create: long name", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(strings.Repeat("a", 513))}), bad, "Member must have length less than or equal to 512"},
		{"create: huge name", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(strings.Repeat("é", 1<<20))}), bad, "2 validation errors detected: "},
		{"create: not UTF-8", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("a\xff")}), bad, "regular expression pattern"},
		{"create: AWS's name", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("aws/x")}), bad, "Log groups starting with AWS/ are reserved for AWS."},
		{"create: there already", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("g")}), logstore.AlreadyExists, "The specified log group already exists"},
		{"create: bad class", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("n"), LogGroupClass: "GOLD"}), bad, "Value 'GOLD' at 'logGroupClass' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, INFREQUENT_ACCESS, DELIVERY]"},
		{"create: class not supported", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("n"), LogGroupClass: types.LogGroupClassDelivery}), bad, "The log group class DELIVERY is not supported."},
		{"create: KMS key", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("n"), KmsKeyId: aws.String("arn:aws:kms:x")}), bad, "KMS key"},
		{"create: no tags", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("n"), Tags: map[string]string{}}), bad, "Member must have length greater than or equal to 1"},
		{"create: bad tag", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("n"), Tags: map[string]string{"a?": "v"}}), bad, "Value 'a?' at 'tags.key'"},
		{"create: AWS's tag", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("n"), Tags: map[string]string{"aws:a": "v"}}), bad, "'aws:'"},
		{"create: two wrong", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("a b"), LogGroupClass: "GOLD"}), bad, "2 validation errors detected: " + badGroup + "; Value 'GOLD'"},
		{"delete: no name", call(s.DeleteLogGroup, &cloudwatchlogs.DeleteLogGroupInput{}), bad, nullGroup},
		{"delete: unknown", call(s.DeleteLogGroup, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("n")}), fault.ResourceNotFound, noSuch},
		{"delete: protected", call(s.DeleteLogGroup, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("kept")}), fault.Validation, "deletion protection"},
		{"protect: nothing said", call(s.PutLogGroupDeletionProtection, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: aws.String("kept")}), bad, "Value null at 'deletionProtectionEnabled'"},
		{"protect: unknown", call(s.PutLogGroupDeletionProtection, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: aws.String("n"), DeletionProtectionEnabled: aws.Bool(false)}), fault.ResourceNotFound, noSuch},
		{"retain: no days", retain("g", nil), bad, "Value null at 'retentionInDays'"},
		{"retain: odd days", retain("g", aws.Int32(2)), bad, "Value '2' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [1, 3, 5, 7, 14, "},
		{"retain: zero days", retain("g", aws.Int32(0)), bad, "Value '0' at 'retentionInDays'"},
		{"retain: unknown", retain("n", aws.Int32(1)), fault.ResourceNotFound, noSuch},
		{"unretain: unknown", call(s.DeleteRetentionPolicy, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: aws.String("n")}), fault.ResourceNotFound, noSuch},
		{"describe: limit 0", describe(cloudwatchlogs.DescribeLogGroupsInput{Limit: aws.Int32(0)}), bad, "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"describe: limit 51", describe(cloudwatchlogs.DescribeLogGroupsInput{Limit: aws.Int32(51)}), bad, "Value '51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50"},
		{"describe: bad prefix", describe(cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("a b")}), bad, "'logGroupNamePrefix'"},
		{"describe: prefix and pattern", describe(cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("a"), LogGroupNamePattern: aws.String("b")}), bad, "mutually exclusive"},
		{"describe: token", describe(cloudwatchlogs.DescribeLogGroupsInput{NextToken: aws.String("x")}), bad, badToken},
		{"describe: identifiers and prefix", describe(cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("a"), LogGroupIdentifiers: []string{"g"}}), bad, "cannot be combined"},
		{"describe: unknown identifier", describe(cloudwatchlogs.DescribeLogGroupsInput{LogGroupIdentifiers: []string{"n"}}), fault.ResourceNotFound, noSuch},
	}
}

func tagRefusals(s *logs.Service) []refusal {
	arn := func(name string) *string { return aws.String("arn:aws:logs:us-east-1:000000000000:log-group:" + name) }
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint(i)] = ""
	}
	const bad = fault.InvalidParameter
	return []refusal{
		{"tag: no ARN", call(s.TagResource, &cloudwatchlogs.TagResourceInput{Tags: map[string]string{"a": ""}}), bad, "Value null at 'resourceArn'"},
		{"tag: not an ARN", call(s.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: aws.String("arn:aws:ecs:us-east-1:000000000000:cluster/x"), Tags: map[string]string{"a": ""}}), bad, "not the ARN of a log group"},
		{"tag: other region", call(s.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: aws.String("arn:aws:logs:us-west-2:000000000000:log-group:g"), Tags: map[string]string{"a": ""}}), fault.ResourceNotFound, noSuch},
		{"tag: unknown", call(s.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: arn("n"), Tags: map[string]string{"a": ""}}), fault.ResourceNotFound, noSuch},
		{"tag: none", call(s.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: arn("g")}), bad, "at 'tags'"},
		{"tag: too many", call(s.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: arn("g"), Tags: many}), logs.TooManyTags, "50"},
		{"tag: long value", call(s.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: arn("g"), Tags: map[string]string{"a": strings.Repeat("v", 257)}}), bad, "Member must have length less than or equal to 256"},
		{"tag group: too many", call(s.TagLogGroup, &cloudwatchlogs.TagLogGroupInput{LogGroupName: aws.String("g"), Tags: many}), bad, "more than 50 tags"},
		{"tag group: unknown", call(s.TagLogGroup, &cloudwatchlogs.TagLogGroupInput{LogGroupName: aws.String("n"), Tags: map[string]string{"a": ""}}), fault.ResourceNotFound, noSuch},
		{"untag: no keys", call(s.UntagResource, &cloudwatchlogs.UntagResourceInput{ResourceArn: arn("g")}), bad, "Value null at 'tagKeys'"},
		{"untag: unknown", call(s.UntagResource, &cloudwatchlogs.UntagResourceInput{ResourceArn: arn("n"), TagKeys: []string{"k"}}), fault.ResourceNotFound, noSuch},
		{"untag group: no keys", call(s.UntagLogGroup, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: aws.String("g")}), bad, "at 'tags'"},
		{"list tags: unknown", call(s.ListTagsForResource, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: arn("n")}), fault.ResourceNotFound, noSuch},
		{"list group's tags: unknown", call(s.ListTagsLogGroup, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: aws.String("n")}), fault.ResourceNotFound, noSuch},
	}
}

func streamRefusals(s *logs.Service) []refusal {
	create := func(group, stream string) func() error {
		return call(s.CreateLogStream, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
	}
	describe := func(in cloudwatchlogs.DescribeLogStreamsInput) func() error { return call(s.DescribeLogStreams, &in) }
	const bad = fault.InvalidParameter
	g := aws.String("g")
	return []refusal{
		{"create stream: unknown group", create("n", "s"), fault.ResourceNotFound, noSuch},
		{"create stream: there already", create("g", "s"), logstore.AlreadyExists, "The specified log stream already exists"},
		{"create stream: bad name", create("g", "a:b"), bad, badStream},
		{"create stream: long name", create("g", strings.Repeat("a", 513)), bad, "less than or equal to 512"},
		{"create stream: not UTF-8", create("g", "\xff"), bad, "regular expression pattern"},
		{"delete stream: unknown", call(s.DeleteLogStream, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: g, LogStreamName: aws.String("n")}), fault.ResourceNotFound, noStream},
		{"delete stream: unknown group", call(s.DeleteLogStream, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: aws.String("n"), LogStreamName: aws.String("s")}), fault.ResourceNotFound, noSuch},
		{"describe streams: no group", describe(cloudwatchlogs.DescribeLogStreamsInput{}), bad, "LogGroupName"},
		{"describe streams: two groups", describe(cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g, LogGroupIdentifier: g}), bad, "cannot both"},
		{"describe streams: unknown group", describe(cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("n")}), fault.ResourceNotFound, noSuch},
		{"describe streams: limit", describe(cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g, Limit: aws.Int32(51)}), bad, "'limit'"},
		{"describe streams: order", describe(cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g, OrderBy: "Size"}), bad, "'orderBy'"},
		{"describe streams: prefix by time", describe(cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g, LogStreamNamePrefix: aws.String("s"), OrderBy: types.OrderByLastEventTime}), bad, "Cannot order by LastEventTime with a logStreamNamePrefix."},
		{"describe streams: token", describe(cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g, NextToken: aws.String("e30.x")}), bad, badToken},
		{"describe streams: ARN with asterisk", describe(cloudwatchlogs.DescribeLogStreamsInput{LogGroupIdentifier: aws.String("arn:aws:logs:us-east-1:000000000000:log-group:g:*")}), bad, "'logGroupIdentifier'"},
	}
}

func putRefusals(s *logs.Service) []refusal {
	many := make([]types.InputLogEvent, logstore.MaxBatchEvents+1)
	for i := range many {
		many[i] = event(0, "x")
	}
	big := strings.Repeat("x", 1<<19)
	const bad = fault.InvalidParameter
	with := func(events ...types.InputLogEvent) func() error {
		return call(s.PutLogEvents, put("g", "s", events...))
	}
	return []refusal{
		{"put: nothing", call(s.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{}), bad, "3 validation errors detected: "},
		{"put: unknown group", call(s.PutLogEvents, put("n", "s", event(0, "x"))), fault.ResourceNotFound, noSuch},
		{"put: unknown stream", call(s.PutLogEvents, put("g", "n", event(0, "x"))), fault.ResourceNotFound, noStream},
		{"put: no events", with([]types.InputLogEvent{}...), bad, "at 'logEvents'"},
		{"put: empty list", call(s.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{}}), bad, "at 'logEvents' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"put: too many", with(many...), bad, "Member must have length less than or equal to 10000"},
		{"put: empty message", with(event(0, "")), bad, "Value '' at 'logEvents.1.member.message' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"put: no message", with(types.InputLogEvent{Timestamp: aws.Int64(1)}), bad, "Value null at 'logEvents.1.member.message'"},
		{"put: no time", with(types.InputLogEvent{Message: aws.String("x")}), bad, "Value null at 'logEvents.1.member.timestamp'"},
		{"put: negative time", with(types.InputLogEvent{Timestamp: aws.Int64(-1), Message: aws.String("x")}), bad, "Value '-1' at 'logEvents.1.member.timestamp' failed to satisfy constraint: Member must have value greater than or equal to 0"},
		{"put: out of order", with(event(time.Second, "x"), event(0, "y")), bad, "Log events in a single PutLogEvents request must be in chronological order."},
		{"put: over 24 hours", with(event(-25*time.Hour, "x"), event(0, "y")), bad, "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."},
		{"put: batch too large", with(event(0, big), event(0, big)), bad, "Upload too large: 1048628 bytes exceeds limit of 1048576"},
		{"put: event too large", with(event(0, big+big)), bad, "Log event too large: 1048602 bytes exceeds limit of 1048576"},
		{"put: empty sequence token", call(s.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{event(0, "x")}, SequenceToken: aws.String("")}), bad, "'sequenceToken'"},
	}
}

func readRefusals(s *logs.Service) []refusal {
	get := func(change func(*cloudwatchlogs.GetLogEventsInput)) func() error {
		in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")}
		change(in)
		return call(s.GetLogEvents, in)
	}
	filter := func(change func(*cloudwatchlogs.FilterLogEventsInput)) func() error {
		in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("g")}
		change(in)
		return call(s.FilterLogEvents, in)
	}
	const bad = fault.InvalidParameter
	return []refusal{
		{"get: no stream", get(func(in *cloudwatchlogs.GetLogEventsInput) { in.LogStreamName = nil }), bad, "Value null at 'logStreamName'"},
		{"get: unknown stream", get(func(in *cloudwatchlogs.GetLogEventsInput) { in.LogStreamName = aws.String("n") }), fault.ResourceNotFound, noStream},
		{"get: unknown group", get(func(in *cloudwatchlogs.GetLogEventsInput) { in.LogGroupName = aws.String("n") }), fault.ResourceNotFound, noSuch},
		{"get: limit", get(func(in *cloudwatchlogs.GetLogEventsInput) { in.Limit = aws.Int32(10_001) }), bad, "Member must have value less than or equal to 10000"},
		{"get: negative time", get(func(in *cloudwatchlogs.GetLogEventsInput) { in.StartTime = aws.Int64(-1) }), bad, "'startTime'"},
		{"get: times reversed", get(func(in *cloudwatchlogs.GetLogEventsInput) { in.StartTime, in.EndTime = aws.Int64(2), aws.Int64(1) }), bad, "startTime"},
		{"get: token", get(func(in *cloudwatchlogs.GetLogEventsInput) { in.NextToken = aws.String("f/123/s") }), bad, badToken},
		{"get: token's form", get(func(in *cloudwatchlogs.GetLogEventsInput) {
			in.NextToken = aws.String("x/" + logstore.Pos{}.ID() + "/s")
		}), bad, badToken},
		{"get: token's end", get(func(in *cloudwatchlogs.GetLogEventsInput) { in.NextToken = aws.String("f/" + logstore.Pos{}.ID()) }), bad, badToken},
		{"filter: no group", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.LogGroupName = nil }), bad, "LogGroupName"},
		{"filter: unknown group", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.LogGroupName = aws.String("n") }), fault.ResourceNotFound, noSuch},
		{"filter: unknown stream", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.LogStreamNames = []string{"s", "n"} }), fault.ResourceNotFound, noStream},
		{"filter: names and prefix", filter(func(in *cloudwatchlogs.FilterLogEventsInput) {
			in.LogStreamNames, in.LogStreamNamePrefix = []string{"s"}, aws.String("s")
		}), bad, "mutually exclusive"},
		{"filter: no names", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.LogStreamNames = []string{} }), bad, "'logStreamNames'"},
		{"filter: 101 names", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.LogStreamNames = make([]string, 101) }), bad, "less than or equal to 100"},
		{"filter: bad name", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.LogStreamNames = []string{"a*"} }), bad, "Value 'a*' at 'logStreamNames.1.member'"},
		{"filter: pattern", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.FilterPattern = aws.String("{ $.a = ") }), bad, "Invalid filter pattern"},
		{"filter: term", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.FilterPattern = aws.String("a.b") }), bad, "Invalid character(s) in term 'a.b'"},
		{"filter: long pattern", filter(func(in *cloudwatchlogs.FilterLogEventsInput) {
			in.FilterPattern = aws.String(strings.Repeat("a", 1025))
		}), bad, "less than or equal to 1024"},
		{"filter: token", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.NextToken = aws.String("AAAA") }), bad, badToken},
		{"filter: times reversed", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.StartTime, in.EndTime = aws.Int64(2), aws.Int64(1) }), bad, "startTime"},
		{"filter: backward from long ago", filter(func(in *cloudwatchlogs.FilterLogEventsInput) { in.StartFromHead = aws.Bool(false) }), bad, "Jan 1, 2024"},
	}
}

func tailRefusals(s *logs.Service) []refusal {
	tail := func(in cloudwatchlogs.StartLiveTailInput) func() error {
		return func() error {
			return s.StartLiveTail(ctx, &in, func(string, any) error { return errors.New("a refused session has begun") })
		}
	}
	const bad = fault.InvalidParameter
	g := "arn:aws:logs:us-east-1:000000000000:log-group:g"
	return []refusal{
		{"tail: no groups", tail(cloudwatchlogs.StartLiveTailInput{}), bad, "Value null at 'logGroupIdentifiers'"},
		{"tail: 11 groups", tail(cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: make([]string, 11)}), bad, "less than or equal to 10"},
		{"tail: unknown group", tail(cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{g + "x"}}), fault.ResourceNotFound, noSuch},
		{"tail: names and prefixes", tail(cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{g}, LogStreamNames: []string{"s"}, LogStreamNamePrefixes: []string{"s"}}), bad, "mutually exclusive"},
		{"tail: streams of two groups", tail(cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{g, "kept"}, LogStreamNames: []string{"s"}}), bad, "single log group"},
		{"tail: pattern", tail(cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{g}, LogEventFilterPattern: aws.String("[")}), bad, "Invalid filter pattern"},
	}
}

// TestTokensBelongToTheirQuestion gives a token to another question than its own.
func TestTokensBelongToTheirQuestion(t *testing.T) {
	s := newService(t, newStore(t, logstore.Config{}), nil)
	prepare(t, s)
	out, err := s.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{Limit: aws.Int32(1)})
	ok(t, err)
	if _, err := s.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("g"), NextToken: out.NextToken}); !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("another prefix: %v", err)
	}
	next, err := s.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{NextToken: out.NextToken})
	ok(t, err)
	if len(next.LogGroups) != 1 || *next.LogGroups[0].LogGroupName != "kept" || next.NextToken != nil {
		t.Errorf("the second page: %+v", next)
	}
}
