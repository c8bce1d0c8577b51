package conformance

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestAttributes(t *testing.T) {
	s := beginOnInstances(t)
	i := s.instances()[0]
	mine := types.Attribute{Name: &s.name, Value: aws.String("blue"), TargetId: i.ContainerInstanceArn}
	put := must[ecs.PutAttributesOutput](s)(s.ecs.PutAttributes(s.ctx, &ecs.PutAttributesInput{Cluster: &s.cluster, Attributes: []types.Attribute{mine}}))
	s.cleanup(func(ctx context.Context) error {
		_, err := s.ecs.DeleteAttributes(ctx, &ecs.DeleteAttributesInput{Cluster: &s.cluster, Attributes: []types.Attribute{{Name: &s.name, TargetId: i.ContainerInstanceArn}}})
		if codeOf(err) == "TargetNotFoundException" || codeOf(err) == "InvalidParameterException" { // it is deleted below
			return nil
		}
		return err
	})
	if len(put.Attributes) != 1 || aws.ToString(put.Attributes[0].Name) != s.name || aws.ToString(put.Attributes[0].Value) != "blue" {
		t.Errorf("PutAttributes: %+v", put.Attributes)
	}
	list := func(value *string) []types.Attribute {
		var all []types.Attribute
		pages := ecs.NewListAttributesPaginator(s.ecs, &ecs.ListAttributesInput{
			Cluster: &s.cluster, TargetType: types.TargetTypeContainerInstance, AttributeName: &s.name, AttributeValue: value, MaxResults: aws.Int32(1)})
		for pages.HasMorePages() {
			all = append(all, must[ecs.ListAttributesOutput](s)(pages.NextPage(s.ctx)).Attributes...)
		}
		return all
	}
	if l := list(nil); len(l) != 1 || aws.ToString(l[0].TargetId) != *i.ContainerInstanceArn || aws.ToString(l[0].Value) != "blue" {
		t.Errorf("ListAttributes: %+v", l)
	}
	if l := list(aws.String("red")); len(l) != 0 {
		t.Errorf("with another value: %+v", l)
	}
	// What it is for: tasks find the instance by it, and so do lists.
	out := s.start(s.define(nil), func(in *ecs.RunTaskInput) {
		in.PlacementConstraints = []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: aws.String("attribute:" + s.name + " == blue")}}
	})
	if len(out.Tasks) != 1 || *out.Tasks[0].ContainerInstanceArn != *i.ContainerInstanceArn {
		t.Errorf("placed by the attribute: %+v", out)
	}
	found := must[ecs.ListContainerInstancesOutput](s)(s.ecs.ListContainerInstances(s.ctx, &ecs.ListContainerInstancesInput{
		Cluster: &s.cluster, Filter: aws.String("attribute:" + s.name + " exists")}))
	if len(found.ContainerInstanceArns) != 1 || found.ContainerInstanceArns[0] != *i.ContainerInstanceArn {
		t.Errorf("ListContainerInstances: %v", found.ContainerInstanceArns)
	}
	gone := must[ecs.DeleteAttributesOutput](s)(s.ecs.DeleteAttributes(s.ctx, &ecs.DeleteAttributesInput{
		Cluster: &s.cluster, Attributes: []types.Attribute{{Name: &s.name, TargetId: i.ContainerInstanceArn}}}))
	if len(gone.Attributes) != 1 {
		t.Errorf("DeleteAttributes: %+v", gone.Attributes)
	}
	if l := list(nil); len(l) != 0 {
		t.Errorf("after the deletion: %+v", l)
	}
}

func TestAttributesRefused(t *testing.T) {
	s := beginOnInstances(t)
	target := types.Attribute{Name: &s.name, Value: aws.String("x"), TargetId: aws.String("00000000000000000000000000000000"), TargetType: types.TargetTypeContainerInstance}
	_, err := s.ecs.PutAttributes(s.ctx, &ecs.PutAttributesInput{Cluster: &s.cluster, Attributes: []types.Attribute{target}})
	refused[*types.TargetNotFoundException](s, err, "")
	target.Name = aws.String("not a name!")
	_, err = s.ecs.PutAttributes(s.ctx, &ecs.PutAttributesInput{Cluster: &s.cluster, Attributes: []types.Attribute{target}})
	refused[*types.InvalidParameterException](s, err, "")
	_, err = s.ecs.ListContainerInstances(s.ctx, &ecs.ListContainerInstancesInput{Cluster: &s.cluster, Filter: aws.String("attribute:a ==")})
	refused[*types.InvalidParameterException](s, err, "")
}
