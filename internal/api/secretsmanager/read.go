package secretsmanager

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// GetSecretValue gives the value of a version: of the one named, or of the one that a stage is at, AWSCURRENT if none is named.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
func (a *API) GetSecretValue(ctx context.Context, in *sdk.GetSecretValueInput) (*sdk.GetSecretValueOutput, error) {
	view := a.Store.View()
	e, err := a.value(ctx, &view.Tables, in.SecretId, aws.ToString(in.VersionId), aws.ToString(in.VersionStage))
	if err != nil {
		return nil, err
	}
	return &sdk.GetSecretValueOutput{
		ARN: e.ARN, Name: e.Name, CreatedDate: e.CreatedDate, SecretBinary: e.SecretBinary, SecretString: e.SecretString, VersionId: e.VersionId, VersionStages: e.VersionStages,
	}, nil
}

func (a *API) value(ctx context.Context, t *state.Tables, id *string, version, stage string) (*types.SecretValueEntry, error) {
	s, err := a.secret(t, id)
	// Who may not read it is not told more than of any other.
	if s != nil {
		if err := a.Allow(ctx, wire.CallerFrom(ctx), s); err != nil {
			return nil, err
		}
	} else if denied := a.Allow(ctx, wire.CallerFrom(ctx), &secrets.Secret{Name: aws.ToString(id)}); denied != nil {
		return nil, denied
	}
	if err == nil && s.DeletedAt != 0 {
		err = errDeleted
	}
	if err != nil {
		return nil, err
	}
	v, err := choose(s, version, stage)
	if err != nil {
		return nil, err
	}
	stored := t.SecretValues.Get(secrets.SecretValueKey(s.Name, v.ID))
	if stored == nil {
		return nil, fault.New(fault.ResourceNotFound, "Secrets Manager can't find the specified secret value for VersionId: %s", v.ID)
	}
	opened, err := a.Keeper.Open(stored.Of(), stored.Value)
	if err != nil {
		return nil, fault.Wrap(err, decryption, "Secrets Manager can't decrypt the protected secret text with the keys of this server.")
	}
	e := &types.SecretValueEntry{ARN: aws.String(s.ARN(a.Place)), Name: &s.Name, CreatedDate: at(v.CreatedAt), VersionId: &v.ID, VersionStages: v.Stages}
	if v.Binary {
		e.SecretBinary = opened
	} else {
		e.SecretString = aws.String(string(opened))
	}
	return e, nil
}

func choose(s *secrets.Secret, version, stage string) (*secrets.Version, error) {
	if version != "" {
		v := s.Version(version)
		if v == nil {
			return nil, fault.New(fault.ResourceNotFound, "Secrets Manager can't find the specified secret value for VersionId: %s", version)
		}
		if at := s.At(stage); stage != "" && (at == nil || at.ID != version) {
			return nil, fault.New(invalidRequest, "You provided a VersionStage that is not associated to the provided VersionId.")
		}
		return v, nil
	}
	if stage == "" {
		stage = secrets.StageCurrent
	}
	if v := s.At(stage); v != nil {
		return v, nil
	}
	return nil, fault.New(fault.ResourceNotFound, "Secrets Manager can't find the specified secret value for staging label: %s", stage)
}

// Bounds of BatchGetSecretValue.
const mostInBatch = 20

// BatchGetSecretValue gives the current values of several secrets: those named, or a page of those that filters let through.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html
func (a *API) BatchGetSecretValue(ctx context.Context, in *sdk.BatchGetSecretValueInput) (*sdk.BatchGetSecretValueOutput, error) {
	ids := in.SecretIdList
	switch {
	case len(ids) > 0 && len(in.Filters) > 0, len(ids) == 0 && len(in.Filters) == 0:
		return nil, fault.New(fault.InvalidParameter, "You must include Filters or SecretIdList, but not both.")
	case len(ids) > mostInBatch:
		return nil, fault.New(fault.InvalidParameter, "SecretIdList can have at most %d entries.", mostInBatch)
	case len(ids) > 0 && (in.MaxResults != nil || in.NextToken != nil):
		return nil, fault.New(fault.InvalidParameter, "MaxResults and NextToken go with Filters, not with SecretIdList.")
	}
	out := &sdk.BatchGetSecretValueOutput{}
	view := a.Store.View()
	if len(in.Filters) > 0 {
		most, err := pageSize(in.MaxResults, mostInBatch)
		if err != nil {
			return nil, err
		}
		list, next, err := a.page(&view.Tables, in.Filters, false, false, in.NextToken, most)
		if err != nil {
			return nil, err
		}
		out.NextToken = next
		for _, s := range list {
			ids = append(ids, s.Name)
		}
	}
	for _, id := range ids {
		e, err := a.value(ctx, &view.Tables, &id, "", "")
		var known *fault.Error
		switch {
		case err == nil:
			out.SecretValues = append(out.SecretValues, *e)
		case errors.As(err, &known):
			out.Errors = append(out.Errors, types.APIErrorType{ErrorCode: aws.String(string(known.Kind)), Message: &known.Message, SecretId: &id})
		default:
			return nil, err
		}
	}
	return out, nil
}

// DescribeSecret tells all of a secret but its values.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
func (a *API) DescribeSecret(_ context.Context, in *sdk.DescribeSecretInput) (*sdk.DescribeSecretOutput, error) {
	view := a.Store.View()
	s, err := a.secret(&view.Tables, in.SecretId)
	if err != nil {
		return nil, err
	}
	return &sdk.DescribeSecretOutput{
		ARN: aws.String(s.ARN(a.Place)), Name: &s.Name, Description: text(s.Description), KmsKeyId: text(s.KMSKeyID), Tags: wireTags(s.Tags), CreatedDate: at(s.CreatedAt),
		LastChangedDate: at(s.ChangedAt), DeletedDate: at(s.GoneAt), VersionIdsToStages: stages(s),
	}, nil
}

// ListSecretVersionIds lists versions, those without a stage if asked for.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecretVersionIds.html
func (a *API) ListSecretVersionIds(_ context.Context, in *sdk.ListSecretVersionIdsInput) (*sdk.ListSecretVersionIdsOutput, error) {
	most, err := pageSize(in.MaxResults, mostListed)
	if err != nil {
		return nil, err
	}
	view := a.Store.View()
	s, err := a.secret(&view.Tables, in.SecretId)
	if err != nil {
		return nil, err
	}
	out := &sdk.ListSecretVersionIdsOutput{ARN: aws.String(s.ARN(a.Place)), Name: &s.Name}
	after := aws.ToString(in.NextToken)
	if after != "" && s.Version(after) == nil {
		return nil, errToken
	}
	for i := range s.Versions {
		v := &s.Versions[i]
		if after != "" {
			if v.ID == after {
				after = ""
			}
			continue
		}
		if len(v.Stages) == 0 && !aws.ToBool(in.IncludeDeprecated) {
			continue
		}
		if len(out.Versions) == most {
			out.NextToken = out.Versions[most-1].VersionId
			break
		}
		out.Versions = append(out.Versions, types.SecretVersionsListEntry{VersionId: &v.ID, VersionStages: v.Stages, CreatedDate: at(v.CreatedAt)})
	}
	return out, nil
}
