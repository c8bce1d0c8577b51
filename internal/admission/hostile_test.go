package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/join"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/state/memkv"
)

// TestRace: of many that come with one token at once as many get in as it has uses, and who repeats himself counts once.
func TestRace(t *testing.T) {
	for _, uses := range []int{1, 3} {
		d, ctx := newDesk(t), t.Context()
		token, _, err := d.Create(ctx, time.Hour, uses)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		keys := map[string]int{}
		var wg sync.WaitGroup
		for range 20 {
			nonce := join.Nonce()
			for range 3 { // an agent whose answers are lost
				wg.Go(func() {
					a, err := d.Join(ctx, join.Request{ID: token.ID, Secret: token.Secret, Nonce: nonce})
					if err != nil {
						if !fault.Is(err, fault.AccessDenied) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					defer mu.Unlock()
					keys[a.AccessKeyID]++
				})
			}
		}
		wg.Wait()
		view := d.cfg.Store.View()
		if len(keys) != uses || view.AgentKeys.Len() != uses || len(view.JoinTokens.Get(token.ID).Uses) != uses {
			t.Errorf("%d uses: %v", uses, keys)
		}
		for id, n := range keys {
			if n != 3 {
				t.Errorf("key %s was given %d times to the one whose it is", id, n)
			}
		}
	}
}

// TestTime: a token ends when it is said to, but for who has used it and may ask again for a while; and it is forgotten in the end.
func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ctx := newDesk(t), t.Context()
		token, _, err := d.Create(ctx, time.Minute, 5)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(nonce string) error {
			_, err := d.Join(ctx, join.Request{ID: token.ID, Secret: token.Secret, Nonce: nonce})
			return err
		}
		mine := join.Nonce()
		time.Sleep(time.Minute - time.Millisecond)
		if err := ask(mine); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
		if err := ask(join.Nonce()); !fault.Is(err, fault.AccessDenied) || !strings.Contains(err.Error(), "expired") {
			t.Errorf("an expired token: %v", err)
		}
		time.Sleep(repeatable - time.Second)
		if err := ask(mine); err != nil {
			t.Errorf("a lost answer: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := ask(mine); !fault.Is(err, fault.AccessDenied) {
			t.Errorf("the same answer much later: %v", err)
		}
		time.Sleep(kept)
		if _, _, err := d.Create(ctx, time.Minute, 1); err != nil {
			t.Fatal(err)
		}
		if n := d.cfg.Store.View().JoinTokens.Len(); n != 1 {
			t.Errorf("%d tokens are kept", n)
		}
	})
}

// TestBounds: a token's life and uses are bounded, and so is the number of tokens.
func TestBounds(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	for _, c := range []struct {
		ttl  time.Duration
		uses int
	}{{0, 1}, {-time.Hour, 1}, {MaxTTL + 1, 1}, {time.Hour, 0}, {time.Hour, -1}, {time.Hour, MaxUses + 1}} {
		if _, _, err := d.Create(ctx, c.ttl, c.uses); !fault.Is(err, fault.InvalidParameter) {
			t.Errorf("%v, %d: %v", c.ttl, c.uses, err)
		}
	}
	put := func(expires time.Time) {
		t.Helper()
		for begin := 0; begin < maxTokens; begin += 100 {
			err := d.cfg.Store.Update(ctx, func(tx *state.Tx) error {
				for i := range 100 {
					tx.JoinTokens.Put(&ecs.JoinToken{ID: fmt.Sprint(begin + i), ExpiresAt: ecs.MillisOf(expires)})
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put(time.Now().Add(time.Hour))
	if _, _, err := d.Create(ctx, time.Hour, 1); !fault.Is(err, fault.LimitExceeded) {
		t.Errorf("one too many: %v", err)
	}
	put(time.Now().Add(-2 * kept))
	if _, _, err := d.Create(ctx, time.Hour, 1); err != nil {
		t.Errorf("when they are long over: %v", err)
	}
}

// TestHostileRequests: nothing but a good token changes anything, no answer tells whether there is a token, and no log has a secret.
func TestHostileRequests(t *testing.T) {
	var log bytes.Buffer
	d := newDesk(t)
	d.cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	token, _, err := d.Create(t.Context(), time.Hour, 1)
	if err != nil {
		t.Fatal(err)
	}
	other := join.NewToken(join.SystemRoots)
	body := func(id, secret, nonce string) string {
		b, err := json.Marshal(join.Request{ID: id, Secret: secret, Nonce: nonce})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	post := func(from, body string) (int, string) {
		r := httptest.NewRequest(http.MethodPost, join.Path, strings.NewReader(body))
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	before := d.cfg.Store.View().Revision
	answers := map[string]bool{}
	for i, c := range []struct {
		body string
		want int
	}{
		{"", 400}, {"{", 400}, {"[]", 400}, {"null", 403}, {`"x"`, 400}, {`{"id":7}`, 400}, {"\x00\xff", 400}, {strings.Repeat("[", 10000), 400},
		{`{"id":"` + strings.Repeat("x", join.MaxBody) + `"}`, 400}, {"{}", 403}, {body(token.ID, "", join.Nonce()), 403},
		{body(token.ID, other.Secret, join.Nonce()), 403}, {body(other.ID, other.Secret, join.Nonce()), 403}, {body(other.ID, token.Secret, join.Nonce()), 403},
		{body(token.ID, token.Secret[:len(token.Secret)-1], join.Nonce()), 403}, {body(token.ID+"/", token.Secret, join.Nonce()), 403},
		{body(token.ID, token.Secret, ""), 400}, {body(token.ID, token.Secret, strings.Repeat("n", 129)), 400},
	} {
		code, said := post(fmt.Sprintf("10.0.0.%d:1", i), c.body)
		if code != c.want {
			t.Errorf("%.60q: %d %s", c.body, code, said)
		}
		if code == 403 {
			answers[said] = true
		}
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	if now := d.cfg.Store.View().Revision; now != before {
		t.Error("the state was changed")
	}
	// A flood from one address is soon not looked at, and keeps nobody else out.
	seen, begin := map[int]int{}, time.Now()
	for range 2000 {
		code, _ := post("10.0.1.1:1", body(token.ID, other.Secret, join.Nonce()))
		seen[code]++
	}
	if seen[403] > failuresAtOnce+1+int(time.Since(begin)/failureEvery) || seen[403]+seen[429] != 2000 {
		t.Errorf("a flood is answered with %v", seen)
	}
	if code, said := post("10.0.1.2:1", body(token.ID, token.Secret, join.Nonce())); code != 200 {
		t.Errorf("another address: %d %s", code, said)
	}
	for i := range 3 * maxAddresses {
		post(fmt.Sprintf("10.%d.%d.%d:1", 2+i>>16, i>>8&255, i&255), "{}")
	}
	if n := len(d.limits.of); n > maxAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
	for _, secret := range []string{token.Secret, other.Secret} {
		if strings.Contains(log.String(), secret) {
			t.Error("the log has a secret")
		}
	}
}

// TestSuccession: an agent that joins anew with proof of its former key stays who it was, whether that was withdrawn or not. Without
// proof, and with another's key, it does not.
func TestSuccession(t *testing.T) {
	for name, c := range map[string]struct {
		revoke, byHand bool
		proof          func(secret, id, nonce string) string
		moved          bool
	}{
		"withdrawn":           {revoke: true, proof: join.Proof, moved: true},
		"not withdrawn":       {proof: join.Proof, moved: true},
		"no proof":            {proof: func(string, string, string) string { return "" }},
		"another's proof":     {revoke: true, proof: func(_, id, nonce string) string { return join.Proof("secret", id, nonce) }},
		"of another exchange": {proof: func(secret, id, _ string) string { return join.Proof(secret, id, join.Nonce()) }},
		"made by hand":        {byHand: true, proof: join.Proof},
	} {
		d, ctx := newDesk(t), t.Context()
		token, _, err := d.Create(ctx, time.Hour, 2)
		if err != nil {
			t.Fatal(err)
		}
		first, err := d.Join(ctx, join.Request{ID: token.ID, Secret: token.Secret, Nonce: join.Nonce()})
		if err != nil {
			t.Fatal(err)
		}
		if c.byHand {
			k := d.cfg.Ring.NewAgent()
			first = &join.Answer{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey}
		}
		own, others := ecs.NewInstanceID(), ecs.NewInstanceID()
		err = d.cfg.Store.Update(ctx, func(tx *state.Tx) error {
			tx.Instances.Put(&ecs.Instance{ID: own, Cluster: "c", Status: ecs.InstanceActive, AgentKey: first.AccessKeyID})
			tx.Instances.Put(&ecs.Instance{ID: others, Cluster: "c", Status: ecs.InstanceActive, AgentKey: "another"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.revoke {
			if err := d.RevokeKey(ctx, first.AccessKeyID); err != nil {
				t.Fatal(err)
			}
		}
		r := join.Request{ID: token.ID, Secret: token.Secret, Nonce: join.Nonce(), Before: first.AccessKeyID}
		r.Proof = c.proof(first.SecretAccessKey, r.ID, r.Nonce)
		next, err := d.Join(ctx, r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again, err := d.Join(ctx, r); err != nil || *again != *next {
			t.Errorf("%s: the answer repeated: %v, %v", name, again, err)
		}
		view := d.cfg.Store.View()
		if moved := view.Instances.Get(own).AgentKey == next.AccessKeyID; moved != c.moved || view.Instances.Get(others).AgentKey != "another" {
			t.Errorf("%s: the instance is of %s", name, view.Instances.Get(own).AgentKey)
		}
		if _, err := d.Key(ctx, first.AccessKeyID, ""); (err != nil) != (c.moved || c.revoke) {
			t.Errorf("%s: the former key: %v", name, err)
		}
	}
}

// TestSecondServer: a desk on the same state and keys answers for what another one has admitted.
func TestSecondServer(t *testing.T) {
	ctx := t.Context()
	ring := keyring.New("000000000000")
	store, err := state.Open(ctx, state.Config{KV: memkv.New(memkv.Unlimited)})
	if err != nil {
		t.Fatal(err)
	}
	go store.Run(ctx)
	cfg := Config{Store: store, Ring: ring, Keys: ring, Pin: join.SystemRoots, Region: "us-east-1", Log: slog.New(slog.DiscardHandler)}
	one, two := New(cfg), New(cfg)
	token, _, err := one.Create(ctx, time.Hour, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := join.Request{ID: token.ID, Secret: token.Secret, Nonce: join.Nonce()}
	a, err := one.Join(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := two.Join(ctx, r); err != nil || *b != *a {
		t.Errorf("%v, %v", b, err)
	}
	if err := two.RevokeKey(ctx, a.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Key(ctx, a.AccessKeyID, ""); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("withdrawn at the other server: %v", err)
	}
}
