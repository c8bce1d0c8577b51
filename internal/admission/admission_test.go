package admission

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/join"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

func newDesk(t *testing.T) *Desk {
	t.Helper()
	store, err := state.Open(t.Context(), state.Config{KV: memkv.New(state.Limits{Ops: 128, Bytes: 1 << 20})})
	if err != nil {
		t.Fatal(err)
	}
	go store.Run(t.Context())
	ring := keyring.New("000000000000")
	return New(Config{Store: store, Ring: ring, Keys: ring, Pin: join.SystemRoots, Region: "us-east-1", Log: slog.New(slog.DiscardHandler)})
}

// TestJoin: a token is one agent's, who may ask again; a key that was withdrawn is none.
func TestJoin(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	token, _, err := d.Create(ctx, time.Hour, 1)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(secret, nonce string) (*join.Answer, error) {
		return d.Join(ctx, join.Request{ID: token.ID, Secret: secret, Nonce: nonce})
	}
	mine := join.Nonce()
	if _, err := ask("wrong", mine); !fault.Is(err, fault.AccessDenied) {
		t.Fatalf("a wrong secret: %v", err)
	}
	first, err := ask(token.Secret, mine)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ask(token.Secret, mine); err != nil || *again != *first {
		t.Errorf("the same agent again: %v, %v", again, err)
	}
	if _, err := ask(token.Secret, join.Nonce()); !fault.Is(err, fault.AccessDenied) {
		t.Errorf("another agent: %v", err)
	}
	if k, err := d.Key(ctx, first.AccessKeyID, ""); err != nil || k.Secret != first.SecretAccessKey {
		t.Errorf("the key: %v", err)
	}
	if err := d.RevokeKey(ctx, first.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Key(ctx, first.AccessKeyID, ""); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("a withdrawn key: %v", err)
	}
	if _, err := ask(token.Secret, mine); !fault.Is(err, fault.AccessDenied) {
		t.Errorf("a withdrawn key was given again: %v", err)
	}
}

// TestGarbage: what is no request is refused and, from one address, soon not looked at any more.
func TestGarbage(t *testing.T) {
	d := newDesk(t)
	seen := map[int]int{}
	for range 20 {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest("POST", join.Path, strings.NewReader(`{"id":"`+strings.Repeat("a", 1<<20))))
		seen[w.Code]++
	}
	if seen[http.StatusBadRequest] < 10 || seen[http.StatusTooManyRequests] < 8 {
		t.Errorf("answers: %v", seen)
	}
}
