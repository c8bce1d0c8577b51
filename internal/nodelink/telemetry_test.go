package nodelink

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

func (f *fixture) put(i *ecs.Instance) {
	f.t.Helper()
	f.update(func(tx *state.Tx) { tx.Instances.Put(i) })
}

// TestTelemetryNewestWins: one connection an instance, and none once it is deregistered.
func TestTelemetryNewestWins(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	older := f.telemetry()
	older.signed("let me in", acs.TypeMetrics, map[string]any{})
	expect[struct{}](older, "AckPublishMetric")
	newer := f.telemetry()
	if code := older.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("the older one ended with %v", code)
	}
	newer.signed("let me in", acs.TypeMetrics, map[string]any{})
	expect[struct{}](newer, "AckPublishMetric")
	f.deregister()
	if code := newer.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("deregistered: %v", code)
	}
}

// TestTelemetryOldFrames: a frame that was signed before another one that has come is none of this agent's.
func TestTelemetryOldFrames(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	a := f.telemetry()
	send := func(date string) {
		t.Helper()
		frame := "Authorization: let me in\r\nX-Amz-Date: " + date + "\r\n\r\n" + `{"type":"PublishMetricsRequest","message":{}}`
		if err := a.conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	for _, date := range []string{"20260101T000000Z", "20260101T000000Z", "20260101T000020Z"} {
		send(date)
		expect[struct{}](a, "AckPublishMetric")
	}
	send("20260101T000019Z")
	if code := a.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("ended with %v", code)
	}
}

// TestTelemetryLife: the agent hears something every so often, and is asked to come back before it would by itself.
func TestTelemetryLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := asForeign(newFixtureOn(t, 20*time.Second, newPipes()))
		defer f.client.CloseIdleConnections()
		a := f.telemetry()
		begin, last := time.Now(), time.Now()
		for {
			_, _, err := a.conn.Read(t.Context())
			if silence := time.Since(last); silence > 20*time.Second {
				t.Errorf("nothing for %v", silence)
			}
			last = time.Now()
			if err == nil {
				continue
			}
			if lived := time.Since(begin); websocket.CloseStatus(err) != websocket.StatusNormalClosure || lived > life || lived < life*5/6 {
				t.Errorf("ended after %v: %v", lived, err)
			}
			break
		}
	})
}
