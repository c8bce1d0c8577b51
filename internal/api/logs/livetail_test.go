package logs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"roadstead.dev/roadstead/internal/api/logs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/logstore"
)

// tailGroup runs a session on g and gives its updates and its end.
func tailGroup(ctx context.Context, s *logs.Service, pattern string) (<-chan *types.LiveTailSessionUpdate, <-chan error) {
	updates, end := make(chan *types.LiveTailSessionUpdate), make(chan error, 1)
	started := make(chan struct{})
	go func() {
		end <- s.StartLiveTail(ctx, &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"g"}, LogEventFilterPattern: &pattern}, func(name string, event any) error {
			if name == "sessionStart" {
				close(started)
				return nil
			}
			select {
			case updates <- event.(*types.LiveTailSessionUpdate):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	<-started
	return updates, end
}

func TestLiveTailSamples(t *testing.T) {
	s := newService(t, newStore(t, logstore.Config{}), func(c *logs.Config) { c.TailEvery = 100 * time.Millisecond })
	prepare(t, s)
	ctx, cancel := context.WithCancel(ctx)
	updates, end := tailGroup(ctx, s, "wanted")
	var batch []types.InputLogEvent
	for i := range 2000 {
		batch = append(batch, event(0, fmt.Sprintf("wanted %d", i)), event(0, "other"))
		batch[2*i+1].Timestamp = batch[2*i].Timestamp
	}
	for i := range batch {
		batch[i].Timestamp = batch[0].Timestamp
	}
	_, err := s.PutLogEvents(ctx, put("g", "s", batch...))
	ok(t, err)
	for u := range updates {
		n := len(u.SessionResults)
		if n == 0 {
			continue
		}
		if n > 500 || n < 250 || !u.SessionMetadata.Sampled {
			t.Errorf("%d of 2000 in an update, sampled %v", n, u.SessionMetadata.Sampled)
		}
		if first, last := *u.SessionResults[0].Message, *u.SessionResults[n-1].Message; first != "wanted 0" || last < "wanted 1990" {
			t.Errorf("the sample goes from %q to %q", first, last)
		}
		break
	}
	_, err = s.PutLogEvents(ctx, put("g", "s", event(0, "wanted at last")))
	ok(t, err)
	for u := range updates {
		if len(u.SessionResults) == 1 && !u.SessionMetadata.Sampled {
			break
		}
	}
	cancel()
	if err := <-end; !errors.Is(err, context.Canceled) {
		t.Errorf("the session ended with %v", err)
	}
}

func TestLiveTailEndsAfterThreeHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, newStore(t, logstore.Config{SweepEvery: 1000 * time.Hour}), func(c *logs.Config) { c.TailSessions = 1 })
		prepare(t, s)
		begun := time.Now()
		updates, end := tailGroup(ctx, s, "")
		err := s.StartLiveTail(ctx, &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"g"}}, nil)
		if !fault.Is(err, fault.LimitExceeded) {
			t.Errorf("a session too many: %v", err)
		}
		n := 0
		for {
			select {
			case u := <-updates:
				n++
				if len(u.SessionResults) != 0 || u.SessionMetadata.Sampled {
					t.Fatalf("update %+v in a silence", u)
				}
				continue
			case err = <-end:
			}
			break
		}
		if !fault.Is(err, logs.SessionTimeout) || time.Since(begun) != 3*time.Hour || n < 10_799 {
			t.Errorf("ended after %v and %d updates with %v", time.Since(begun), n, err)
		}
		ctx, cancel := context.WithCancel(ctx)
		_, end = tailGroup(ctx, s, "")
		cancel()
		<-end
	})
}
