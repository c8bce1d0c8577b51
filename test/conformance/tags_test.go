package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func tags(kv ...string) []types.Tag {
	var list []types.Tag
	for i := 0; i < len(kv); i += 2 {
		list = append(list, types.Tag{Key: aws.String(kv[i]), Value: aws.String(kv[i+1])})
	}
	return list
}

func (s *suite) tagsOf(arn *string) map[string]string {
	s.Helper()
	m := map[string]string{}
	for _, t := range must[ecs.ListTagsForResourceOutput](s)(s.ecs.ListTagsForResource(s.ctx, &ecs.ListTagsForResourceInput{ResourceArn: arn})).Tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

func TestTags(t *testing.T) {
	s := begin(t)
	for _, arn := range []*string{s.newCluster().ClusterArn, s.define(nil).TaskDefinitionArn} {
		if m := s.tagsOf(arn); len(m) != 0 {
			t.Errorf("tags of %s: %v", *arn, m)
		}
		must[ecs.TagResourceOutput](s)(s.ecs.TagResource(s.ctx, &ecs.TagResourceInput{ResourceArn: arn, Tags: tags("a", "1", "b", "")}))
		must[ecs.TagResourceOutput](s)(s.ecs.TagResource(s.ctx, &ecs.TagResourceInput{ResourceArn: arn, Tags: tags("a", "2")}))
		must[ecs.UntagResourceOutput](s)(s.ecs.UntagResource(s.ctx, &ecs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"b", "never"}}))
		if m := s.tagsOf(arn); len(m) != 1 || m["a"] != "2" {
			t.Errorf("tags of %s: %v", *arn, m)
		}
	}
}

func TestTaskTags(t *testing.T) {
	s := beginOnInstances(t)
	d := s.define(func(in *ecs.RegisterTaskDefinitionInput) { in.Tags = tags("of", "definition", "both", "definition") })
	task := s.start(d, func(in *ecs.RunTaskInput) {
		in.Tags, in.PropagateTags, in.EnableECSManagedTags = tags("both", "task"), types.PropagateTagsTaskDefinition, true
	}).Tasks[0]
	m := s.tagsOf(task.TaskArn)
	if m["of"] != "definition" || m["both"] != "task" || m["aws:ecs:clusterName"] != s.cluster {
		t.Errorf("tags: %v", m)
	}
	out := must[ecs.DescribeTasksOutput](s)(s.ecs.DescribeTasks(s.ctx, &ecs.DescribeTasksInput{Cluster: &s.cluster, Tasks: []string{*task.TaskArn}}))
	if len(out.Tasks[0].Tags) != 0 {
		t.Errorf("tags without include: %v", out.Tasks[0].Tags)
	}
	out = must[ecs.DescribeTasksOutput](s)(s.ecs.DescribeTasks(s.ctx, &ecs.DescribeTasksInput{
		Cluster: &s.cluster, Tasks: []string{*task.TaskArn}, Include: []types.TaskField{types.TaskFieldTags}}))
	if len(out.Tasks[0].Tags) != len(m) {
		t.Errorf("tags with include: %v", out.Tasks[0].Tags)
	}
}

func TestTagsRefused(t *testing.T) {
	s := begin(t)
	missing := s.arn("cluster/" + s.name)
	_, err := s.ecs.TagResource(s.ctx, &ecs.TagResourceInput{ResourceArn: &missing, Tags: tags("a", "b")})
	if code := codeOf(err); code != "ClusterNotFoundException" && code != "ResourceNotFoundException" && code != "InvalidParameterException" {
		t.Errorf("a cluster that is not there: %v", err)
	}
	arn := s.newCluster().ClusterArn
	_, err = s.ecs.TagResource(s.ctx, &ecs.TagResourceInput{ResourceArn: arn, Tags: tags("aws:mine", "b")})
	if code := codeOf(err); code != "InvalidParameterException" && code != "ClientException" {
		t.Errorf("a tag of AWS's: %v", err)
	}
	if m := s.tagsOf(arn); len(m) != 0 {
		t.Errorf("what was refused is there: %v", m)
	}
}
