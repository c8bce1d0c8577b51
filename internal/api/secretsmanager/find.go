package secretsmanager

import (
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// Bounds of names, descriptions and ids.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
const (
	longestName        = 512
	longestDescription = 2048
	shortestToken      = 32
	longestToken       = 64
	longestStage       = 256
	mostStages         = 20
	mostTags           = 50
	// suffix is the dash and the six characters that end an ARN.
	suffix = 7
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]+$`)

var (
	errNotFound = fault.New(fault.ResourceNotFound, "Secrets Manager can't find the specified secret.")
	errDeleted  = fault.New(invalidRequest, "You can't perform this operation on the secret because it was marked for deletion.")
)

// secret finds one by its name, its ARN, or its ARN without the six last characters; also one that is marked for deletion.
func (a *API) secret(t *state.Tables, id *string) (*secrets.Secret, error) {
	ref := aws.ToString(id)
	if ref == "" || len(ref) > longestRef {
		return nil, fault.New(fault.InvalidParameter, "SecretId must be the name or ARN of a secret, of 1 to %d characters.", longestRef)
	}
	s := a.lookUp(t, ref)
	if s == nil || s.GoneAt != 0 && s.GoneAt <= a.now() {
		return nil, errNotFound
	}
	return s, nil
}

const longestRef = 2048

func (a *API) lookUp(t *state.Tables, ref string) *secrets.Secret {
	name, isARN := strings.CutPrefix(ref, "arn:aws:secretsmanager:"+a.Place.Region+":"+a.Place.Account+":secret:")
	if !isARN {
		return t.Secrets.Get(secrets.SecretKey(ref))
	}
	if cut := len(name) - suffix; cut > 0 && name[cut] == '-' {
		if s := t.Secrets.Get(secrets.SecretKey(name[:cut])); s != nil && s.Suffix == name[cut+1:] {
			return s
		}
	}
	return t.Secrets.Get(secrets.SecretKey(name))
}

// living finds a secret that is not marked for deletion.
func (a *API) living(t *state.Tables, id *string) (*secrets.Secret, error) {
	s, err := a.secret(t, id)
	if err == nil && s.DeletedAt != 0 {
		return nil, errDeleted
	}
	return s, err
}

// remove deletes a secret with its values.
func remove(tx *state.Tx, s *secrets.Secret) {
	for i := range s.Versions {
		tx.SecretValues.Delete(secrets.SecretValueKey(s.Name, s.Versions[i].ID))
	}
	tx.Secrets.Delete(s.Key())
}

// at gives a moment as answers have it; none is nil.
func at(m ecs.Millis) *time.Time {
	if m == 0 {
		return nil
	}
	t := m.Time()
	return &t
}

// text gives a text as answers have it; "" is nil.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// stages are the versions that have any, with theirs.
func stages(s *secrets.Secret) map[string][]string {
	out := map[string][]string{}
	for i := range s.Versions {
		if v := &s.Versions[i]; len(v.Stages) > 0 {
			out[v.ID] = v.Stages
		}
	}
	return out
}
