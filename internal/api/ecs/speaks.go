package ecsapi

import (
	"context"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// speaksFor refuses an agent's own key that did not register an instance, nil being one that is not there. AWS has this of the
// instance role's policy, which names instances by condition; here it is the rule.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/instance_IAM_role.html
func (a *API) speaksFor(ctx context.Context, i *ecs.Instance) error {
	if key := a.Agent(ctx); key != "" && (i == nil || i.AgentKey != key) {
		return fault.New(fault.AccessDenied, "This agent's access key did not register the container instance, so it may not speak for it.")
	}
	return nil
}

// withdrawKey ends what an agent may do that joined with a token, when somebody else deregisters its instance by force: it would
// register anew at its next start. A key that was made by hand may be several agents', and is withdrawn by hand.
func withdrawKey(tx *state.Tx, id string, now ecs.Millis) {
	k := tx.AgentKeys.Get(id)
	if k == nil || k.RevokedAt != 0 {
		return
	}
	revoked := *k
	revoked.RevokedAt = now
	tx.AgentKeys.Put(&revoked)
}
