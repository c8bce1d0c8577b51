package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// SecretSource gets the values of secrets. Its methods may be called at once from many goroutines. Its errors hold no value.
type SecretSource interface {
	// Secret gives the whole value of what a reference names, whatever its JSONKey, by the execution role of a task.
	Secret(ctx context.Context, role, task string, ref ecs.SecretReference) (string, error)
}

// secretsFailed begins what ECS says of a task whose secrets cannot be had.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html
const secretsFailed = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "

// secrets gives a container's secrets as NAME=VALUE. They go nowhere but into its environment.
func (e *Engine) secrets(ctx context.Context, t *task, i int) (env []string, err error) {
	err = e.eachSecret(ctx, t, t.definition.ContainerDefinitions[i].Secrets, func(name, value string) {
		env = append(env, name+"="+value)
	})
	return env, err
}

// eachSecret fetches secrets in turn, until one fails; a simulated container has none.
func (e *Engine) eachSecret(ctx context.Context, t *task, all []ecs.Secret, use func(name, value string)) error {
	if e.cfg.Simulated {
		return nil
	}
	for _, s := range all {
		value, err := e.secret(ctx, t, s.ValueFrom)
		if err != nil {
			return err
		}
		use(s.Name, value)
	}
	return nil
}

// withEnv lays NAME=VALUE entries over others: programs take the first of a name that is there twice.
func withEnv(env, over []string) []string {
	names := make(map[string]bool, len(over))
	for _, kv := range over {
		name, _, _ := strings.Cut(kv, "=")
		names[name] = true
	}
	kept := slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return names[name]
	})
	return append(kept, over...)
}

func (e *Engine) secret(ctx context.Context, t *task, valueFrom string) (string, error) {
	ref, err := ecs.ParseSecretReference(valueFrom)
	if err != nil {
		return "", errors.New(secretsFailed + err.Error())
	}
	_, role := t.definition.Roles(t.run.Overrides)
	value, err := e.fetch(ctx, t, role, ref)
	if err == nil && ref.JSONKey != "" {
		value, err = member(value, ref.JSONKey)
	}
	switch {
	case err == nil:
		return value, nil
	case ref.Parameter:
		return "", fmt.Errorf("%sunable to retrieve secrets from ssm: %s: %w", secretsFailed, ref.ID, err)
	}
	return "", fmt.Errorf("%sunable to retrieve secret from asm: failed to fetch secret %s from secrets manager: %w", secretsFailed, ref.ID, err)
}

func (e *Engine) fetch(ctx context.Context, t *task, role string, ref ecs.SecretReference) (string, error) {
	switch {
	case role == "":
		return "", errors.New("the task has no execution role")
	case e.cfg.Secrets == nil:
		return "", errors.New("this agent has no source of secrets")
	case ref.Region != "" && ref.Region != e.cfg.Region:
		return "", fmt.Errorf("region %s is not this agent's, which is %s", ref.Region, e.cfg.Region)
	}
	return e.cfg.Secrets.Secret(ctx, role, t.run.ID.String(), ref)
}

// member gives one member of a JSON object: a string's text, or the JSON of anything else. Its errors quote nothing of it.
func member(object, key string) (string, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(object), &members) != nil {
		return "", fmt.Errorf("the secret is no JSON object, of which key %q was asked for", key)
	}
	raw, ok := members[key]
	if !ok {
		return "", fmt.Errorf("retrieved secret from Secrets Manager did not contain json key %s", key)
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	return string(raw), nil
}

// registryAuth adds the password of a private registry: repositoryCredentials name a secret of username and password.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/private-auth.html
func (e *Engine) registryAuth(ctx context.Context, t *task, i int, o *runtime.PullOptions) error {
	c := t.definition.ContainerDefinitions[i].RepositoryCredentials
	if c == nil || c.CredentialsParameter == "" || e.cfg.Simulated {
		return nil
	}
	_, role := t.definition.Roles(t.run.Overrides)
	value, err := e.fetch(ctx, t, role, ecs.SecretReference{ID: c.CredentialsParameter})
	if err != nil {
		return fmt.Errorf("%sunable to retrieve secret from asm: failed to fetch secret %s from secrets manager: %w", secretsFailed, c.CredentialsParameter, err)
	}
	for name, to := range map[string]*string{"username": &o.Username, "password": &o.Password} {
		if *to, err = member(value, name); err != nil {
			return fmt.Errorf("%sunable to retrieve secret from asm: secret %s: %w", secretsFailed, c.CredentialsParameter, err)
		}
	}
	return nil
}
