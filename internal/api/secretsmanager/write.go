package secretsmanager

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// Bounds of values and versions.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
const (
	largestValue = 65536
	mostVersions = 100
)

// value is a new version's.
type value struct {
	token  string
	bytes  []byte
	binary bool
	// given: there is one; without, nothing is put.
	given bool
}

func readValue(token, text *string, binary []byte) (value, error) {
	v := value{token: aws.ToString(token), given: text != nil || binary != nil}
	switch {
	case text != nil && binary != nil:
		return v, fault.New(fault.InvalidParameter, "You can't specify both a SecretString and a SecretBinary.")
	case text != nil:
		v.bytes = []byte(*text)
	default:
		v.bytes, v.binary = binary, true
	}
	switch {
	case v.given && len(v.bytes) == 0 || len(v.bytes) > largestValue:
		return v, fault.New(fault.InvalidParameter, "The value of a secret must be from 1 to %d bytes long.", largestValue)
	case v.token == "":
		v.token = uuid.NewString()
	case len(v.token) < shortestToken || len(v.token) > longestToken:
		return v, fault.New(fault.InvalidParameter, "ClientRequestToken must be %d-%d characters long.", shortestToken, longestToken)
	}
	return v, nil
}

// CreateSecret makes a secret, with a first version if there is a value. A request that is repeated with its token changes nothing.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
func (a *API) CreateSecret(ctx context.Context, in *sdk.CreateSecretInput) (*sdk.CreateSecretOutput, error) {
	name := aws.ToString(in.Name)
	v, err := readValue(in.ClientRequestToken, in.SecretString, in.SecretBinary)
	switch {
	case err != nil:
		return nil, err
	case len(name) > longestName || !nameForm.MatchString(name):
		return nil, fault.New(fault.InvalidParameter, "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	case len(aws.ToString(in.Description)) > longestDescription:
		return nil, fault.New(fault.InvalidParameter, "Description must be at most %d characters long.", longestDescription)
	case len(in.AddReplicaRegions) > 0:
		return nil, fault.New(fault.Unsupported, "AddReplicaRegions is not supported: there is one region.")
	case in.Type != nil:
		return nil, fault.New(fault.Unsupported, "Type is not supported: there are no secrets that others manage.")
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	out := &sdk.CreateSecretOutput{Name: &name}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		now := a.now()
		s := &secrets.Secret{
			Name: name, Suffix: rand.Text()[:suffix-1], Description: aws.ToString(in.Description), KMSKeyID: aws.ToString(in.KmsKeyId), Tags: tags, CreatedAt: now, ChangedAt: now,
		}
		switch old := tx.Secrets.Get(s.Key()); {
		case old == nil:
		case old.GoneAt != 0 && old.GoneAt <= now:
			remove(tx, old)
		case old.DeletedAt != 0:
			return fault.New(invalidRequest, "You can't create this secret because a secret with this name is already scheduled for deletion.")
		case v.given && old.Version(v.token) != nil && a.holds(&tx.Tables, old, v):
			s = old
		default:
			return fault.New(resourceExists, "The operation failed because the secret %s already exists.", name)
		}
		out.ARN = aws.String(s.ARN(a.Place))
		if v.given {
			out.VersionId = &v.token
			if s.Version(v.token) == nil {
				a.add(tx, s, v, []string{secrets.StageCurrent})
			}
		}
		tx.Secrets.Put(s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// holds tells whether the version of a value's token has that value.
func (a *API) holds(t *state.Tables, s *secrets.Secret, v value) bool {
	stored := t.SecretValues.Get(secrets.SecretValueKey(s.Name, v.token))
	if stored == nil || s.Version(v.token).Binary != v.binary {
		return false
	}
	was, err := a.Keeper.Open(stored.Of(), stored.Value)
	return err == nil && subtle.ConstantTimeCompare(was, v.bytes) == 1
}

// add puts a new version with its stages. s is a clone.
func (a *API) add(tx *state.Tx, s *secrets.Secret, v value, stages []string) {
	s.Versions = append(s.Versions, secrets.Version{ID: v.token, CreatedAt: a.now(), Binary: v.binary})
	for _, stage := range stages {
		s.Move(stage, v.token)
	}
	// What has no stage is not to be relied on; of those the oldest go first.
	for i := 0; len(s.Versions) > mostVersions && i < len(s.Versions); {
		if len(s.Versions[i].Stages) > 0 {
			i++
			continue
		}
		tx.SecretValues.Delete(secrets.SecretValueKey(s.Name, s.Versions[i].ID))
		s.Versions = slices.Delete(s.Versions, i, i+1)
	}
	stored := &secrets.SecretValue{Secret: s.Name, Version: v.token}
	stored.Value = a.Keeper.Seal(stored.Of(), v.bytes)
	tx.SecretValues.Put(stored)
	s.ChangedAt = a.now()
}

// put adds a version, unless the token's is there with the same value already.
func (a *API) put(tx *state.Tx, s *secrets.Secret, v value, stages []string) error {
	if s.Version(v.token) == nil {
		a.add(tx, s, v, stages)
		return nil
	}
	if !a.holds(&tx.Tables, s, v) {
		return fault.New(resourceExists, "You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", v.token, s.ARN(a.Place))
	}
	return nil
}

// PutSecretValue adds a version and moves stages to it, AWSCURRENT if none is named.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
func (a *API) PutSecretValue(ctx context.Context, in *sdk.PutSecretValueInput) (*sdk.PutSecretValueOutput, error) {
	v, err := readValue(in.ClientRequestToken, in.SecretString, in.SecretBinary)
	switch {
	case err != nil:
		return nil, err
	case !v.given:
		return nil, fault.New(fault.InvalidParameter, "You must provide either SecretString or SecretBinary.")
	case in.RotationToken != nil:
		return nil, fault.New(fault.Unsupported, "RotationToken is not supported: there is no rotation.")
	}
	names := in.VersionStages
	if len(names) == 0 {
		names = []string{secrets.StageCurrent}
	}
	if err := checkStages(names); err != nil {
		return nil, err
	}
	out := &sdk.PutSecretValueOutput{VersionId: &v.token}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := a.living(&tx.Tables, in.SecretId)
		if err != nil {
			return err
		}
		s := old.Clone()
		if err := a.put(tx, s, v, names); err != nil {
			return err
		}
		tx.Secrets.Put(s)
		out.ARN, out.Name, out.VersionStages = aws.String(s.ARN(a.Place)), &s.Name, slices.Clone(s.Version(v.token).Stages)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func checkStages(names []string) error {
	if len(names) > mostStages {
		return fault.New(fault.InvalidParameter, "A version can have at most %d staging labels.", mostStages)
	}
	for _, n := range names {
		if n == "" || len(n) > longestStage {
			return fault.New(fault.InvalidParameter, "A staging label must be from 1 to %d characters long.", longestStage)
		}
	}
	return nil
}

// UpdateSecret changes what is known of a secret, and puts a new version if there is a value.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecret.html
func (a *API) UpdateSecret(ctx context.Context, in *sdk.UpdateSecretInput) (*sdk.UpdateSecretOutput, error) {
	v, err := readValue(in.ClientRequestToken, in.SecretString, in.SecretBinary)
	switch {
	case err != nil:
		return nil, err
	case len(aws.ToString(in.Description)) > longestDescription:
		return nil, fault.New(fault.InvalidParameter, "Description must be at most %d characters long.", longestDescription)
	case in.Type != nil:
		return nil, fault.New(fault.Unsupported, "Type is not supported: there are no secrets that others manage.")
	}
	out := &sdk.UpdateSecretOutput{}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := a.living(&tx.Tables, in.SecretId)
		if err != nil {
			return err
		}
		s := old.Clone()
		if in.Description != nil {
			s.Description = *in.Description
		}
		if in.KmsKeyId != nil {
			s.KMSKeyID = *in.KmsKeyId
		}
		if v.given {
			if err := a.put(tx, s, v, []string{secrets.StageCurrent}); err != nil {
				return err
			}
			out.VersionId = &v.token
		}
		s.ChangedAt = a.now()
		tx.Secrets.Put(s)
		out.ARN, out.Name = aws.String(s.ARN(a.Place)), &s.Name
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateSecretVersionStage moves a stage from one version to another, or takes it away.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
func (a *API) UpdateSecretVersionStage(ctx context.Context, in *sdk.UpdateSecretVersionStageInput) (*sdk.UpdateSecretVersionStageOutput, error) {
	stage, to, from := aws.ToString(in.VersionStage), aws.ToString(in.MoveToVersionId), aws.ToString(in.RemoveFromVersionId)
	if err := checkStages([]string{stage}); err != nil {
		return nil, err
	}
	if to == "" && from == "" {
		return nil, fault.New(fault.InvalidParameter, "You must specify MoveToVersionId, RemoveFromVersionId or both.")
	}
	out := &sdk.UpdateSecretVersionStageOutput{}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := a.living(&tx.Tables, in.SecretId)
		if err != nil {
			return err
		}
		s := old.Clone()
		for _, id := range []string{to, from} {
			if id != "" && s.Version(id) == nil {
				return fault.New(fault.ResourceNotFound, "Secrets Manager can't find the specified secret value for VersionId: %s", id)
			}
		}
		if err := movable(s, stage, to, from); err != nil {
			return err
		}
		s.Move(stage, to)
		s.ChangedAt = a.now()
		tx.Secrets.Put(s)
		out.ARN, out.Name = aws.String(s.ARN(a.Place)), &s.Name
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func movable(s *secrets.Secret, stage, to, from string) error {
	has := s.At(stage)
	switch {
	case from != "" && (has == nil || has.ID != from):
		return fault.New(fault.InvalidParameter, "The staging label %s is currently not attached to version %s.", stage, from)
	case from == "" && has != nil && has.ID != to:
		return fault.New(fault.InvalidParameter, "The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", stage, has.ID)
	case to == "" && stage == secrets.StageCurrent:
		return fault.New(fault.InvalidParameter, "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.")
	}
	if v := s.Version(to); v != nil && !slices.Contains(v.Stages, stage) && len(v.Stages) >= mostStages {
		return fault.New(fault.LimitExceeded, "A version can have at most %d staging labels.", mostStages)
	}
	return nil
}
