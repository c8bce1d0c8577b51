package ssm

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// GetParameter gives a parameter with its value. A SecureString's is given as it is stored, encrypted, unless WithDecryption asks for it.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
func (a *API) GetParameter(ctx context.Context, in *sdk.GetParameterInput) (*sdk.GetParameterOutput, error) {
	view := a.Store.View()
	p, err := a.get(ctx, &view.Tables, aws.ToString(in.Name), aws.ToBool(in.WithDecryption))
	if err != nil {
		return nil, err
	}
	return &sdk.GetParameterOutput{Parameter: p}, nil
}

// GetParameters gives several; what is not there is named in the answer.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
func (a *API) GetParameters(ctx context.Context, in *sdk.GetParametersInput) (*sdk.GetParametersOutput, error) {
	if err := checkNames(in.Names); err != nil {
		return nil, err
	}
	view := a.Store.View()
	out := &sdk.GetParametersOutput{Parameters: []types.Parameter{}, InvalidParameters: []string{}}
	for _, name := range in.Names {
		p, err := a.get(ctx, &view.Tables, name, aws.ToBool(in.WithDecryption))
		switch {
		case err == nil:
			out.Parameters = append(out.Parameters, *p)
		case fault.Is(err, notFound), fault.Is(err, versionNotFound):
			out.InvalidParameters = append(out.InvalidParameters, name)
		default:
			return nil, err
		}
	}
	return out, nil
}

func (a *API) get(ctx context.Context, t *state.Tables, ref string, decrypt bool) (*types.Parameter, error) {
	name, sel := selector(ref)
	p := a.find(t, name)
	asked := p
	if asked == nil {
		asked = &secrets.Parameter{Name: name}
	}
	// Asked first: who may not read it need not know whether it is there.
	if err := a.Allow(ctx, wire.CallerFrom(ctx), asked); err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fault.New(notFound, "Parameter %.200s not found.", name)
	}
	v, err := version(p, sel)
	if err != nil {
		return nil, err
	}
	value, err := a.value(t, p, v, decrypt)
	if err != nil {
		return nil, err
	}
	return &types.Parameter{
		ARN: aws.String(p.ARN(a.Place)), Name: &p.Name, Type: types.ParameterType(v.Type), Value: value, Version: v.Number, DataType: &p.DataType, LastModifiedDate: at(v.ModifiedAt), Selector: text(sel),
	}, nil
}

func (a *API) value(t *state.Tables, p *secrets.Parameter, v *secrets.ParameterVersion, decrypt bool) (*string, error) {
	stored := t.ParameterValues.Get(secrets.ParameterValueKey(p.Name, v.Number))
	if stored == nil {
		return nil, fault.New(versionNotFound, "The value of version %d of %s is not there any more.", v.Number, p.Name)
	}
	if v.Type == string(types.ParameterTypeSecureString) && !decrypt {
		return aws.String(base64.StdEncoding.EncodeToString(stored.Value.Value)), nil
	}
	opened, err := a.Keeper.Open(stored.Of(), stored.Value)
	if err != nil {
		return nil, fault.Wrap(err, "InvalidKeyId", "The parameter cannot be decrypted with the keys of this server.")
	}
	return aws.String(string(opened)), nil
}

// GetParametersByPath gives a page of the parameters of one level of a hierarchy, or of all below it.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html
func (a *API) GetParametersByPath(ctx context.Context, in *sdk.GetParametersByPathInput) (*sdk.GetParametersByPathOutput, error) {
	path := aws.ToString(in.Path)
	if !strings.HasPrefix(path, "/") {
		return nil, fault.New(fault.Validation, "The parameter path %.200q is invalid: it must begin with a slash.", path)
	}
	if path != "/" {
		path = strings.TrimSuffix(path, "/") + "/"
	}
	view := a.Store.View()
	list, next, err := page(&view.Tables, in.MaxResults, mostNames, in.NextToken, in.ParameterFilters, func(p *secrets.Parameter) bool {
		rest, under := strings.CutPrefix(p.Name, path)
		return under && (aws.ToBool(in.Recursive) || !strings.Contains(rest, "/"))
	})
	if err != nil {
		return nil, err
	}
	out := &sdk.GetParametersByPathOutput{NextToken: next, Parameters: []types.Parameter{}}
	for _, p := range list {
		got, err := a.get(ctx, &view.Tables, p.Name, aws.ToBool(in.WithDecryption))
		if err != nil {
			return nil, err
		}
		out.Parameters = append(out.Parameters, *got)
	}
	return out, nil
}

// mostListed is the largest page of what has no values.
const mostListed = 50

// DescribeParameters lists parameters without their values.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeParameters.html
func (a *API) DescribeParameters(_ context.Context, in *sdk.DescribeParametersInput) (*sdk.DescribeParametersOutput, error) {
	filters := in.ParameterFilters
	for _, f := range in.Filters {
		// The older form, of three keys and one meaning each.
		option := "Equals"
		if f.Key == types.ParametersFilterKeyName {
			option = "BeginsWith"
		}
		filters = append(filters, types.ParameterStringFilter{Key: aws.String(string(f.Key)), Option: &option, Values: f.Values})
	}
	view := a.Store.View()
	list, next, err := page(&view.Tables, in.MaxResults, mostListed, in.NextToken, filters, func(*secrets.Parameter) bool { return true })
	if err != nil {
		return nil, err
	}
	out := &sdk.DescribeParametersOutput{NextToken: next, Parameters: []types.ParameterMetadata{}}
	for _, p := range list {
		v := p.Latest()
		out.Parameters = append(out.Parameters, types.ParameterMetadata{
			ARN: aws.String(p.ARN(a.Place)), Name: &p.Name, Type: types.ParameterType(v.Type), Version: v.Number, DataType: &p.DataType, Tier: types.ParameterTier(p.Tier), AllowedPattern: text(p.AllowedPattern),
			Description: text(v.Description), KeyId: text(v.KeyID), LastModifiedDate: at(v.ModifiedAt), LastModifiedUser: text(v.ModifiedBy), Policies: []types.ParameterInlinePolicy{},
		})
	}
	return out, nil
}

// GetParameterHistory gives all versions, the oldest first.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameterHistory.html
func (a *API) GetParameterHistory(ctx context.Context, in *sdk.GetParameterHistoryInput) (*sdk.GetParameterHistoryOutput, error) {
	most, err := pageSize(in.MaxResults, mostListed)
	if err != nil {
		return nil, err
	}
	view := a.Store.View()
	p, err := a.mustFind(&view.Tables, aws.ToString(in.Name))
	if err != nil {
		return nil, err
	}
	if err := a.Allow(ctx, wire.CallerFrom(ctx), p); err != nil {
		return nil, err
	}
	from := 0
	if in.NextToken != nil {
		v, err := version(p, ":"+*in.NextToken)
		if err != nil {
			return nil, errToken
		}
		from = slices.IndexFunc(p.Versions, func(w secrets.ParameterVersion) bool { return w.Number == v.Number })
	}
	out := &sdk.GetParameterHistoryOutput{Parameters: []types.ParameterHistory{}}
	for i := from; i < len(p.Versions); i++ {
		v := &p.Versions[i]
		if len(out.Parameters) == most {
			out.NextToken = aws.String(itoa(v.Number))
			break
		}
		value, err := a.value(&view.Tables, p, v, aws.ToBool(in.WithDecryption))
		if err != nil {
			return nil, err
		}
		labels := v.Labels
		if labels == nil {
			labels = []string{}
		}
		out.Parameters = append(out.Parameters, types.ParameterHistory{
			Name: &p.Name, Type: types.ParameterType(v.Type), Value: value, Version: v.Number, Labels: labels, DataType: &p.DataType, Tier: types.ParameterTier(p.Tier), AllowedPattern: text(p.AllowedPattern),
			Description: text(v.Description), KeyId: text(v.KeyID), LastModifiedDate: at(v.ModifiedAt), LastModifiedUser: text(v.ModifiedBy), Policies: []types.ParameterInlinePolicy{},
		})
	}
	return out, nil
}

var errToken = fault.New(invalidNextToken, "The specified token is not valid.")

func pageSize(n *int32, most int) (int, error) {
	switch {
	case n == nil:
		return most, nil
	case *n < 1 || int(*n) > most:
		return 0, fault.New(fault.Validation, "MaxResults must be between 1 and %d.", most)
	}
	return int(*n), nil
}

// page gives what pick and the filters let through after a token, by name.
func page(t *state.Tables, max *int32, most int, token *string, filters []types.ParameterStringFilter, pick func(*secrets.Parameter) bool) ([]*secrets.Parameter, *string, error) {
	size, err := pageSize(max, most)
	if err != nil {
		return nil, nil, err
	}
	tests, err := readFilters(filters)
	if err != nil {
		return nil, nil, err
	}
	after, err := base64.RawURLEncoding.DecodeString(aws.ToString(token))
	if err != nil {
		return nil, nil, errToken
	}
	var out []*secrets.Parameter
	for p := range t.Parameters.From(string(after)) {
		if p.Key() == string(after) || !pick(p) || !tests.pass(p) {
			continue
		}
		if len(out) == size {
			next := base64.RawURLEncoding.EncodeToString([]byte(out[size-1].Key()))
			return out, &next, nil
		}
		out = append(out, p)
	}
	return out, nil, nil
}
