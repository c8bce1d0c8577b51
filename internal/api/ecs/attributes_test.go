package ecsapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// attributes lists attributes, one on a page, as NAME=VALUE in their order.
func (f *fixture) attributes(name, value string) (out []string) {
	f.t.Helper()
	in := &sdk.ListAttributesInput{TargetType: "container-instance", MaxResults: aws.Int32(1)}
	if name != "" {
		in.AttributeName = &name
	}
	if value != "" {
		in.AttributeValue = &value
	}
	for {
		page := must(f.ListAttributes(f.ctx, in))
		for _, a := range page.Attributes {
			out = append(out, *a.Name+"="+aws.ToString(a.Value))
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return out
		}
	}
}

func on(target, name, value string) types.Attribute {
	a := types.Attribute{Name: &name, TargetId: &target}
	if value != "" {
		a.Value = &value
	}
	return a
}

func TestAttributes(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	a, b := f.instance(100, 100, "ecs.os-type"), f.instance(100, 100)
	put := must(f.PutAttributes(f.ctx, &sdk.PutAttributesInput{Attributes: []types.Attribute{on(a, "stack", "prod"), on(b, "stack", "test"), on(a, "ssd", "")}}))
	if len(put.Attributes) != 3 || *put.Attributes[0].TargetId != a || *put.Attributes[1].Value != "test" || put.Attributes[2].Value != nil {
		t.Errorf("put: %+v", put.Attributes)
	}
	id := a[strings.LastIndex(a, "/")+1:]
	must(f.PutAttributes(f.ctx, &sdk.PutAttributesInput{Attributes: []types.Attribute{{Name: aws.String("stack"), Value: aws.String("beta"), TargetId: &id, TargetType: "container-instance"}}}))
	got := f.attributes("", "")
	slices.Sort(got)
	if !slices.Equal(got, []string{"ecs.os-type=", "ssd=", "stack=beta", "stack=test"}) {
		t.Errorf("all: %v", got)
	}
	if got := f.attributes("stack", "test"); !slices.Equal(got, []string{"stack=test"}) {
		t.Errorf("by value: %v", got)
	}
	// What users have put is still there when the agent has been started again.
	again := must(f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{ContainerInstanceArn: &a, TotalResources: resources(100, 100), Attributes: attributes("ecs.os-type", "")})).ContainerInstance
	if v, ok := value(again.Attributes, "stack"); !ok || v != "beta" {
		t.Errorf("registered again: %+v", again.Attributes)
	}
	deleted := must(f.DeleteAttributes(f.ctx, &sdk.DeleteAttributesInput{Attributes: []types.Attribute{on(a, "stack", ""), on(a, "absent", "")}})).Attributes
	if len(deleted) != 1 || *deleted[0].Value != "beta" {
		t.Errorf("deleted: %+v", deleted)
	}
	if got := f.attributes("stack", ""); !slices.Equal(got, []string{"stack=test"}) {
		t.Errorf("left: %v", got)
	}
	must(f.DeregisterContainerInstance(f.ctx, &sdk.DeregisterContainerInstanceInput{ContainerInstance: &b}))
	if got := f.attributes("stack", ""); len(got) != 0 {
		t.Errorf("of an instance that is gone: %v", got)
	}
}

func putAttributes(attributes ...types.Attribute) func(*fixture) error {
	return func(f *fixture) error {
		return only(f.PutAttributes(f.ctx, &sdk.PutAttributesInput{Attributes: attributes}))
	}
}

func putOne(change func(*types.Attribute)) func(*fixture) error {
	at := types.Attribute{Name: aws.String("a"), Value: aws.String("b"), TargetId: aws.String(someTask), TargetType: "container-instance"}
	change(&at)
	return putAttributes(at)
}

const attributeNames = "It must have 1 to 128 letters, numbers, hyphens, underscores, slashes, backslashes or periods."

var refusedAttributes = []refused{
	{"none", putAttributes(), "InvalidParameterException: Attributes can not be empty."},
	{"many", putAttributes(make([]types.Attribute, 11)...), "InvalidParameterException: Attributes cannot contain more than 10 entries."},
	{"no name", putOne(func(a *types.Attribute) { a.Name = nil }), `InvalidParameterException: Invalid attribute name: "". ` + attributeNames},
	{"name", putOne(func(a *types.Attribute) { a.Name = aws.String("a b") }), `InvalidParameterException: Invalid attribute name: "a b". ` + attributeNames},
	{"long name", putOne(func(a *types.Attribute) { a.Name = aws.String(strings.Repeat("a", 129)) }), `InvalidParameterException: Invalid attribute name: "` + strings.Repeat("a", 129) + `". ` + attributeNames},
	{"reserved", putOne(func(a *types.Attribute) { a.Name = aws.String("ecs.os-type") }), `InvalidParameterException: Invalid attribute name: "ecs.os-type". Its prefix is reserved.`},
	{"capacity provider", putOne(func(a *types.Attribute) { a.Name = aws.String("roadstead.capacity-provider") }), `InvalidParameterException: Invalid attribute name: "roadstead.capacity-provider". Its prefix is reserved.`},
	{"empty value", putOne(func(a *types.Attribute) { a.Value = aws.String("") }), `InvalidParameterException: Invalid attribute value for "a".`},
	{"value", putOne(func(a *types.Attribute) { a.Value = aws.String("<") }), `InvalidParameterException: Invalid attribute value for "a".`},
	{"value's end", putOne(func(a *types.Attribute) { a.Value = aws.String("b ") }), `InvalidParameterException: Invalid attribute value for "a".`},
	{"long value", putOne(func(a *types.Attribute) { a.Value = aws.String(strings.Repeat("b", 129)) }), `InvalidParameterException: Invalid attribute value for "a".`},
	{"no target", putOne(func(a *types.Attribute) { a.TargetId = nil }), "InvalidParameterException: The targetId of an attribute can not be null or empty."},
	{"type", putOne(func(a *types.Attribute) { a.TargetType = "X" }), `InvalidParameterException: Invalid targetType: "X".`},
	{"no type", putOne(func(a *types.Attribute) { a.TargetType = "" }), "InvalidParameterException: The targetType of an attribute is required when its targetId is not an ARN."},
	{"target", putOne(func(*types.Attribute) {}), "TargetNotFoundException: The specified target was not found: " + someTask},
	{"no id", putOne(func(a *types.Attribute) { a.TargetId = aws.String("x") }), "InvalidParameterException: containerInstanceId length should be one of [32,36]"},
	{"cluster", func(f *fixture) error {
		return only(f.PutAttributes(f.ctx, &sdk.PutAttributesInput{Cluster: aws.String("none"), Attributes: []types.Attribute{on(place.ClusterARN("x"), "a", "")}}))
	}, "ClusterNotFoundException: Cluster not found."},
	{"delete none", func(f *fixture) error {
		return only(f.DeleteAttributes(f.ctx, &sdk.DeleteAttributesInput{}))
	}, "InvalidParameterException: Attributes can not be empty."},
	{"delete target", func(f *fixture) error {
		return only(f.DeleteAttributes(f.ctx, &sdk.DeleteAttributesInput{Attributes: []types.Attribute{{Name: aws.String("a"), TargetId: aws.String(someTask), TargetType: "container-instance"}}}))
	}, "TargetNotFoundException: The specified target was not found: " + someTask},
	{"list type", func(f *fixture) error { return only(f.ListAttributes(f.ctx, &sdk.ListAttributesInput{})) }, `InvalidParameterException: Invalid targetType: "".`},
	{"list value", func(f *fixture) error {
		return only(f.ListAttributes(f.ctx, &sdk.ListAttributesInput{TargetType: "container-instance", AttributeValue: aws.String("x")}))
	}, "InvalidParameterException: An attributeName must be given to filter by attributeValue."},
	{"list cluster", func(f *fixture) error {
		return only(f.ListAttributes(f.ctx, &sdk.ListAttributesInput{TargetType: "container-instance", Cluster: aws.String("none")}))
	}, "ClusterNotFoundException: Cluster not found."},
	{"list page", func(f *fixture) error {
		return only(f.ListAttributes(f.ctx, &sdk.ListAttributesInput{TargetType: "container-instance", MaxResults: aws.Int32(0)}))
	}, "InvalidParameterException: maxResults must be between 1 and 100."},
}

// TestRefusedAttributes: of several, one that is refused leaves the others unchanged too.
func TestRefusedAttributes(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	a := f.instance(100, 100)
	full := f.instance(100, 100)
	var ten []types.Attribute
	for i := range 10 {
		ten = append(ten, on(full, fmt.Sprint("a", i), "x"))
	}
	must(f.PutAttributes(f.ctx, &sdk.PutAttributesInput{Attributes: ten}))
	f.refuses(t, refusedAttributes)
	f.refuses(t, []refused{
		{"an eleventh", putAttributes(on(a, "x", "y"), on(full, "new", "x")), "AttributeLimitExceededException: The maximum number of custom attributes of a container instance is 10."},
		{"one target of two", putAttributes(on(a, "x", "y"), on(strings.Replace(a, "default/", "default/0", 1)[:len(a)], "x", "y")),
			"TargetNotFoundException: The specified target was not found: " + strings.Replace(a, "default/", "default/0", 1)[:len(a)]},
	})
	must(f.PutAttributes(f.ctx, &sdk.PutAttributesInput{Attributes: []types.Attribute{on(full, "a3", "changed")}}))
}
