package logs

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/uuid"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/wire"
)

// SessionTimeout is the exception with which a Live Tail session ends after its three hours.
const SessionTimeout fault.Kind = "SessionTimeoutException"

// maxTailed is how many events an update carries; of more, a sample is given.
const maxTailed = 500

// StartLiveTail sends what comes in to up to ten log groups as it comes in: a start, then an update each second, empty if
// nothing matched, until the client goes or the session's time is over.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartLiveTail.html
func (s *Service) StartLiveTail(ctx context.Context, in *cloudwatchlogs.StartLiveTailInput, send func(string, any) error) error {
	q, match, err := s.liveTail(in)
	if err != nil {
		return err
	}
	select {
	case s.sessions <- struct{}{}:
		defer func() { <-s.sessions }()
	default:
		return fault.New(fault.LimitExceeded, "There are %d Live Tail sessions already.", cap(s.sessions))
	}
	tail, err := s.store.Tail(q)
	if err != nil {
		return err
	}
	defer tail.Close()
	err = send("sessionStart", &types.LiveTailSessionStart{
		RequestId:             aws.String(wire.RequestID(ctx)),
		SessionId:             aws.String(uuid.NewString()),
		LogGroupIdentifiers:   in.LogGroupIdentifiers,
		LogStreamNames:        in.LogStreamNames,
		LogStreamNamePrefixes: in.LogStreamNamePrefixes,
		LogEventFilterPattern: in.LogEventFilterPattern,
	})
	if err != nil {
		return err
	}
	t := &tailing{tail: tail, match: match, account: s.cfg.Account, stride: 1}
	return t.run(ctx, s.cfg.TailEvery, s.cfg.TailFor, send)
}

func (s *Service) liveTail(in *cloudwatchlogs.StartLiveTailInput) (q logstore.TailQuery, match func([]byte) bool, err error) {
	var c checks
	if in.LogGroupIdentifiers == nil {
		c.Add("null", "logGroupIdentifiers", "Member must not be null")
	} else {
		c.Count(len(in.LogGroupIdentifiers), "'[]'", "logGroupIdentifiers", 1, 10)
	}
	for i, ident := range in.LogGroupIdentifiers {
		c.Value(ident, fmt.Sprintf("logGroupIdentifiers.%d.member", i+1), identifierForm)
	}
	q.Streams = c.streams(in.LogStreamNames, "logStreamNames")
	q.Prefixes = c.streams(in.LogStreamNamePrefixes, "logStreamNamePrefixes")
	text := c.Optional(in.LogEventFilterPattern, "logEventFilterPattern", patternForm)
	if err := c.err(); err != nil {
		return q, nil, err
	}
	if q.Streams != nil && q.Prefixes != nil {
		return q, nil, badParameter("logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.")
	}
	if len(in.LogGroupIdentifiers) > 1 && (q.Streams != nil || q.Prefixes != nil) {
		return q, nil, badParameter("Log streams can be specified only with a single log group.")
	}
	for _, ident := range in.LogGroupIdentifiers {
		name, err := s.identified(ident)
		if err != nil {
			return q, nil, err
		}
		q.Groups = append(q.Groups, name)
	}
	match, _, err = matcher(text)
	return q, match, err
}

// tailing is one session under way.
type tailing struct {
	tail    *logstore.Tail
	match   func([]byte) bool
	account string
	found   []types.LiveTailSessionLogEvent
	matched int // since the last update
	stride  int // one of so many matched events is kept
}

func (t *tailing) run(ctx context.Context, every, long time.Duration, send func(string, any) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	end := time.NewTimer(long)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return fault.New(SessionTimeout, "The Live Tail session has reached its limit of %v.", long)
		case a, ok := <-t.tail.C:
			if !ok {
				return fault.New(fault.Unavailable, "The log store is shutting down.")
			}
			t.take(a)
			t.tail.Release(a)
		case <-tick.C:
			if err := send("sessionUpdate", t.update()); err != nil {
				return err
			}
		}
	}
}

// take keeps what matches. When more than an update carries has come, it keeps every second, every fourth and so on of what
// comes until the next update, so that the sample is spread evenly over all of it.
func (t *tailing) take(a logstore.Arrival) {
	for _, e := range a.Events {
		if t.match != nil && !t.match([]byte(e.Message)) {
			continue
		}
		t.matched++
		if (t.matched-1)%t.stride != 0 {
			continue
		}
		if len(t.found) == maxTailed {
			t.thin()
			if (t.matched-1)%t.stride != 0 {
				continue
			}
		}
		t.found = append(t.found, types.LiveTailSessionLogEvent{
			LogGroupIdentifier: aws.String(t.account + ":" + a.Group),
			LogStreamName:      aws.String(a.Stream),
			Timestamp:          aws.Int64(e.Time),
			IngestionTime:      aws.Int64(e.Ingested),
			Message:            aws.String(e.Message),
		})
	}
}

// thin drops every second of the events kept.
func (t *tailing) thin() {
	for i := range len(t.found) / 2 {
		t.found[i] = t.found[2*i]
	}
	clear(t.found[len(t.found)/2:])
	t.found = t.found[:len(t.found)/2]
	t.stride *= 2
}

// update is what matched since the last one. It is a sample if not all that matched is in it, or if this session was so slow
// that the store passed it by.
func (t *tailing) update() *types.LiveTailSessionUpdate {
	u := &types.LiveTailSessionUpdate{
		SessionMetadata: &types.LiveTailSessionMetadata{Sampled: t.stride > 1 || t.tail.Lost() > 0},
		SessionResults:  t.found,
	}
	if u.SessionResults == nil {
		u.SessionResults = []types.LiveTailSessionLogEvent{}
	}
	t.found, t.matched, t.stride = nil, 0, 1
	return u
}
