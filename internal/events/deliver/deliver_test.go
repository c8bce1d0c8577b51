package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

var place = ecs.Place{Account: "111122223333", Region: "us-west-2"}

// server answers requests as told: a status, or "hang", "lost", "huge", "redirect".
type server struct {
	mu      sync.Mutex
	answer  func(body string) string
	bodies  []string
	ids     []string
	at      []time.Duration
	headers []http.Header
	urls    []string
	began   time.Time
	flying  int
	most    int
}

func (e *server) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var event struct{ ID string }
	_ = json.Unmarshal(body, &event) // What is no event has no id.
	e.mu.Lock()
	e.bodies, e.ids, e.at = append(e.bodies, string(body)), append(e.ids, event.ID), append(e.at, time.Since(e.began))
	e.headers, e.urls = append(e.headers, r.Header), append(e.urls, r.URL.String())
	e.flying++
	e.most = max(e.most, e.flying)
	answer := "200"
	if e.answer != nil {
		answer = e.answer(string(body))
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.flying--
	}()
	res := &http.Response{Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok"))}
	switch answer {
	case "hang":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "lost":
		return nil, errors.New("connection refused")
	case "huge":
		res.StatusCode, res.Body = 200, io.NopCloser(endless{})
	case "redirect":
		res.StatusCode = 302
		res.Header.Set("Location", "http://169.254.169.254/")
	case "later":
		res.StatusCode = 503
		res.Header.Set("Retry-After", "120")
	default:
		if _, err := fmt.Sscan(answer, &res.StatusCode); err != nil {
			return nil, err
		}
	}
	return res, nil
}

func (e *server) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.ids)
}

// endless is an answer without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// fixture is a delivery on a store; leaders follow one another on one kv.
type fixture struct {
	t      *testing.T
	kv     *memkv.KV
	store  *state.Store
	outbox *events.Outbox
	to     *server
	counts *Counts
	keeper *secrets.Keeper
	logs   map[string][]string
	tasks  []TaskCall
	// taskErr is what RunTask answers.
	taskErr error
	log     bytes.Buffer
	mu      sync.Mutex
	// ran, if there is one, is closed by the first RunTask.
	ran chan struct{}
	// kill ends a leader; stop waits for its end too.
	kill, stop func()
}

func newFixture(t *testing.T) *fixture {
	return &fixture{t: t, kv: memkv.New(memkv.Unlimited), to: &server{began: time.Now()}, counts: &Counts{}, keeper: secrets.New(), logs: map[string][]string{}}
}

// lead starts a leader.
func (f *fixture) lead() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f.outbox = events.NewOutbox(place, nil)
	store, err := state.Open(ctx, state.Config{KV: f.kv, Outbox: f.outbox.Note})
	if err != nil {
		f.t.Fatal(err)
	}
	f.store = store
	ended := make(chan error, 2)
	go func() { ended <- store.Run(ctx) }()
	go func() {
		ended <- Run(ctx, Config{
			Store: store, Place: place, Outbox: f.outbox, Keeper: f.keeper, Client: &http.Client{Transport: f.to, CheckRedirect: newClient().CheckRedirect}, Counts: f.counts,
			Log: slog.New(slog.NewTextHandler(&f.log, nil)),
			WriteLog: func(_ context.Context, group, _ string, _ time.Time, message string) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.logs[group] = append(f.logs[group], message)
				return nil
			},
			RunTask: func(_ context.Context, call TaskCall) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				if f.tasks = append(f.tasks, call); f.ran != nil && len(f.tasks) == 1 {
					close(f.ran)
				}
				return f.taskErr
			},
		})
	}()
	f.kill = cancel
	f.stop = func() {
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				f.t.Error(err)
			}
		}
	}
}

func (f *fixture) update(fn func(tx *state.Tx)) {
	f.t.Helper()
	if err := f.store.Update(f.t.Context(), func(tx *state.Tx) error { fn(tx); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// rule makes a rule of events of source "app" with targets.
func (f *fixture) rule(name string, targets ...state.EventTarget) {
	f.t.Helper()
	f.update(func(tx *state.Tx) {
		tx.EventRules.Put(&state.EventRule{Bus: "default", Name: name, State: state.RuleEnabled, Pattern: `{"source":["app"]}`, Targets: targets})
	})
}

// http makes an API destination and gives a target of it.
func (f *fixture) http(name string) state.EventTarget {
	f.t.Helper()
	c := &state.EventConnection{Name: name, ID: "1", Type: "API_KEY", Login: "X-Key", Parameters: []state.EventParameter{
		{In: state.ParameterQuery, Key: "q", Secret: true}, {In: state.ParameterHeader, Key: "H", Value: "h"}}}
	if err := events.Seal(f.keeper, c, events.Credentials{Value: "key", Values: map[int]string{0: "secret"}}); err != nil {
		f.t.Fatal(err)
	}
	d := &state.EventDestination{Name: name, ID: "2", Connection: name, Method: "POST", Endpoint: "https://" + name + "/*/in", Rate: 10_000}
	f.update(func(tx *state.Tx) { tx.EventConnections.Put(c); tx.EventDestinations.Put(d) })
	return state.EventTarget{ID: "t", ARN: events.DestinationARN(place, d), HTTP: &state.EventHTTP{Path: []string{"a b"}}}
}

// put puts n events into the outbox, one a record.
func (f *fixture) put(from, n int) {
	f.t.Helper()
	for i := range n {
		e := events.New(place, fmt.Sprintf("00000000-0000-0000-0000-%012d", from+i), "app", "d", ecs.MillisOf(time.Now()))
		e.Detail = map[string]int{"n": from + i}
		text, err := e.JSON()
		if err != nil {
			f.t.Fatal(err)
		}
		f.update(func(tx *state.Tx) { f.outbox.Put(tx, []state.EventChange{{Event: text, Bus: "default"}}) })
	}
}

// expect compares what is left and counted.
func (f *fixture) expect(records, retries int, delivered, dropped uint64) {
	f.t.Helper()
	v := f.store.View()
	if v.EventOutbox.Len() != records || v.EventRetries.Len() != retries || f.counts.Delivered.Load() != delivered || f.counts.Dropped.Load() != dropped {
		f.t.Errorf("%d records, %d retries, %d delivered, %d dropped; want %d, %d, %d, %d\n%s", v.EventOutbox.Len(), v.EventRetries.Len(), f.counts.Delivered.Load(),
			f.counts.Dropped.Load(), records, retries, delivered, dropped, f.log.String())
	}
}

func TestDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.lead()
		defer func() { f.stop() }()
		logs := state.EventTarget{ID: "l", ARN: "arn:aws:logs:us-west-2:111122223333:log-group:/e"}
		task := state.EventTarget{ID: "r", ARN: "arn:aws:ecs:us-west-2:111122223333:cluster/c", Task: &state.EventTask{Definition: "d", Count: 1}, Input: new(`{"a":1}`)}
		f.rule("all", f.http("x"), logs, task)
		f.update(func(tx *state.Tx) {
			tx.EventRules.Put(&state.EventRule{Bus: "default", Name: "bad", State: state.RuleEnabled, Pattern: `{"source":`, Targets: []state.EventTarget{logs}})
			tx.EventRules.Put(&state.EventRule{Bus: "other", Name: "other", State: state.RuleEnabled, Pattern: `{"source":["app"]}`, Targets: []state.EventTarget{logs}})
		})
		f.put(0, 3)
		synctest.Wait()
		f.expect(0, 0, 9, 0)
		if len(f.logs["/e"]) != 3 || f.to.count() != 3 || !slices.Contains(f.logs["/e"], f.to.bodies[0]) || len(f.tasks) != 3 || f.tasks[0].Input != `{"a":1}` || f.tasks[0].StartedBy != "events-rule/all" {
			t.Errorf("%v\n%v\n%v", f.logs, f.to.bodies, f.tasks)
		}
		if f.to.urls[0] != "https://x/a%20b/in?q=secret" || f.to.headers[0].Get("X-Key") != "key" || f.to.headers[0].Get("H") != "h" {
			t.Errorf("%s, %v", f.to.urls[0], f.to.headers[0])
		}
		if f.tasks[0].Token == f.tasks[1].Token || len(f.tasks[0].Token) != 64 {
			t.Errorf("tokens %q, %q", f.tasks[0].Token, f.tasks[1].Token)
		}
	})
}

// TestBadTargets: what a target does harms neither another target nor the store.
func TestBadTargets(t *testing.T) {
	for _, c := range []struct {
		answer string
		// least and most are attempts within ten minutes; gone that the event is given up.
		least, most int
		gone        bool
	}{{"hang", 5, 10, false}, {"lost", 5, 12, false}, {"500", 5, 12, false}, {"429", 5, 12, false}, {"later", 4, 6, false}, {"huge", 1, 1, false}, {"redirect", 1, 1, true},
		{"404", 1, 1, true}, {"204", 1, 1, false}} {
		t.Run(c.answer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.to.answer = func(string) string { return c.answer }
				f.lead()
				defer func() { f.stop() }()
				f.rule("bad", f.http("x"))
				f.rule("good", state.EventTarget{ID: "l", ARN: "arn:aws:logs:us-west-2:111122223333:log-group:/e"})
				f.put(0, 1)
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if len(f.logs["/e"]) != 1 {
					t.Error("the good target waits for the bad one")
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := f.to.count(); n < c.least || n > c.most {
					t.Errorf("%d attempts at %v", n, f.to.at)
				}
				switch {
				case c.gone:
					f.expect(0, 0, 1, 1)
				case c.most == 1:
					f.expect(0, 0, 2, 0)
				default:
					f.expect(0, 1, 1, 0)
				}
				if strings.Contains(f.log.String(), "secret") {
					t.Errorf("a secret is in the log: %s", f.log.String())
				}
			})
		})
	}
}

// TestRetryPolicy: attempts and age end an event; a target that recovers gets what waits.
func TestRetryPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.to.answer = func(string) string { return "500" }
		f.lead()
		defer func() { f.stop() }()
		target := f.http("x")
		target.MaxRetries = new(int32(2))
		f.rule("r", target)
		f.put(0, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		f.expect(0, 0, 0, 1)
		if f.to.count() != 3 {
			t.Errorf("%d attempts", f.to.count())
		}
		target.MaxRetries, target.MaxAgeSeconds = nil, new(int32(60))
		f.rule("r", target)
		f.put(1, 1)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		f.expect(0, 0, 0, 2)
		target.MaxAgeSeconds = nil
		f.rule("r", target)
		f.put(2, 100)
		time.Sleep(time.Minute)
		f.to.mu.Lock()
		f.to.answer = nil
		f.to.mu.Unlock()
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		f.expect(0, 0, 100, 2)
	})
}

// TestLeaderChange: a leader that ends between sending and committing sends again as the next one, the same event with the same
// id and token, and nothing is lost.
func TestLeaderChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.lead()
		task := state.EventTarget{ID: "r", ARN: "arn:aws:ecs:us-west-2:111122223333:cluster/c", Task: &state.EventTask{Definition: "d", Count: 1}}
		f.rule("r", f.http("x"), task)
		f.ran = make(chan struct{})
		var once sync.Once
		f.to.answer = func(string) string {
			once.Do(func() {
				<-f.ran  // Both targets have it.
				f.kill() // Nothing of what it does from here on becomes durable.
			})
			return "200"
		}
		f.put(0, 1)
		synctest.Wait()
		f.stop()
		if f.to.count() != 1 {
			t.Fatalf("%d sent by the first leader", f.to.count())
		}
		f.lead()
		defer func() { f.stop() }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if f.to.count() != 2 || f.to.ids[0] != f.to.ids[1] || len(f.tasks) != 2 || f.tasks[0].Token != f.tasks[1].Token {
			t.Errorf("sent %v, tasks %v", f.to.ids, f.tasks)
		}
		if v := f.store.View(); v.EventOutbox.Len()+v.EventRetries.Len() != 0 {
			t.Error("something is left")
		}
	})
}

// TestFlood: ten thousand events a second to a dead target stay within bounds, and what is dropped is counted.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.to.answer = func(string) string { return "hang" }
		f.lead()
		defer func() { f.stop() }()
		f.rule("r", f.http("x"))
		const seconds, each = 3, 10_000
		for s := range seconds {
			for i := range 100 {
				f.update(func(tx *state.Tx) {
					var changes []state.EventChange
					for n := range each / 100 {
						id := fmt.Sprintf("00000000-0000-0000-0000-%012d", s*each+i*100+n)
						changes = append(changes, state.EventChange{Bus: "default", Event: `{"id":"` + id + `","source":"app","detail-type":"d"}`})
					}
					f.outbox.Put(tx, changes)
				})
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		v := f.store.View()
		total := uint64(v.EventRetries.Len()) + f.counts.Dropped.Load()
		if v.EventRetries.Len() > maxWaiting || v.EventOutbox.Len() != 0 || total != seconds*each || f.to.most > wide {
			t.Errorf("%d retries, %d dropped, %d records, %d at once", v.EventRetries.Len(), f.counts.Dropped.Load(), v.EventOutbox.Len(), f.to.most)
		}
		if n := strings.Count(f.log.String(), "\n"); n > 50 {
			t.Errorf("%d lines of log", n)
		}
	})
}

// TestSchedule: a rule is due at its times, once for each, also over a change of leader, and once after a time without any.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.lead()
		began := ecs.MillisOf(time.Now())
		task := state.EventTarget{ID: "r", ARN: "arn:aws:ecs:us-west-2:111122223333:cluster/c", Task: &state.EventTask{Definition: "d", Count: 1}}
		f.update(func(tx *state.Tx) {
			tx.EventRules.Put(&state.EventRule{Bus: "default", Name: "s", State: state.RuleEnabled, Schedule: "rate(5 minutes)", NextAt: began + 5*60_000, Targets: []state.EventTarget{task}})
		})
		expect := func(n int) {
			t.Helper()
			synctest.Wait()
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.tasks) != n {
				t.Fatalf("%d tasks, want %d", len(f.tasks), n)
			}
		}
		time.Sleep(4 * time.Minute)
		expect(0)
		time.Sleep(2 * time.Minute)
		expect(1)
		time.Sleep(10 * time.Minute)
		expect(3)
		f.stop()
		f.lead()
		expect(3)
		time.Sleep(5 * time.Minute)
		expect(4)
		f.stop()
		time.Sleep(22 * time.Minute)
		f.lead()
		defer func() { f.stop() }()
		expect(5)
		time.Sleep(4 * time.Minute)
		expect(6)
		var e struct {
			Source     string
			DetailType string `json:"detail-type"`
			Time       string
			Resources  []string
		}
		if err := json.Unmarshal([]byte(f.tasks[4].Input), &e); err != nil {
			t.Fatal(err)
		}
		if e.Source != "aws.events" || e.DetailType != "Scheduled Event" || e.Time != (began+40*60_000).Time().Format(time.RFC3339) || e.Resources[0] != "arn:aws:events:us-west-2:111122223333:rule/s" {
			t.Errorf("%+v", e)
		}
		seen := map[string]bool{}
		for _, c := range f.tasks {
			seen[c.Token] = true
		}
		if len(seen) != 6 {
			t.Errorf("%d tokens of 6 tasks", len(seen))
		}
	})
}
