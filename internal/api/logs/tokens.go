package logs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"roadstead.dev/roadstead/internal/logstore"
)

// Tokens say where the next page begins, and carry a digest of the question that they belong to: a token of another
// question is refused, as AWS does.

func badToken() error { return badParameter("The specified nextToken is invalid.") }

// place is where a page ended.
type place struct {
	Name string `json:"n,omitempty"`
	Time int64  `json:"t,omitempty"`
	Seq  uint64 `json:"s,omitempty"`
	Back bool   `json:"b,omitempty"`
}

// tokenScope is the digest of a question.
func tokenScope(parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%q\n", fmt.Sprint(p))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// sealToken makes a token: the place, and a digest over it and the question.
func sealToken(p place, scope string) string {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of plain fields
	}
	return base64.RawURLEncoding.EncodeToString(body) + "." + tokenScope(scope, string(body))
}

func openToken(token, scope string) (place, error) {
	text, digest, ok := strings.Cut(token, ".")
	body, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || digest != tokenScope(scope, string(body)) {
		return place{}, badToken()
	}
	var p place
	if json.Unmarshal(body, &p) != nil {
		return place{}, badToken()
	}
	return p, nil
}

// GetLogEvents has tokens of a form that clients look at: f/ or b/ for the direction, a position, and /s.

func forwardToken(p logstore.Pos) string  { return "f/" + p.ID() + "/s" }
func backwardToken(p logstore.Pos) string { return "b/" + p.ID() + "/s" }

// openEventToken reads such a token.
func openEventToken(token string) (p logstore.Pos, forward bool, err error) {
	body, ok := strings.CutSuffix(token, "/s")
	id, f := strings.CutPrefix(body, "f/")
	if !f {
		var b bool
		if id, b = strings.CutPrefix(body, "b/"); !b {
			return p, false, badToken()
		}
	}
	p, valid := logstore.ParseID(id)
	if !ok || !valid {
		return p, false, badToken()
	}
	return p, f, nil
}
