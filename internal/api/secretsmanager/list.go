package secretsmanager

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

const (
	mostListed  = 100
	mostFilters = 10
)

var errToken = fault.New(invalidNextToken, "The NextToken value is invalid.")

func pageSize(n *int32, most int) (int, error) {
	switch {
	case n == nil:
		return most, nil
	case *n < 1 || int(*n) > most:
		return 0, fault.New(fault.InvalidParameter, "MaxResults must be between 1 and %d.", most)
	}
	return int(*n), nil
}

// ListSecrets lists secrets in the order of their making, or of what SortBy says.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
func (a *API) ListSecrets(_ context.Context, in *sdk.ListSecretsInput) (*sdk.ListSecretsOutput, error) {
	most, err := pageSize(in.MaxResults, mostListed)
	if err != nil {
		return nil, err
	}
	switch {
	case in.SortBy != "" && in.SortBy != types.SortByTypeName && in.SortBy != types.SortByTypeCreatedDate:
		return nil, fault.New(fault.Unsupported, "SortBy %s is not supported.", in.SortBy)
	case in.SortOrder != "" && !slices.Contains(in.SortOrder.Values(), in.SortOrder):
		return nil, fault.New(fault.InvalidParameter, "Invalid SortOrder: %q.", string(in.SortOrder))
	}
	view := a.Store.View()
	newest := in.SortOrder != types.SortOrderTypeAsc
	list, next, err := a.page(&view.Tables, in.Filters, aws.ToBool(in.IncludePlannedDeletion), in.SortBy != types.SortByTypeName && newest, in.NextToken, most)
	if err != nil {
		return nil, err
	}
	out := &sdk.ListSecretsOutput{NextToken: next, SecretList: []types.SecretListEntry{}}
	for _, s := range list {
		out.SecretList = append(out.SecretList, types.SecretListEntry{
			ARN: aws.String(s.ARN(a.Place)), Name: &s.Name, Description: text(s.Description), KmsKeyId: text(s.KMSKeyID), Tags: wireTags(s.Tags),
			CreatedDate: at(s.CreatedAt), LastChangedDate: at(s.ChangedAt), DeletedDate: at(s.GoneAt), SecretVersionsToStages: stages(s),
		})
	}
	return out, nil
}

// page gives what filters let through after a token, by name, or the newest first.
func (a *API) page(t *state.Tables, filters []types.Filter, deleted, newest bool, token *string, most int) ([]*secrets.Secret, *string, error) {
	if err := checkFilters(filters); err != nil {
		return nil, nil, err
	}
	after, err := base64.RawURLEncoding.DecodeString(aws.ToString(token))
	if err != nil {
		return nil, nil, errToken
	}
	now := a.now()
	var all []*secrets.Secret
	for s := range t.Secrets.All() {
		if (s.DeletedAt == 0 || deleted && s.GoneAt > now) && passes(s, filters) {
			all = append(all, s)
		}
	}
	if newest {
		slices.SortStableFunc(all, func(x, y *secrets.Secret) int { return int(max(-1, min(1, y.CreatedAt-x.CreatedAt))) })
	}
	if len(after) > 0 {
		i := slices.IndexFunc(all, func(s *secrets.Secret) bool { return s.Name == string(after) })
		if i < 0 {
			return nil, nil, errToken
		}
		all = all[i+1:]
	}
	if len(all) <= most {
		return all, nil, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(all[most-1].Name))
	return all[:most], &next, nil
}

func checkFilters(filters []types.Filter) error {
	if len(filters) > mostFilters {
		return fault.New(fault.InvalidParameter, "There can be at most %d filters.", mostFilters)
	}
	for _, f := range filters {
		if !slices.Contains(f.Key.Values(), f.Key) || len(f.Values) == 0 || len(f.Values) > mostFilters {
			return fault.New(fault.InvalidParameter, "Invalid filter: a filter has a known Key and 1 to %d Values.", mostFilters)
		}
	}
	return nil
}

// passes tells whether every filter lets a secret through. A value that begins with ! lets through what does not match the rest.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Filter.html
func passes(s *secrets.Secret, filters []types.Filter) bool {
	for _, f := range filters {
		if !slices.ContainsFunc(f.Values, func(v string) bool {
			rest, not := strings.CutPrefix(v, "!")
			return matches(s, f.Key, rest) != not
		}) {
			return false
		}
	}
	return true
}

func matches(s *secrets.Secret, key types.FilterNameStringType, v string) bool {
	fold := func(text string) bool { return strings.HasPrefix(strings.ToLower(text), strings.ToLower(v)) }
	switch key {
	case types.FilterNameStringTypeName:
		return strings.HasPrefix(s.Name, v)
	case types.FilterNameStringTypeDescription:
		return fold(s.Description)
	case types.FilterNameStringTypeTagKey:
		return slices.ContainsFunc(s.Tags, func(t ecs.Tag) bool { return strings.HasPrefix(t.Key, v) })
	case types.FilterNameStringTypeTagValue:
		return slices.ContainsFunc(s.Tags, func(t ecs.Tag) bool { return strings.HasPrefix(t.Value, v) })
	case types.FilterNameStringTypeAll:
		return fold(s.Name) || fold(s.Description) || slices.ContainsFunc(s.Tags, func(t ecs.Tag) bool { return fold(t.Key) || fold(t.Value) })
	}
	return false // primary-region, owning-service: there are no others than this
}
