package nodelink

import (
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

// borrower is an agent that acknowledges all it gets and comes back whenever it is sent away.
type borrower struct {
	f *fixture

	// mu guards what follows: the test looks while a connection goes on.
	mu sync.Mutex
	// held are the expiries of the credentials that it has, by their ids.
	held     map[string]time.Time
	renewals int
	connects int
	// deaf drops that many credentials unread.
	deaf int
}

// look gives what it holds by now.
func (b *borrower) look() (held map[string]time.Time, renewals, connects int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.held), b.renewals, b.connects
}

// misses tells whether it drops the credentials that it was just sent, and counts them otherwise.
func (b *borrower) misses() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf > 0 {
		b.deaf--
		return true
	}
	b.renewals++
	return false
}

// session carries one connection until it ends, and tells how.
func (b *borrower) session(sendCredentials string) websocket.StatusCode {
	a := b.f.dialForeign(sendCredentials)
	b.mu.Lock()
	b.connects++
	b.mu.Unlock()
	for {
		_, frame, err := a.conn.Read(b.f.t.Context())
		if err != nil {
			return websocket.CloseStatus(err)
		}
		name, body, err := acs.Decode(frame)
		if err != nil {
			b.f.t.Error(err)
		}
		switch name {
		case acs.TypeHeartbeat:
			a.send(acs.TypeHeartbeatAck, acs.HeartbeatAck{})
		case payload.TypePayload:
			var m payload.Message
			b.f.read(body, &m)
			a.ack(m.MessageID)
			for _, t := range m.Tasks {
				b.take(a, m.MessageID, t.RoleCredentials)
				b.take(a, m.MessageID, t.ExecutionCredentials)
			}
		case payload.TypeCredentials:
			var m payload.CredentialsMessage
			b.f.read(body, &m)
			if b.misses() {
				continue
			}
			b.take(a, m.MessageID, m.Credentials)
		}
	}
}

func (b *borrower) take(a *agent, message string, c *payload.Credentials) {
	if c == nil {
		return
	}
	expires, err := time.Parse(time.RFC3339, c.Expiration)
	if err != nil {
		b.f.t.Error(err)
	}
	b.mu.Lock()
	b.held[c.ID] = expires
	b.mu.Unlock()
	a.send(payload.TypeCredentialsAck, payload.CredentialsAck{MessageID: message, CredentialsID: c.ID, Expiration: c.Expiration})
}

func (f *fixture) read(body json.RawMessage, into any) {
	f.t.Helper()
	if err := json.Unmarshal(body, into); err != nil {
		f.t.Error(err)
	}
}

// TestCredentialsAreRenewed: over many hours and connections, each shorter than the credentials' life, a task's never have less
// than a good half of it left; they are renewed when it is time, and not with every connection.
func TestCredentialsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := asForeign(newFixtureOn(t, 20*time.Second, newPipes()))
		defer f.client.CloseIdleConnections()
		def := *f.def
		def.Revision, def.ExecutionRoleArn = 7, "arn:aws:iam::000000000000:role/pull"
		f.def = &def
		f.update(func(tx *state.Tx) { tx.Definitions.Put(f.def) })
		id := f.newTask()
		b := &borrower{f: f, held: map[string]time.Time{}}
		end := time.Now().Add(26 * time.Hour)
		check := time.NewTicker(time.Minute)
		defer check.Stop()
		ended := make(chan websocket.StatusCode, 1)
		go func() { ended <- b.session("true") }()
		synctest.Wait()
		f.report(acs.TaskState{ID: id, Status: ecs.TaskRunning})
		for time.Now().Before(end) {
			select {
			case code := <-ended:
				if code != websocket.StatusNormalClosure {
					t.Fatalf("a connection ended with %v", code)
				}
				go func() { ended <- b.session("false") }()
			case <-check.C:
			}
			synctest.Wait()
			held, _, _ := b.look()
			if len(held) != 2 {
				t.Fatalf("credentials: %v", held)
			}
			for key, expires := range held {
				if left := time.Until(expires); left < roleLife/2 {
					t.Fatalf("credentials %s have %v left", key, left)
				}
			}
		}
		// 26 hours have 13 times of two hours, less what passes until the next heartbeat.
		if _, renewals, connects := b.look(); renewals < 2*12 || renewals > 2*13 || connects < 52 {
			t.Errorf("%d renewals in %d connections", renewals, connects)
		}
		f.report(acs.TaskState{ID: id, Status: ecs.TaskStopped})
		synctest.Wait()
		if n := len(f.srv.loans.of); n != 0 {
			t.Errorf("%d loans of a task that has ended", n)
		}
		f.deregister()
		<-ended
	})
}

// TestCredentialsAreSentAgain: what an agent has not acknowledged comes again, also where they could not be made the first time;
// and an agent that has started anew gets all at once.
func TestCredentialsAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := asForeign(newFixtureOn(t, 20*time.Second, newPipes()))
		defer f.client.CloseIdleConnections()
		id := f.newTask()
		f.report(acs.TaskState{ID: id, Status: ecs.TaskRunning})
		lend, broken := f.srv.cfg.Lend, true
		f.srv.cfg.Lend = func(t *ecs.Task, role, roleType string, expires time.Time) (*payload.Credentials, error) {
			if broken {
				broken = false
				return nil, errors.New("not now")
			}
			return lend(t, role, roleType, expires)
		}
		b := &borrower{f: f, held: map[string]time.Time{}, deaf: 2}
		ended := make(chan websocket.StatusCode, 1)
		go func() { ended <- b.session("false") }()
		time.Sleep(20*time.Second + 2*patience + 40*time.Second)
		synctest.Wait()
		if held, renewals, _ := b.look(); renewals != 1 || len(held) != 1 {
			t.Errorf("%d renewals, %v", renewals, held)
		}
		for _, forgetful := range []string{"false", "true"} {
			go func() { ended <- b.session(forgetful) }()
			<-ended
			synctest.Wait()
		}
		if _, renewals, _ := b.look(); renewals != 2 {
			t.Errorf("%d renewals, after a connection that asks for them and one that does not", renewals)
		}
		f.deregister()
		<-ended
	})
}
