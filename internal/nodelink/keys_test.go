package nodelink

import (
	"testing"
	"time"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

func (f *fixture) withdraw(key string) {
	f.t.Helper()
	f.update(func(tx *state.Tx) { tx.AgentKeys.Put(&ecs.AgentKey{ID: key, RevokedAt: 1}) })
}

// TestWithdrawnKey: sessions of a key end with it, also where the instance has been given to another key meanwhile, and others stay.
func TestWithdrawnKey(t *testing.T) {
	f := newFixture(t, time.Minute)
	a := f.dial()
	expect[acs.Tasks](a, acs.TypeSync)
	f.withdraw("another")
	id := f.newTask()
	if msg := expect[acs.Tasks](a, acs.TypeTasks); len(msg.Run) != 1 || msg.Run[0].ID != id {
		t.Fatalf("after another key was withdrawn: %+v", msg)
	}
	f.update(func(tx *state.Tx) {
		i := *tx.Instances.Get(f.inst)
		i.AgentKey = "next"
		tx.Instances.Put(&i)
	})
	f.withdraw("k")
	if code := a.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", code)
	}
}

// TestWithdrawnBeforeItJoined: a session that was let in before its key was withdrawn, and gets to the loop after it.
func TestWithdrawnBeforeItJoined(t *testing.T) {
	f := newFixture(t, time.Minute)
	f.withdraw("k")
	// The doorman of this test knows of no withdrawal, as one that asked a moment before.
	a := f.dial()
	if code := a.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", code)
	}
	if f.srv.Connected(f.inst) {
		t.Error("it counts as connected")
	}
}

// TestWithdrawnForeign: both websockets of Amazon's agent end.
func TestWithdrawnForeign(t *testing.T) {
	f := newForeignFixture(t, time.Minute)
	session, telemetry := f.dialForeign("false"), f.telemetry()
	expect[payload.Manifest](session, payload.TypeManifest)
	telemetry.signed("let me in", acs.TypeMetrics, map[string]any{})
	expect[struct{}](telemetry, payload.TypeMetricsAck)
	f.withdraw("k")
	for name, a := range map[string]*agent{"ACS": session, "TCS": telemetry} {
		if code := a.ended(); code != websocket.StatusPolicyViolation {
			t.Errorf("%s: closed with %v", name, code)
		}
	}
	if late := f.telemetry(); late.ended() != websocket.StatusPolicyViolation {
		t.Error("telemetry of a withdrawn key")
	}
}
