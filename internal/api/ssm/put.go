package ssm

import (
	"context"
	"regexp"
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

// Bounds of values and versions.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
const (
	largestStandard = 4096
	largestAdvanced = 8192
	mostVersions    = 100
	longestPattern  = 1024
	longestText     = 1024
)

// PutParameter makes a parameter, or with Overwrite a version of it.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
func (a *API) PutParameter(ctx context.Context, in *sdk.PutParameterInput) (*sdk.PutParameterOutput, error) {
	name := aws.ToString(in.Name)
	if rest, ok := strings.CutPrefix(name, "arn:aws:ssm:"+a.Place.Region+":"+a.Place.Account+":parameter"); ok {
		name = rest
	}
	if err := checkPut(name, in); err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	out := &sdk.PutParameterOutput{}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		p := &secrets.Parameter{Name: name, DataType: "text", Tags: tags}
		if old := a.find(&tx.Tables, name); old != nil {
			if !aws.ToBool(in.Overwrite) {
				return fault.New(alreadyExists, "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
			}
			if len(in.Tags) > 0 {
				return fault.New(fault.Validation, "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
			}
			p = old.Clone()
		}
		if err := a.version(ctx, tx, p, in); err != nil {
			return err
		}
		tx.Parameters.Put(p)
		out.Version, out.Tier = p.Latest().Number, types.ParameterTier(p.Tier)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func checkPut(name string, in *sdk.PutParameterInput) error {
	value := aws.ToString(in.Value)
	switch {
	case value == "":
		return fault.New(fault.Validation, "1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	case in.Type != "" && !slices.Contains(in.Type.Values(), in.Type):
		return fault.New(fault.Validation, "Invalid type: %.80q.", string(in.Type))
	case in.Tier != "" && !slices.Contains(in.Tier.Values(), in.Tier):
		return fault.New(fault.Validation, "Invalid tier: %.80q.", string(in.Tier))
	case in.Tier == types.ParameterTierStandard && len(value) > largestStandard:
		return fault.New(fault.Validation, "Standard tier parameters support a maximum parameter value of %d characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier.", largestStandard)
	case len(value) > largestAdvanced:
		return fault.New(fault.Validation, "Advanced tier parameters support a maximum parameter value of %d characters.", largestAdvanced)
	case in.DataType != nil && *in.DataType != "text":
		return fault.New(fault.Unsupported, "DataType %.80q is not supported; text is.", *in.DataType)
	case aws.ToString(in.Policies) != "":
		return fault.New(fault.Unsupported, "Policies of parameters are not supported.")
	case len(aws.ToString(in.Description)) > longestText || len(aws.ToString(in.AllowedPattern)) > longestPattern:
		return fault.New(fault.Validation, "Description and AllowedPattern have at most %d characters.", longestText)
	}
	return checkName(name)
}

// version adds one to a clone.
func (a *API) version(ctx context.Context, tx *state.Tx, p *secrets.Parameter, in *sdk.PutParameterInput) error {
	v := secrets.ParameterVersion{
		Number: 1, Type: string(in.Type), Description: aws.ToString(in.Description), KeyID: aws.ToString(in.KeyId), ModifiedAt: a.now(), ModifiedBy: wire.CallerFrom(ctx).ARN,
	}
	if len(p.Versions) > 0 {
		last := p.Latest()
		v.Number = last.Number + 1
		if v.Type == "" {
			v.Type = last.Type
		}
		if in.Description == nil {
			v.Description = last.Description
		}
	}
	switch {
	case v.Type == "":
		return fault.New(fault.Validation, "A parameter type is required when you create a parameter.")
	case len(p.Versions) > 0 && v.Type != p.Latest().Type && (v.Type == string(types.ParameterTypeSecureString) || p.Latest().Type == string(types.ParameterTypeSecureString)):
		return fault.New("HierarchyTypeMismatchException", "The parameter type %s cannot be changed to %s.", p.Latest().Type, v.Type)
	}
	if v.Type == string(types.ParameterTypeSecureString) && v.KeyID == "" {
		v.KeyID = "alias/aws/ssm"
	}
	if in.AllowedPattern != nil {
		p.AllowedPattern = *in.AllowedPattern
	}
	if err := allowed(p.AllowedPattern, *in.Value); err != nil {
		return err
	}
	p.Tier = tier(p.Tier, in)
	if err := a.prune(tx, p); err != nil {
		return err
	}
	p.Versions = append(p.Versions, v)
	stored := &secrets.ParameterValue{Parameter: p.Name, Number: v.Number}
	stored.Value = a.Keeper.Seal(stored.Of(), []byte(*in.Value))
	tx.ParameterValues.Put(stored)
	return nil
}

// prune makes room for a version: the oldest goes, unless it has a label.
func (a *API) prune(tx *state.Tx, p *secrets.Parameter) error {
	if len(p.Versions) < mostVersions {
		return nil
	}
	oldest := &p.Versions[0]
	if len(oldest.Labels) > 0 {
		return fault.New(maxVersions, "You attempted to create a new version of %s by calling the PutParameter API with the overwrite flag. Version %d, the oldest version, can't be deleted because it has a label associated with it. Move the label to another version of the parameter, and try again.", p.Name, oldest.Number)
	}
	tx.ParameterValues.Delete(secrets.ParameterValueKey(p.Name, oldest.Number))
	p.Versions = p.Versions[1:]
	return nil
}

func allowed(pattern, value string) error {
	if pattern == "" {
		return nil
	}
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		return fault.New(invalidPattern, "The AllowedPattern is not a regular expression that this server can read.")
	}
	if !re.MatchString(value) {
		return fault.New(patternMismatch, "Parameter value, cannot be validated against allowedPattern: %s", pattern)
	}
	return nil
}

// tier is Advanced where the request or the value's size asks for it, and stays so.
func tier(was string, in *sdk.PutParameterInput) string {
	if was == string(types.ParameterTierAdvanced) || in.Tier == types.ParameterTierAdvanced || len(*in.Value) > largestStandard {
		return string(types.ParameterTierAdvanced)
	}
	return string(types.ParameterTierStandard)
}

// DeleteParameter deletes one with all of its versions.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DeleteParameter.html
func (a *API) DeleteParameter(ctx context.Context, in *sdk.DeleteParameterInput) (*sdk.DeleteParameterOutput, error) {
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		p, err := a.mustFind(&tx.Tables, aws.ToString(in.Name))
		if err != nil {
			return err
		}
		remove(tx, p)
		return nil
	})
	return &sdk.DeleteParameterOutput{}, err
}

func remove(tx *state.Tx, p *secrets.Parameter) {
	for i := range p.Versions {
		tx.ParameterValues.Delete(secrets.ParameterValueKey(p.Name, p.Versions[i].Number))
	}
	tx.Parameters.Delete(p.Key())
}

// mostNames is how many parameters one call may name.
const mostNames = 10

// DeleteParameters deletes several; those that are not there are named in the answer. Each goes by an update of its own, so
// that a hundred versions of ten parameters need not fit in one.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DeleteParameters.html
func (a *API) DeleteParameters(ctx context.Context, in *sdk.DeleteParametersInput) (*sdk.DeleteParametersOutput, error) {
	if err := checkNames(in.Names); err != nil {
		return nil, err
	}
	out := &sdk.DeleteParametersOutput{}
	for _, name := range in.Names {
		_, err := a.DeleteParameter(ctx, &sdk.DeleteParameterInput{Name: &name})
		switch {
		case err == nil:
			out.DeletedParameters = append(out.DeletedParameters, name)
		case fault.Is(err, notFound):
			out.InvalidParameters = append(out.InvalidParameters, name)
		default:
			return nil, err
		}
	}
	return out, nil
}

func checkNames(names []string) error {
	if len(names) == 0 || len(names) > mostNames {
		return fault.New(fault.Validation, "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and %d.", mostNames)
	}
	return nil
}
