package events

import (
	"encoding/json"
	"fmt"

	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// Credentials are what is secret of a connection. Never log one.
type Credentials struct {
	// Value is the password or the API key.
	Value string `json:"value"`
	// Values are those of the secret parameters, by their index.
	Values map[int]string `json:"values,omitempty"`
}

// SealedAs is what the credentials of a connection are sealed as.
func SealedAs(c *state.EventConnection) string {
	return fmt.Sprintf("event connection %q %s", c.Name, c.ID)
}

// Seal puts credentials into a connection that has its name and id.
func Seal(k *secrets.Keeper, c *state.EventConnection, with Credentials) error {
	b, err := json.Marshal(with)
	if err != nil {
		return fmt.Errorf("write the credentials of a connection: %w", err)
	}
	c.Secret = k.Seal(SealedAs(c), b)
	return nil
}

// Open gives a connection's credentials. Its error says nothing of them.
func Open(k *secrets.Keeper, c *state.EventConnection) (Credentials, error) {
	b, err := k.Open(SealedAs(c), c.Secret)
	if err != nil {
		return Credentials{}, err
	}
	var out Credentials
	if json.Unmarshal(b, &out) != nil {
		return Credentials{}, fmt.Errorf("%s: the credentials cannot be read", SealedAs(c))
	}
	return out, nil
}
