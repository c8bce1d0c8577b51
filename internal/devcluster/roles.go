package devcluster

import (
	"context"
	"time"

	stsapi "roadstead.dev/roadstead/internal/api/sts"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// newSTS makes the STS API over the keys and the tasks.
func newSTS(cfg Config, ring *keyring.Ring, store *state.Store) (*stsapi.API, error) {
	return stsapi.New(stsapi.Config{
		Account: cfg.Place.Account,
		Lend: func(s stsapi.Session) (stsapi.Credentials, error) {
			session := keyring.Session{RoleARN: s.RoleARN, RoleID: ring.RoleID(s.RoleARN), Name: s.Name, Expires: s.Expires}
			k, err := ring.NewSession(session)
			if err != nil {
				return stsapi.Credentials{}, err
			}
			return stsapi.Credentials{
				AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken, ARN: session.ARN(), UserID: session.UserID(),
			}, nil
		},
		Allow: func(_ context.Context, caller wire.Caller, role, session string) error {
			if caller.Type == wire.CallerRoot || caller.Type == wire.CallerAgent && taskHasRole(&store.View().Tables, caller.AccessKeyID, session, role) {
				return nil
			}
			return fault.New("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller.ARN, role)
		},
	})
}

// lender gives tasks of Amazon's agents their roles. The credentials' id is one that only we can make.
func lender(ring *keyring.Ring) func(t *ecs.Task, role, roleType string, expires time.Time) (*payload.Credentials, error) {
	return func(t *ecs.Task, role, roleType string, expires time.Time) (*payload.Credentials, error) {
		expires = expires.UTC().Truncate(time.Second)
		k, err := ring.NewSession(keyring.Session{RoleARN: role, RoleID: ring.RoleID(role), Name: t.ID.String(), Expires: expires})
		if err != nil {
			return nil, err
		}
		return &payload.Credentials{
			ID: ring.Secret("credentials of "+roleType, t.ID[:]), RoleARN: role, AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey,
			SessionToken: k.SessionToken, Expiration: expires.Format(time.RFC3339),
		}, nil
	}
}

// taskHasRole tells whether a task that has not ended, on the instance of an agent's key, has a role: the agent hands it on to the
// task's containers.
func taskHasRole(t *state.Tables, key, id, role string) bool {
	taskID, err := ecs.ParseTaskID(id)
	if err != nil {
		return false
	}
	task := t.Tasks.Get(taskID)
	if task == nil || task.LastStatus >= ecs.TaskStopped {
		return false
	}
	if i := t.Instances.Get(task.Instance); i == nil || i.AgentKey != key {
		return false
	}
	d := t.Definitions.Get(task.Definition)
	if d == nil {
		return false
	}
	taskRole, executionRole := d.Roles(task.Overrides)
	return role != "" && (role == taskRole || role == executionRole)
}
