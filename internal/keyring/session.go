package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

// Session is what a temporary key stands for: a role that somebody has for a time.
type Session struct {
	// RoleARN is arn:aws:iam::ACCOUNT:role/PATH/NAME; RoleID stands for the role in user ids.
	RoleARN string `json:"r"`
	RoleID  string `json:"i"`
	// Name says who has the role: for a task, its id.
	Name    string    `json:"s"`
	Expires time.Time `json:"e"`
}

// ARN names the session as a caller.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
func (s *Session) ARN() string {
	role := s.RoleARN
	account := ""
	if parts := strings.SplitN(role, ":", 6); len(parts) == 6 {
		account = parts[4]
	}
	return "arn:aws:sts::" + account + ":assumed-role/" + role[strings.LastIndexByte(role, '/')+1:] + "/" + s.Name
}

// UserID is that of the session: ROLEID:NAME.
func (s *Session) UserID() string { return s.RoleID + ":" + s.Name }

// Temporary is a key with the token that must come with it.
type Temporary struct {
	Pair
	SessionToken string
}

const (
	sessionPrefix = "ASIA"
	sessionRandom = 10 // bytes, 16 characters
)

// sealed is what a session token holds, before its tag.
type sealed struct {
	Session
	// KeyID binds the token to its key.
	KeyID string `json:"k"`
}

// NewSession makes a key for a session.
func (r *Ring) NewSession(s Session) (Temporary, error) {
	s.Expires = s.Expires.UTC().Truncate(time.Second)
	id := sessionPrefix + randomText(sessionRandom)
	b, err := json.Marshal(sealed{Session: s, KeyID: id})
	if err != nil {
		return Temporary{}, fmt.Errorf("make a session token: %w", err)
	}
	token := base64.StdEncoding.EncodeToString(append(b, r.mac("session token", b)...))
	return Temporary{Pair: Pair{AccessKeyID: id, SecretAccessKey: r.sessionSecret(id)}, SessionToken: token}, nil
}

func (r *Ring) sessionSecret(id string) string {
	return base64.StdEncoding.EncodeToString(r.mac("session secret", []byte(id))[:30])
}

// sessionKey reads what a session's key stands for from its token. Whether it has expired is the wire's to say.
func (r *Ring) sessionKey(id, token string) (wire.Key, error) {
	none := fault.New(fault.ResourceNotFound, "no such access key")
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) <= sha256.Size {
		return wire.Key{}, none
	}
	body, tag := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(tag, r.mac("session token", body)) {
		return wire.Key{}, none
	}
	var s sealed
	if err := json.Unmarshal(body, &s); err != nil {
		return wire.Key{}, fmt.Errorf("read a session token of ours: %w", err)
	}
	if s.KeyID != id {
		return wire.Key{}, none
	}
	caller := wire.Caller{AccessKeyID: id, Account: r.account, UserID: s.UserID(), ARN: s.ARN(), Type: wire.CallerAssumedRole}
	return wire.Key{Secret: r.sessionSecret(id), SessionToken: token, Expires: s.Expires, Caller: caller}, nil
}

// RoleID makes the id of a role of which nothing but the name is known: the same name has the same id.
func (r *Ring) RoleID(roleARN string) string {
	return "AROA" + base32.StdEncoding.EncodeToString(r.mac("role id", []byte(roleARN))[:10])
}

// Secret gives a name in the form of a UUID that is always the same for a use and its data, and that nobody can guess.
func (r *Ring) Secret(use string, data []byte) string {
	id, _ := uuid.FromBytes(r.mac(use, data)[:16]) // which fails for another length alone
	return id.String()
}
