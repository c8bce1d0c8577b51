// Package keyring makes and knows the access keys that are not users': the root key, and the keys of agents.
//
// The root key is random, made at the first start. An agent's key is derived from a master secret, so that it takes no
// storage and no server has to be asked for it: the key id holds eight random bytes' worth of text and a tag that proves that
// we made it, and the secret is a MAC of the id. Who does not have the master secret can make neither.
//
// The keys of sessions, in which a task has its role, are made likewise; what they stand for is in their session token.
package keyring

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

// Pair is an access key as clients hold it.
type Pair struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// Ring knows the keys of one installation. It never changes after Open and may be used by many goroutines.
type Ring struct {
	account string
	root    Pair
	master  []byte
}

var _ wire.KeySource = (*Ring)(nil)

type stored struct {
	Root   Pair   `json:"root"`
	Master []byte `json:"master"`
}

// Open reads the keys from a file, or makes them and writes it with mode 0600 if there is none.
func Open(path, account string) (*Ring, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read keys: %s is damaged (restore it from a backup, or remove it for new keys): %w", path, err)
	}
	if s.Root.AccessKeyID == "" || s.Root.SecretAccessKey == "" || len(s.Master) < 32 {
		return nil, fmt.Errorf("read keys: %s is incomplete (restore it from a backup, or remove it for new keys)", path)
	}
	return &Ring{account: account, root: s.Root, master: s.Master}, nil
}

// New makes a ring of new keys that is kept nowhere.
func New(account string) *Ring {
	s := fresh()
	return &Ring{account: account, root: s.Root, master: s.Master}
}

func fresh() stored {
	return stored{Root: Pair{AccessKeyID: "AKIA" + randomText(10), SecretAccessKey: base64.StdEncoding.EncodeToString(random(30))}, Master: random(32)}
}

// create writes new keys so that a crash leaves the whole file or none.
func create(path string) ([]byte, error) {
	b, err := json.MarshalIndent(fresh(), "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	return b, err
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func randomText(n int) string { return base32.StdEncoding.EncodeToString(random(n)) }

// Root gives the key of the account's root user.
func (r *Ring) Root() Pair { return r.root }

const (
	agentPrefix = "AKIAN"
	agentRandom = 5 // bytes, 8 characters
	agentTag    = 5
)

// NewAgent makes a key for an agent.
func (r *Ring) NewAgent() Pair {
	id := random(agentRandom)
	text := agentPrefix + base32.StdEncoding.EncodeToString(append(id, r.tag(id)...))
	return Pair{AccessKeyID: text, SecretAccessKey: r.agentSecret(text)}
}

// Agent gives the key of an agent's again that NewAgent has made.
func (r *Ring) Agent(id string) Pair {
	return Pair{AccessKeyID: id, SecretAccessKey: r.agentSecret(id)}
}

func (r *Ring) tag(id []byte) []byte { return r.mac("agent id", id)[:agentTag] }

func (r *Ring) agentSecret(keyID string) string {
	return base64.StdEncoding.EncodeToString(r.mac("agent secret", []byte(keyID))[:30])
}

func (r *Ring) mac(use string, data []byte) []byte {
	h := hmac.New(sha256.New, r.master)
	h.Write([]byte(use))
	h.Write([]byte{0})
	h.Write(data)
	return h.Sum(nil)
}

// Key implements wire.KeySource.
func (r *Ring) Key(_ context.Context, id, token string) (wire.Key, error) {
	if strings.HasPrefix(id, sessionPrefix) {
		return r.sessionKey(id, token)
	}
	if id == r.root.AccessKeyID {
		return wire.Key{Secret: r.root.SecretAccessKey, Caller: wire.Caller{AccessKeyID: id, Account: r.account, UserID: r.account, ARN: "arn:aws:iam::" + r.account + ":root", Type: wire.CallerRoot}}, nil
	}
	if rest, ok := strings.CutPrefix(id, agentPrefix); ok {
		b, err := base32.StdEncoding.DecodeString(rest)
		if err == nil && len(b) == agentRandom+agentTag && hmac.Equal(b[agentRandom:], r.tag(b[:agentRandom])) {
			return wire.Key{Secret: r.agentSecret(id), Caller: wire.Caller{AccessKeyID: id, Account: r.account, UserID: id, ARN: "arn:aws:iam::" + r.account + ":user/roadstead/agent/" + id, Type: wire.CallerAgent}}, nil
		}
	}
	return wire.Key{}, fault.New(fault.ResourceNotFound, "no such access key")
}
