package ecsapi

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// runToken is a client token, with what it stands for.
type runToken struct {
	text   string
	digest [32]byte
}

func tokenKey(cluster, token string) string { return cluster + "/RunTask/" + token }

// readToken checks a client token and digests the request that it comes with; nil if there is none.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
func readToken(in *sdk.RunTaskInput) (*runToken, error) {
	text := str(in.ClientToken)
	if text == "" {
		return nil, nil
	}
	if len(text) > 64 {
		return nil, fault.New(fault.InvalidParameter, "clientToken must be at most 64 characters long.")
	}
	for i := range len(text) {
		if text[i] < 33 || text[i] > 126 {
			return nil, fault.New(fault.InvalidParameter, "clientToken contains invalid characters.")
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("digest RunTask request: %w", err)
	}
	return &runToken{text: text, digest: sha256.Sum256(body)}, nil
}

// repeated answers a request whose token is known with the tasks that it made. A token ends with its time and with its tasks.
func (a *API) repeated(tx *state.Tx, cluster string, token *runToken, made *started) (bool, error) {
	if token == nil {
		return false, nil
	}
	known := tx.Tokens.Get(tokenKey(cluster, token.text))
	if known == nil || known.ExpiresAt <= a.now() {
		return false, nil
	}
	var arns []string
	for _, id := range known.Tasks {
		if task := tx.Tasks.Get(id); task != nil {
			arns = append(arns, a.Place.TaskARN(cluster, id))
			made.tasks = append(made.tasks, task)
		}
	}
	if len(arns) == 0 {
		return false, nil
	}
	if known.Digest != token.digest {
		e := fault.New(fault.Conflict, "The provided clientToken is already in use with a different RunTask request.")
		e.Fields = map[string]any{"resourceIds": arns}
		return false, e
	}
	return true, nil
}
