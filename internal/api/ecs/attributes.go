package ecsapi

import (
	"context"
	"regexp"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Limits of custom attributes.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
const (
	maxAttributes    = 10
	maxAttributeName = 128
)

var (
	attributeName  = regexp.MustCompile(`^[A-Za-z0-9_./\\-]{1,128}$`)
	attributeValue = regexp.MustCompile(`^[A-Za-z0-9_.@/\\: -]{1,128}$`)
)

// reservedAttribute tells whether an attribute is what an agent or the platform says of an instance, not a user.
func reservedAttribute(name string) bool {
	for _, prefix := range []string{"ecs.", "com.amazonaws.", "roadstead."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// attributeChange is an attribute to be put or deleted, checked as far as it can be without the state.
type attributeChange struct {
	ecs.Attribute
	target string
}

func (a *API) readAttributes(in []types.Attribute) ([]attributeChange, error) {
	switch {
	case len(in) == 0:
		return nil, fault.New(fault.InvalidParameter, "Attributes can not be empty.")
	case len(in) > maxAttributes:
		return nil, fault.New(fault.InvalidParameter, "Attributes cannot contain more than %d entries.", maxAttributes)
	}
	out := make([]attributeChange, len(in))
	for n, at := range in {
		c := attributeChange{Attribute: ecs.Attribute{Name: str(at.Name), Value: str(at.Value)}, target: str(at.TargetId)}
		switch {
		case !attributeName.MatchString(c.Name):
			return nil, fault.New(fault.InvalidParameter, "Invalid attribute name: %q. It must have 1 to %d letters, numbers, hyphens, underscores, slashes, backslashes or periods.", c.Name, maxAttributeName)
		case reservedAttribute(c.Name):
			return nil, fault.New(fault.InvalidParameter, "Invalid attribute name: %q. Its prefix is reserved.", c.Name)
		case at.Value != nil && (!attributeValue.MatchString(c.Value) || strings.TrimSpace(c.Value) != c.Value):
			return nil, fault.New(fault.InvalidParameter, "Invalid attribute value for %q.", c.Name)
		case c.target == "":
			return nil, fault.New(fault.InvalidParameter, "The targetId of an attribute can not be null or empty.")
		case at.TargetType != "" && !known(at.TargetType):
			return nil, fault.New(fault.InvalidParameter, "Invalid targetType: %q.", string(at.TargetType))
		case at.TargetType == "" && !isARN(c.target):
			return nil, fault.New(fault.InvalidParameter, "The targetType of an attribute is required when its targetId is not an ARN.")
		}
		out[n] = c
	}
	return out, nil
}

// PutAttributes adds custom attributes to instances, and changes those of the same names. All of them are put, or none.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAttributes.html
func (a *API) PutAttributes(ctx context.Context, in *sdk.PutAttributesInput) (*sdk.PutAttributesOutput, error) {
	changes, err := a.readAttributes(in.Attributes)
	if err != nil {
		return nil, err
	}
	out := &sdk.PutAttributesOutput{}
	err = a.changeAttributes(ctx, in.Cluster, changes, func(i *ecs.Instance, at ecs.Attribute) (*types.Attribute, error) {
		if err := checkInterface(at.Name, at.Value); err != nil {
			return nil, err
		}
		n := slices.IndexFunc(i.Attributes, func(o ecs.Attribute) bool { return o.Name == at.Name })
		if n < 0 {
			if customAttributes(i) >= maxAttributes {
				return nil, fault.New(fault.AttributeLimit, "The maximum number of custom attributes of a container instance is %d.", maxAttributes)
			}
			n = len(i.Attributes)
			i.Attributes = append(i.Attributes, at)
		}
		i.Attributes[n] = at
		return a.wireAttribute(i, at), nil
	}, &out.Attributes)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteAttributes takes custom attributes away; one that is not there is no error, and not in the answer.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteAttributes.html
func (a *API) DeleteAttributes(ctx context.Context, in *sdk.DeleteAttributesInput) (*sdk.DeleteAttributesOutput, error) {
	changes, err := a.readAttributes(in.Attributes)
	if err != nil {
		return nil, err
	}
	out := &sdk.DeleteAttributesOutput{}
	err = a.changeAttributes(ctx, in.Cluster, changes, func(i *ecs.Instance, at ecs.Attribute) (*types.Attribute, error) {
		n := slices.IndexFunc(i.Attributes, func(o ecs.Attribute) bool { return o.Name == at.Name })
		if n < 0 {
			return nil, nil
		}
		deleted := i.Attributes[n]
		i.Attributes = slices.Delete(i.Attributes, n, n+1)
		return a.wireAttribute(i, deleted), nil
	}, &out.Attributes)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// changeAttributes runs change for each attribute on a copy of its instance, and collects what it gives.
func (a *API) changeAttributes(ctx context.Context, ref *string, changes []attributeChange, change func(*ecs.Instance, ecs.Attribute) (*types.Attribute, error), out *[]types.Attribute) error {
	name, err := a.clusterRef(ref)
	if err != nil {
		return err
	}
	return a.Store.Update(ctx, func(tx *state.Tx) error {
		if _, err := cluster(&tx.Tables, name); err != nil {
			return err
		}
		*out = []types.Attribute{}
		for _, c := range changes {
			old, err := a.instance(&tx.Tables, c.target, name)
			if err != nil {
				return err
			}
			if old == nil || old.Status == ecs.InstanceInactive {
				return fault.New(fault.TargetNotFound, "The specified target was not found: %s", c.target)
			}
			i := *old
			i.Attributes = slices.Clone(old.Attributes)
			changed, err := change(&i, c.Attribute)
			if err != nil {
				return err
			}
			if changed == nil {
				continue
			}
			*out = append(*out, *changed)
			if !slices.Equal(i.Attributes, old.Attributes) {
				i.Version++
				tx.Instances.Put(&i)
			}
		}
		return nil
	})
}

func customAttributes(i *ecs.Instance) (n int) {
	for _, at := range i.Attributes {
		if !reservedAttribute(at.Name) {
			n++
		}
	}
	return n
}

// wireAttribute names the target by its ARN, as ECS does.
func (a *API) wireAttribute(i *ecs.Instance, at ecs.Attribute) *types.Attribute {
	arn := a.Place.InstanceARN(i.Cluster, i.ID)
	return &types.Attribute{Name: &at.Name, Value: ptr(at.Value), TargetId: &arn}
}

// ListAttributes lists the attributes of a cluster's instances, ECS's own among them, by instance and name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListAttributes.html
func (a *API) ListAttributes(_ context.Context, in *sdk.ListAttributesInput) (*sdk.ListAttributesOutput, error) {
	name, value := str(in.AttributeName), str(in.AttributeValue)
	switch {
	case !known(in.TargetType):
		return nil, fault.New(fault.InvalidParameter, "Invalid targetType: %q.", string(in.TargetType))
	case value != "" && name == "":
		return nil, fault.New(fault.InvalidParameter, "An attributeName must be given to filter by attributeValue.")
	}
	t := &a.Store.View().Tables
	cluster, err := a.activeCluster(t, in.Cluster)
	if err != nil {
		return nil, err
	}
	p, err := newPager(in.MaxResults, in.NextToken, "ListAttributes", cluster, name, value)
	if err != nil {
		return nil, err
	}
	var first ecs.InstanceID
	if p.after != "" {
		id, _, _ := strings.Cut(p.after, " ")
		if first, err = ecs.ParseInstanceID(id); err != nil {
			return nil, errToken
		}
	}
	all := func(yield func(instanceAttribute) bool) {
		for i := range t.Instances.InClusterFrom(cluster, first) {
			for _, at := range attributesOf(i, name, value) {
				if !yield(instanceAttribute{i, at}) {
					return
				}
			}
		}
	}
	found, next := page(p, all, instanceAttribute.key, func(x instanceAttribute, after string) bool { return x.key() > after })
	out := &sdk.ListAttributesOutput{Attributes: []types.Attribute{}, NextToken: next}
	for _, x := range found {
		out.Attributes = append(out.Attributes, *a.wireAttribute(x.instance, x.attribute))
	}
	return out, nil
}

// instanceAttribute is one line of ListAttributes.
type instanceAttribute struct {
	instance  *ecs.Instance
	attribute ecs.Attribute
}

func (x instanceAttribute) key() string { return x.instance.ID.String() + " " + x.attribute.Name }

// attributesOf gives those of an instance's attributes that are meant, by name. "" is any; an instance that is INACTIVE has none.
func attributesOf(i *ecs.Instance, name, value string) []ecs.Attribute {
	if i.Status == ecs.InstanceInactive {
		return nil
	}
	var out []ecs.Attribute
	for _, at := range i.Attributes {
		if (name == "" || at.Name == name) && (value == "" || at.Value == value) {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b ecs.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return out
}
