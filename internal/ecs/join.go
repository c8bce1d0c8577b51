package ecs

// JoinToken lets agents have access keys of their own. What a machine is given of it holds a secret, of which only the hash is kept.
type JoinToken struct {
	ID string `json:"id"`
	// SecretHash is the SHA-256 of the secret, which is random enough to need no slow hash.
	SecretHash []byte `json:"secretHash"`
	CreatedAt  Millis `json:"createdAt"`
	ExpiresAt  Millis `json:"expiresAt"`
	RevokedAt  Millis `json:"revokedAt,omitempty"`
	// MaxUses is how many agents may join with it.
	MaxUses int            `json:"maxUses"`
	Uses    []JoinTokenUse `json:"uses,omitempty"`
}

// JoinTokenUse is one agent's joining.
type JoinTokenUse struct {
	// NonceHash is the SHA-256 of the agent's nonce: who repeats it has lost the answer, and gets the same one again.
	NonceHash []byte `json:"nonceHash"`
	KeyID     string `json:"keyId"`
	At        Millis `json:"at"`
}

// AgentKey is what is known of an agent's access key, whose secret is kept nowhere. One without a record was made by hand.
type AgentKey struct {
	ID string `json:"id"`
	// Token is the id of the join token that it was given for; "" if it was made by hand.
	Token     string `json:"token,omitempty"`
	CreatedAt Millis `json:"createdAt,omitempty"`
	// RevokedAt is when it was withdrawn; 0 is not yet.
	RevokedAt Millis `json:"revokedAt,omitempty"`
}
