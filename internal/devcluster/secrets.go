package devcluster

import (
	"context"
	"fmt"
	"strings"

	"roadstead.dev/roadstead/internal/api/secretsmanager"
	"roadstead.dev/roadstead/internal/api/ssm"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/execlink"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// newSecrets makes the APIs of Secrets Manager and of the Parameter Store.
func newSecrets(cfg Config, ring *keyring.Ring, keeper *secrets.Keeper, store *state.Store, sessions *execlink.Broker) ([]*wire.Service, error) {
	if err := checkKeys(store.View(), keeper); err != nil {
		return nil, err
	}
	denied := func(caller wire.Caller, action, resource string) error {
		return fault.New(fault.AccessDenied, "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", caller.ARN, action, resource, action)
	}
	sm, err := secretsmanager.New(secretsmanager.Config{
		Store: store, Keeper: keeper, Place: cfg.Place,
		Allow: func(_ context.Context, caller wire.Caller, s *secrets.Secret) error {
			arn := s.ARN(cfg.Place)
			if s.Suffix == "" {
				arn = s.Name
			}
			if mayRead(&store.View().Tables, ring, caller, func(r ecs.SecretReference) bool {
				return !r.Parameter && s.Name != "" && (r.ID == arn || r.ID == s.Name || r.ID == strings.TrimSuffix(arn, "-"+s.Suffix))
			}) {
				return nil
			}
			return denied(caller, "secretsmanager:GetSecretValue", arn)
		},
	})
	if err != nil {
		return nil, err
	}
	parameters, err := ssm.New(ssm.Config{
		Store: store, Keeper: keeper, Place: cfg.Place, Sessions: sessions, StreamURL: streamURL,
		Allow: func(_ context.Context, caller wire.Caller, p *secrets.Parameter) error {
			arn := p.ARN(cfg.Place)
			if mayRead(&store.View().Tables, ring, caller, func(r ecs.SecretReference) bool {
				// A version or a label may be named behind it.
				is := func(name string) bool { return r.ID == name || strings.HasPrefix(r.ID, name+":") }
				return r.Parameter && (is(arn) || is(p.Name) || is("/"+p.Name))
			}) {
				return nil
			}
			return denied(caller, "ssm:GetParameters", arn)
		},
	})
	if err != nil {
		return nil, err
	}
	return []*wire.Service{sm.Service(), parameters.Service()}, nil
}

// mayRead tells whether a caller may have the value of what is: the root user may, and the execution role of a task that has not
// ended, in its session for that task, where the task's definition names it. There are no policies yet that could allow more.
func mayRead(t *state.Tables, ring *keyring.Ring, caller wire.Caller, is func(ecs.SecretReference) bool) bool {
	if caller.Type == wire.CallerRoot {
		return true
	}
	roleID, session, ok := strings.Cut(caller.UserID, ":")
	if caller.Type != wire.CallerAssumedRole || !ok {
		return false
	}
	id, err := ecs.ParseTaskID(session)
	if err != nil {
		return false
	}
	task := t.Tasks.Get(id)
	if task == nil || task.LastStatus >= ecs.TaskStopped {
		return false
	}
	d := t.Definitions.Get(task.Definition)
	if d == nil {
		return false
	}
	if _, role := d.Roles(task.Overrides); role == "" || ring.RoleID(role) != roleID {
		return false
	}
	for _, r := range d.SecretReferences() {
		if is(r) {
			return true
		}
	}
	return false
}

// checkKeys refuses to start with another key file than that of the values that are stored: what would be stored from then on could
// not be read by who has the right one.
func checkKeys(v *state.View, keeper *secrets.Keeper) error {
	for s := range v.SecretValues.All() {
		if !keeper.Has(s.Value) {
			return fmt.Errorf("%s: %w", s.Of(), secrets.ErrKey)
		}
	}
	for c := range v.EventConnections.All() {
		if !keeper.Has(c.Secret) {
			return fmt.Errorf("%s: %w", events.SealedAs(c), secrets.ErrKey)
		}
	}
	for p := range v.ParameterValues.All() {
		if !keeper.Has(p.Value) {
			return fmt.Errorf("%s: %w", p.Of(), secrets.ErrKey)
		}
	}
	return nil
}
