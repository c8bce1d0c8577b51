// Package join is how a machine gets to be an agent: the form of join tokens, and the exchange of one for an access key over a
// connection that the token itself vouches for.
package join

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
)

// Token is what an agent is given to join. It must not be logged; its String and LogValue say the id alone.
type Token struct {
	// ID may be known to all.
	ID string
	// Secret is 32 random bytes as text.
	Secret string
	// Pin is the SHA-256 of the CA's public key, or SystemRoots.
	Pin string
}

// SystemRoots in place of a pin is of a server with its owner's own certificate: the agent's machine knows who signs those.
const SystemRoots = "system"

const tokenPrefix = "rsjoin1"

var errToken = errors.New("this is no join token: `roadstead token create` on the server makes one, rsjoin1.ID.SECRET.PIN")

// NewToken makes a token with 256 bits of chance.
func NewToken(pin string) Token {
	id, secret := make([]byte, 6), make([]byte, 32)
	rand.Read(id)
	rand.Read(secret)
	return Token{ID: encode(id), Secret: encode(secret), Pin: pin}
}

// Parse reads a token. Its error does not repeat what was given.
func Parse(s string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) != 4 || parts[0] != tokenPrefix {
		return Token{}, errToken
	}
	t := Token{ID: parts[1], Secret: parts[2], Pin: parts[3]}
	if size(t.ID) != 6 || size(t.Secret) != 32 || t.Pin != SystemRoots && size(t.Pin) != sha256.Size {
		return Token{}, errToken
	}
	return t, nil
}

// Reveal is the token as an agent is given it.
func (t Token) Reveal() string {
	return strings.Join([]string{tokenPrefix, t.ID, t.Secret, t.Pin}, ".")
}

// String tells which token it is, and not its secret.
func (t Token) String() string { return "join token " + t.ID }

// GoString is String, for %#v.
func (t Token) GoString() string { return t.String() }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Pin is what tokens say of a CA.
func Pin(ca *x509.Certificate) string {
	sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return encode(sum[:])
}

// Nonce makes what an agent says of itself when it joins, so that it may ask again.
func Nonce() string {
	b := make([]byte, 32)
	rand.Read(b)
	return encode(b)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// size is how many bytes a text stands for, -1 for none.
func size(s string) int {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return -1
	}
	return len(b)
}
