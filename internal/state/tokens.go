package state

import (
	"cmp"
	"iter"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// Token remembers an idempotent call, so that its repetition gets the first one's answer.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
type Token struct {
	// Key is CLUSTER/OPERATION/TOKEN.
	Key string `cbor:"1,keyasint"`
	// Digest is that of the request: the same token with another request is an error.
	Digest    [32]byte     `cbor:"2,keyasint"`
	Tasks     []ecs.TaskID `cbor:"3,keyasint,omitempty"`
	ExpiresAt ecs.Millis   `cbor:"4,keyasint,omitempty"`
}

// Tokens is the table of idempotency tokens, by key.
type Tokens struct {
	w       *writer
	t       table[string, Token]
	expires table[expiry, Token]
}

type expiry struct {
	at  ecs.Millis
	key string
}

func newTokens(w *writer) *Tokens {
	compare := func(a, b expiry) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.key, b.key)) }
	return &Tokens{w: w, t: newTable[string, Token](strings.Compare), expires: newTable[expiry, Token](compare)}
}

func (t *Tokens) copy(w *writer) *Tokens {
	return &Tokens{w: w, t: t.t.copy(), expires: t.expires.copy()}
}

// Get gives a token, or nil.
func (t *Tokens) Get(key string) *Token { return t.t.get(key) }

// Expired iterates over all tokens, the one that expires first at the head: a caller stops at the first that is not due.
func (t *Tokens) Expired() iter.Seq[*Token] { return t.expires.all() }

// Len is the number of tokens.
func (t *Tokens) Len() int { return t.t.rows.Len() }

// Put adds or replaces a token.
func (t *Tokens) Put(v *Token) {
	t.w.check()
	record(t.w, tokensTable, tokenKey(v), t.swap(v.Key, v), v)
}

// Delete removes a token, if it is there.
func (t *Tokens) Delete(key string) {
	t.w.check()
	if old := t.swap(key, nil); old != nil {
		record(t.w, tokensTable, tokenKey(old), old, nil)
	}
}

func (t *Tokens) swap(key string, v *Token) (old *Token) {
	old = t.t.set(key, v)
	if old != nil {
		t.expires.set(expiry{old.ExpiresAt, key}, nil)
	}
	if v != nil {
		t.expires.set(expiry{v.ExpiresAt, key}, v)
	}
	return old
}

func tokenKey(v *Token) string { return "tokens/" + v.Key }

func (t *Tokens) name() string { return "tokens" }

func (t *Tokens) replace(old, new any) {
	if v := ptr[Token](new); v != nil {
		t.swap(v.Key, v)
		return
	}
	t.swap(ptr[Token](old).Key, nil)
}

func (t *Tokens) decode(value []byte, _ *interner) (any, string, error) {
	return decodeRow(value, tokenKey, nil)
}

func (t *Tokens) rows(yield func(string, any) bool) { yieldRows(t.t, tokenKey, yield) }

func (t *Tokens) counterpart(row any) any { return orNil(t.t.get(ptr[Token](row).Key)) }
