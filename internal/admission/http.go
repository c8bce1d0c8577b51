package admission

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/join"
)

// readTimeout is how long a request's body may take.
const readTimeout = 10 * time.Second

// ServeHTTP takes join.Requests from whoever comes.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.limits.blocked(r) {
		w.Header().Set("Retry-After", "6")
		answer(w, http.StatusTooManyRequests, map[string]string{"error": "too many wrong requests from this address"})
		return
	}
	// Who is slow to say what he wants is cut off. A writer without deadlines is a test's.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": "the connection cannot be used"})
		return
	}
	var in join.Request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, join.MaxBody)).Decode(&in); err != nil {
		d.limits.wrong(r)
		answer(w, http.StatusBadRequest, map[string]string{"error": "this is no request to join"})
		return
	}
	out, err := d.Join(r.Context(), in)
	if err != nil {
		if fault.Is(err, fault.AccessDenied) {
			d.limits.wrong(r)
			d.cfg.Log.Warn("an agent was not let in", "from", r.RemoteAddr, "err", err)
		}
		d.refuse(w, err)
		return
	}
	answer(w, http.StatusOK, out)
}

// TokenInfo is a token without its secret.
type TokenInfo struct {
	ID        string    `json:"id"`
	ExpiresAt time.Time `json:"expiresAt"`
	MaxUses   int       `json:"maxUses"`
	Keys      []string  `json:"keys,omitempty"`
	Revoked   bool      `json:"revoked,omitempty"`
	// Token is the whole, in the answer to its creation alone.
	Token string `json:"token,omitempty"`
}

// KeyInfo is an agent's key without its secret.
type KeyInfo struct {
	ID        string     `json:"id"`
	Token     string     `json:"token,omitempty"`
	CreatedAt *time.Time `json:"createdAt,omitempty"`
	Revoked   bool       `json:"revoked,omitempty"`
	// Instances are the ids of the container instances, not deregistered, that it registered.
	Instances []string `json:"instances,omitempty"`
}

// CreateRequest asks for a token. The life is in seconds.
type CreateRequest struct {
	TTL  int64 `json:"ttl"`
	Uses int   `json:"uses"`
}

// Office is for the installation's owner; whoever reaches it may do all of it.
func (d *Desk) Office() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tokens", d.postToken)
	mux.HandleFunc("GET /tokens", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, d.tokens()) })
	mux.HandleFunc("DELETE /tokens/{id}", func(w http.ResponseWriter, r *http.Request) {
		d.done(w, d.RevokeToken(r.Context(), r.PathValue("id")))
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, d.keys()) })
	mux.HandleFunc("DELETE /keys/{id}", func(w http.ResponseWriter, r *http.Request) { d.done(w, d.RevokeKey(r.Context(), r.PathValue("id"))) })
	return mux
}

func (d *Desk) postToken(w http.ResponseWriter, r *http.Request) {
	var in CreateRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, join.MaxBody)).Decode(&in); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "this is no request for a token"})
		return
	}
	in.TTL = max(-1, min(in.TTL, int64(2*MaxTTL/time.Second))) // within what a Duration holds
	t, stored, err := d.Create(r.Context(), time.Duration(in.TTL)*time.Second, in.Uses)
	if err != nil {
		d.refuse(w, err)
		return
	}
	info := tokenInfo(stored)
	info.Token = t.Reveal()
	answer(w, http.StatusOK, info)
}

func tokenInfo(t *ecs.JoinToken) TokenInfo {
	info := TokenInfo{ID: t.ID, ExpiresAt: t.ExpiresAt.Time(), MaxUses: t.MaxUses, Revoked: t.RevokedAt != 0}
	for _, u := range t.Uses {
		info.Keys = append(info.Keys, u.KeyID)
	}
	return info
}

func (d *Desk) tokens() []TokenInfo {
	out := []TokenInfo{}
	for t := range d.cfg.Store.View().JoinTokens.All() {
		out = append(out, tokenInfo(t))
	}
	return out
}

func (d *Desk) keys() []KeyInfo {
	view := d.cfg.Store.View()
	instances := map[string][]string{}
	for i := range view.Instances.All() {
		if i.Status != ecs.InstanceInactive {
			instances[i.AgentKey] = append(instances[i.AgentKey], i.ID.String())
		}
	}
	out := []KeyInfo{}
	for k := range view.AgentKeys.All() {
		info := KeyInfo{ID: k.ID, Token: k.Token, Revoked: k.RevokedAt != 0, Instances: instances[k.ID]}
		if k.CreatedAt != 0 {
			at := k.CreatedAt.Time()
			info.CreatedAt = &at
		}
		out = append(out, info)
	}
	return out
}

func (d *Desk) done(w http.ResponseWriter, err error) {
	if err != nil {
		d.refuse(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

// refuse says what a caller may know of an error.
func (d *Desk) refuse(w http.ResponseWriter, err error) {
	status, text := http.StatusServiceUnavailable, "the server cannot do this now; its log says why"
	var f *fault.Error
	if errors.As(err, &f) {
		text = f.Message
	}
	switch {
	case fault.Is(err, fault.AccessDenied):
		status = http.StatusForbidden
	case fault.Is(err, fault.InvalidParameter), fault.Is(err, fault.LimitExceeded):
		status = http.StatusBadRequest
	case fault.Is(err, fault.ResourceNotFound):
		status = http.StatusNotFound
	default:
		d.cfg.Log.Error("joining failed", "err", err)
	}
	answer(w, status, map[string]string{"error": text})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that is gone needs no answer
}
