package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// server is CloudWatch Logs with its limits. misbehave, if set, is asked before each PutLogEvents: an error is the answer,
// after the events were kept if keep says so.
type server struct {
	mu        sync.Mutex
	groups    map[string]map[string][]event
	puts      int
	arrived   chan struct{} // cap 1
	misbehave func(n int) (err error, keep bool)
	problem   error
}

func newServer(groups ...string) *server {
	s := &server{groups: map[string]map[string][]event{}, arrived: make(chan struct{}, 1)}
	for _, g := range groups {
		s.groups[g] = map[string][]event{}
	}
	return s
}

var (
	errNoGroup = &types.ResourceNotFoundException{Message: aws.String("The specified log group does not exist.")}
	errExists  = &types.ResourceAlreadyExistsException{Message: aws.String("exists")}
	errBusy    = &types.ServiceUnavailableException{Message: aws.String("busy")}
)

func (s *server) CreateLogGroup(_ context.Context, in *cwl.CreateLogGroupInput, _ ...func(*cwl.Options)) (*cwl.CreateLogGroupOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[*in.LogGroupName] != nil {
		return nil, errExists
	}
	s.groups[*in.LogGroupName] = map[string][]event{}
	return &cwl.CreateLogGroupOutput{}, nil
}

func (s *server) CreateLogStream(_ context.Context, in *cwl.CreateLogStreamInput, _ ...func(*cwl.Options)) (*cwl.CreateLogStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[*in.LogGroupName]
	if g == nil {
		return nil, errNoGroup
	}
	if _, ok := g[*in.LogStreamName]; ok {
		return nil, errExists
	}
	g[*in.LogStreamName] = nil
	return &cwl.CreateLogStreamOutput{}, nil
}

func (s *server) PutLogEvents(ctx context.Context, in *cwl.PutLogEventsInput, _ ...func(*cwl.Options)) (*cwl.PutLogEventsOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	var answer error
	if s.misbehave != nil {
		var keep bool
		if answer, keep = s.misbehave(s.puts); answer != nil && !keep {
			return nil, answer
		}
	}
	g := s.groups[*in.LogGroupName]
	if _, ok := g[*in.LogStreamName]; !ok {
		return nil, errNoGroup
	}
	if err := checkLimits(in.LogEvents); err != nil {
		s.problem = errors.Join(s.problem, err)
		return nil, &types.InvalidParameterException{Message: aws.String(err.Error())}
	}
	for _, e := range in.LogEvents {
		g[*in.LogStreamName] = append(g[*in.LogStreamName], event{origin{Millis: *e.Timestamp}, *e.Message})
	}
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	return &cwl.PutLogEventsOutput{}, answer
}

func checkLimits(events []types.InputLogEvent) error {
	if len(events) < 1 || len(events) > 10000 {
		return fmt.Errorf("%d events in a batch", len(events))
	}
	size := 0
	for i, e := range events {
		if len(*e.Message) == 0 || !utf8.ValidString(*e.Message) {
			return fmt.Errorf("bad message %.100q", *e.Message)
		}
		if size += len(*e.Message) + 26; size > 1048576 {
			return errors.New("batch too large")
		}
		if i > 0 && *e.Timestamp < *events[i-1].Timestamp {
			return errors.New("not in order")
		}
	}
	if *events[len(events)-1].Timestamp-*events[0].Timestamp > 24*3600*1000 {
		return errors.New("more than a day")
	}
	return nil
}

// texts is what a stream got.
func (s *server) texts(group, stream string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, e := range s.groups[group][stream] {
		out = append(out, e.Text)
	}
	return out
}

// writer is the runtime's side: a json-file that is rotated.
type writer struct {
	t        testing.TB
	path     string
	maxBytes int64
	maxFiles int
	file     *os.File
	size     int64
	now      time.Time
}

func newWriter(t testing.TB, path string, maxBytes int64, maxFiles int) *writer {
	w := &writer{t: t, path: path, maxBytes: maxBytes, maxFiles: maxFiles, now: time.Now().UTC()}
	w.open()
	return w
}

func (w *writer) open() {
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(w.t, err)
	w.file, w.size = f, 0
}

// record writes one record; text has a newline at its end unless the line goes on.
func (w *writer) record(stream, text string) {
	if w.size > w.maxBytes {
		w.rotate()
	}
	w.now = w.now.Add(time.Millisecond)
	line := appendRecord(nil, stream, text, w.now)
	_, err := w.file.Write(line)
	must(w.t, err)
	w.size += int64(len(line))
}

func (w *writer) rotate() {
	must(w.t, w.file.Close())
	name := func(i int) string {
		if i == 0 {
			return w.path
		}
		return w.path + "." + strconv.Itoa(i)
	}
	for i := w.maxFiles - 2; i >= 0; i-- {
		if err := os.Rename(name(i), name(i+1)); err != nil && !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
	}
	w.open()
}

func (w *writer) close() { must(w.t, w.file.Close()) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// silent is a watcher that never tells; tests that use it make the shipment look by draining it, or by its poll.
type silent struct{}

func (silent) add(string, func()) (func(), error) { return func() {}, nil }

func (silent) close() error { return nil }

// keepOpen is a watcher that several shippers share.
type keepOpen struct{ *inotify }

func (keepOpen) close() error { return nil }
