package nodelink

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/nodelink/payload"
)

// TestReplays: a request that opened a connection opens none later; a second try within the same second does.
func TestReplays(t *testing.T) {
	now := time.Unix(1000, 0)
	request := func(authorization, date string) *http.Request {
		r := &http.Request{Header: http.Header{}, URL: &url.URL{RawQuery: "a=b"}}
		r.Header.Set("Authorization", authorization)
		if date != "" {
			r.Header.Set("X-Amz-Date", date)
		}
		return r
	}
	u := newGate(connectRate, connectBurst)
	if u.again(request("a", "1"), now) || u.again(request("a", "1"), now.Add(grace)) {
		t.Error("the agent itself")
	}
	if !u.again(request("a", "1"), now.Add(grace+1)) || u.again(request("a", "2"), now.Add(grace+1)) {
		t.Error("a replay, and a new request")
	}
	if u.again(request("a", ""), now) || u.again(request("a", ""), now.Add(time.Minute)) {
		t.Error("what is not signed by date")
	}
	for i := range 3 * u.most {
		u.again(request("a", time.Unix(int64(i), 0).String()), now)
	}
	if len(u.used) != u.most {
		t.Errorf("%d requests are remembered", len(u.used))
	}
	u.again(request("b", "3"), now.Add(memory+time.Second))
	if len(u.used) != 1 {
		t.Errorf("%d after they are no good any more", len(u.used))
	}
}

// TestReplayedConnection is refused in the way that agents know, and the agent's own goes on.
func TestReplayedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := asForeign(newFixtureOn(t, time.Minute, newPipes()))
		defer f.client.CloseIdleConnections()
		q := url.Values{"containerInstanceArn": {place.InstanceARN("default", f.inst)}, "sendCredentials": {"false"}}
		dial := func(date string) (*websocket.Conn, *http.Response, error) {
			header := http.Header{"Authorization": {"let me in"}, "X-Amz-Date": {date}}
			return websocket.Dial(t.Context(), f.url+"?"+q.Encode(), &websocket.DialOptions{HTTPClient: f.client, HTTPHeader: header})
		}
		conn, _, err := dial("20260101T000000Z")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		expect[payload.Manifest](&agent{t, conn}, payload.TypeManifest)
		time.Sleep(grace + time.Second)
		_, resp, err := dial("20260101T000000Z")
		if err == nil {
			t.Fatal("a replayed request opened a connection")
		}
		if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "AccessDeniedException") {
			t.Errorf("refused with %s", body)
		}
		if !f.srv.Connected(f.inst) {
			t.Error("the agent's own connection has ended")
		}
		f.deregister()
		(&agent{t, conn}).ended()
	})
}

// TestTooManyConnections: an instance's agent that connects again and again is told to wait; another's is not.
func TestTooManyConnections(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	for range connectBurst {
		f.dialForeign("false")
	}
	q := url.Values{"containerInstanceArn": {place.InstanceARN("default", f.inst)}}
	for i := 0; ; i++ {
		_, resp, err := websocket.Dial(t.Context(), f.url+"?"+q.Encode(), &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"let me in"}}})
		if err == nil && i < 1000 {
			continue // The machine is slow, and time has let one more through.
		}
		if resp == nil || resp.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("%v, %v", resp, err)
		}
		if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), `{"ServerException":`) {
			t.Errorf("%s", body)
		}
		break
	}
	f.inst = f.another()
	expect[acs.Heartbeat](f.dialForeign("false"), acs.TypeHeartbeat)
}

// TestFloods: an agent that sends without end is sent away with a code on which agents back off.
func TestFloods(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	a := f.dialForeign("false")
	b := f.telemetry()
	frame := "Authorization: let me in\r\n\r\n" + `{"type":"PublishMetricsRequest","message":{}}`
	go func() {
		for a.conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"AckRequest","message":{"messageId":"x"}}`)) == nil {
		}
	}()
	go func() {
		for b.conn.Write(t.Context(), websocket.MessageText, []byte(frame)) == nil {
		}
	}()
	for _, conn := range []*agent{a, b} {
		if code := conn.ended(); code != websocket.StatusPolicyViolation && code != -1 {
			t.Errorf("closed with %v", code)
		}
	}
	until(t, "the flood has ended", func() bool { return !f.srv.Connected(f.inst) })
}

// another registers one more instance of Amazon's agent.
func (f *fixture) another() ecs.InstanceID {
	id := ecs.NewInstanceID()
	f.put(&ecs.Instance{ID: id, Cluster: "default", Status: ecs.InstanceActive, AgentKey: "k"})
	return id
}
