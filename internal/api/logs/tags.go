package logs

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/logstore"
)

// TooManyTags is the kind of TagResource's refusal of a fifty-first tag.
const TooManyTags fault.Kind = "TooManyTagsException"

// reserved refuses tags whose keys are AWS's own.
func reserved(tags map[string]string) error {
	for k := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return badParameter("User-defined tag keys can't start with 'aws:'.")
		}
	}
	return nil
}

// TagLogGroup adds tags to a log group; TagResource has replaced it.
func (s *Service) TagLogGroup(ctx context.Context, in *cloudwatchlogs.TagLogGroupInput) (*cloudwatchlogs.TagLogGroupOutput, error) {
	var c checks
	name := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	c.tags(in.Tags, 1, maxTags)
	if err := c.err(); err != nil {
		return nil, err
	}
	tooMany := badParameter("The log group would have more than %d tags.", maxTags)
	if err := s.tag(ctx, name, in.Tags, tooMany); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.TagLogGroupOutput{}, nil
}

// TagResource adds tags to the log group that an ARN names.
func (s *Service) TagResource(ctx context.Context, in *cloudwatchlogs.TagResourceInput) (*cloudwatchlogs.TagResourceOutput, error) {
	var c checks
	c.tags(in.Tags, 1, maxTags)
	name, err := s.resource(&c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tooMany := fault.New(TooManyTags, "A resource can have no more than %d tags.", maxTags)
	tooMany.Fields = map[string]any{"resourceName": *in.ResourceArn}
	if err := s.tag(ctx, name, in.Tags, tooMany); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.TagResourceOutput{}, nil
}

func (s *Service) tag(ctx context.Context, name string, tags map[string]string, tooMany error) error {
	if err := reserved(tags); err != nil {
		return err
	}
	return s.store.UpdateGroup(ctx, name, func(g *logstore.Group) error {
		maps.Copy(g.Tags, tags)
		if len(g.Tags) > maxTags {
			return tooMany
		}
		return nil
	})
}

// UntagLogGroup takes tags off a log group; UntagResource has replaced it.
func (s *Service) UntagLogGroup(ctx context.Context, in *cloudwatchlogs.UntagLogGroupInput) (*cloudwatchlogs.UntagLogGroupOutput, error) {
	var c checks
	name := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	c.Count(len(in.Tags), "'[]'", "tags", 1, maxTags)
	c.keys(in.Tags, "tags")
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := s.untag(ctx, name, in.Tags); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.UntagLogGroupOutput{}, nil
}

// UntagResource takes tags off the log group that an ARN names. Keys that it does not have are no error.
func (s *Service) UntagResource(ctx context.Context, in *cloudwatchlogs.UntagResourceInput) (*cloudwatchlogs.UntagResourceOutput, error) {
	var c checks
	if in.TagKeys == nil {
		c.Add("null", "tagKeys", "Member must not be null")
	}
	c.Count(len(in.TagKeys), fmt.Sprintf("'%d keys'", len(in.TagKeys)), "tagKeys", 0, maxTags)
	c.keys(in.TagKeys, "tagKeys")
	name, err := s.resource(&c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	if err := s.untag(ctx, name, in.TagKeys); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.UntagResourceOutput{}, nil
}

func (c *checks) keys(keys []string, member string) {
	for i, k := range keys {
		c.Value(k, fmt.Sprintf("%s.%d.member", member, i+1), tagKeyForm)
	}
}

func (s *Service) untag(ctx context.Context, name string, keys []string) error {
	return s.store.UpdateGroup(ctx, name, func(g *logstore.Group) error {
		for _, k := range keys {
			delete(g.Tags, k)
		}
		return nil
	})
}

// ListTagsLogGroup lists a log group's tags; ListTagsForResource has replaced it.
func (s *Service) ListTagsLogGroup(_ context.Context, in *cloudwatchlogs.ListTagsLogGroupInput) (*cloudwatchlogs.ListTagsLogGroupOutput, error) {
	var c checks
	name := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	g, err := s.store.Group(name)
	if err != nil {
		return nil, err
	}
	return &cloudwatchlogs.ListTagsLogGroupOutput{Tags: g.Tags}, nil
}

// ListTagsForResource lists the tags of the log group that an ARN names.
func (s *Service) ListTagsForResource(_ context.Context, in *cloudwatchlogs.ListTagsForResourceInput) (*cloudwatchlogs.ListTagsForResourceOutput, error) {
	var c checks
	name, err := s.resource(&c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	g, err := s.store.Group(name)
	if err != nil {
		return nil, err
	}
	return &cloudwatchlogs.ListTagsForResourceOutput{Tags: g.Tags}, nil
}

// resource ends the checks and gives the name of the group that the ARN names.
func (s *Service) resource(c *checks, arn *string) (string, error) {
	c.Text(arn, "resourceArn", arnTextForm)
	if err := c.err(); err != nil {
		return "", err
	}
	return s.identified(strings.TrimSuffix(*arn, ":*"))
}
