package conformance

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func (s *suite) instances() []types.ContainerInstance {
	s.Helper()
	var arns []string
	pages := ecs.NewListContainerInstancesPaginator(s.ecs, &ecs.ListContainerInstancesInput{Cluster: &s.cluster, MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		arns = append(arns, must[ecs.ListContainerInstancesOutput](s)(pages.NextPage(s.ctx)).ContainerInstanceArns...)
	}
	if len(arns) < 2 {
		s.Fatalf("cluster %s has %d container instances; two are needed", s.cluster, len(arns))
	}
	return must[ecs.DescribeContainerInstancesOutput](s)(s.ecs.DescribeContainerInstances(s.ctx, &ecs.DescribeContainerInstancesInput{
		Cluster: &s.cluster, ContainerInstances: arns, Include: []types.ContainerInstanceField{types.ContainerInstanceFieldTags}})).ContainerInstances
}

func TestInstances(t *testing.T) {
	s := beginOnInstances(t)
	for _, i := range s.instances() {
		if !strings.HasPrefix(aws.ToString(i.ContainerInstanceArn), s.arn("container-instance/"+s.cluster+"/")) || aws.ToString(i.Status) != "ACTIVE" || !i.AgentConnected {
			t.Errorf("instance: %+v", i)
		}
		if i.VersionInfo == nil || aws.ToString(i.VersionInfo.AgentVersion) == "" || i.RegisteredAt == nil || i.Version == 0 {
			t.Errorf("versions and times: %+v", i)
		}
		for _, list := range [][]types.Resource{i.RegisteredResources, i.RemainingResources} {
			kinds := map[string]string{}
			for _, r := range list {
				kinds[aws.ToString(r.Name)] = aws.ToString(r.Type)
			}
			if kinds["CPU"] != "INTEGER" || kinds["MEMORY"] != "INTEGER" || kinds["PORTS"] != "STRINGSET" || kinds["PORTS_UDP"] != "STRINGSET" {
				t.Errorf("resources: %v", kinds)
			}
		}
		found := map[string]bool{}
		for _, a := range i.Attributes {
			found[aws.ToString(a.Name)] = true
		}
		if !found["ecs.os-type"] || !found["ecs.cpu-architecture"] || !found["com.amazonaws.ecs.capability.docker-remote-api.1.18"] {
			t.Errorf("attributes: %v", found)
		}
	}
}

func TestInstancesRefused(t *testing.T) {
	s := beginOnInstances(t)
	missing := strings.Repeat("0", 32)
	out := must[ecs.DescribeContainerInstancesOutput](s)(s.ecs.DescribeContainerInstances(s.ctx, &ecs.DescribeContainerInstancesInput{
		Cluster: &s.cluster, ContainerInstances: []string{missing}}))
	if len(out.ContainerInstances) != 0 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" ||
		*out.Failures[0].Arn != s.arn("container-instance/"+s.cluster+"/"+missing) {
		t.Errorf("an instance that is not there: %+v", out)
	}
	_, err := s.ecs.DescribeContainerInstances(s.ctx, &ecs.DescribeContainerInstancesInput{Cluster: &s.cluster, ContainerInstances: []string{}})
	if code := codeOf(err); code != "InvalidParameterException" && code != "ClientException" {
		t.Errorf("describe nothing: %v", err)
	}
	_, err = s.ecs.DeregisterContainerInstance(s.ctx, &ecs.DeregisterContainerInstanceInput{Cluster: &s.cluster, ContainerInstance: &missing})
	if code := codeOf(err); code != "InvalidParameterException" && code != "ClientException" {
		t.Errorf("deregister an instance that is not there: %v", err)
	}
}
