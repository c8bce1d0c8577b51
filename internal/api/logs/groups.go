package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/logstore"
)

const maxTags = 50

// CreateLogGroup makes a log group. KMS keys and the DELIVERY class are refused: there is nothing here that would do as they say.
func (s *Service) CreateLogGroup(ctx context.Context, in *cloudwatchlogs.CreateLogGroupInput) (*cloudwatchlogs.CreateLogGroupOutput, error) {
	var c checks
	name := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	c.Optional(in.KmsKeyId, "kmsKeyId", constraint.Form{Max: 256})
	c.Enum(string(in.LogGroupClass), "logGroupClass", "STANDARD", "INFREQUENT_ACCESS", "DELIVERY")
	if in.Tags != nil {
		c.tags(in.Tags, 1, maxTags)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(strings.ToLower(name), "aws/"):
		return nil, badParameter("Log groups starting with AWS/ are reserved for AWS.")
	case aws.ToString(in.KmsKeyId) != "":
		return nil, badParameter("The specified KMS key does not exist or is not allowed to be used: this service has no KMS keys.")
	case in.LogGroupClass == types.LogGroupClassDelivery:
		return nil, badParameter("The log group class DELIVERY is not supported.")
	}
	if err := reserved(in.Tags); err != nil {
		return nil, err
	}
	class := in.LogGroupClass
	if class == "" {
		class = types.LogGroupClassStandard
	}
	err := s.store.CreateGroup(ctx, logstore.Group{
		Name: name, Class: string(class), Tags: in.Tags, Protected: aws.ToBool(in.DeletionProtectionEnabled),
	})
	if err != nil {
		return nil, err
	}
	return &cloudwatchlogs.CreateLogGroupOutput{}, nil
}

// DeleteLogGroup deletes a log group with all that is in it.
func (s *Service) DeleteLogGroup(ctx context.Context, in *cloudwatchlogs.DeleteLogGroupInput) (*cloudwatchlogs.DeleteLogGroupOutput, error) {
	var c checks
	name := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := s.store.DeleteGroup(ctx, name); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.DeleteLogGroupOutput{}, nil
}

// PutLogGroupDeletionProtection says whether a log group may be deleted.
func (s *Service) PutLogGroupDeletionProtection(ctx context.Context, in *cloudwatchlogs.PutLogGroupDeletionProtectionInput) (*cloudwatchlogs.PutLogGroupDeletionProtectionOutput, error) {
	var c checks
	ident := c.Text(in.LogGroupIdentifier, "logGroupIdentifier", identifierForm)
	if in.DeletionProtectionEnabled == nil {
		c.Add("null", "deletionProtectionEnabled", "Member must not be null")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	name, err := s.identified(ident)
	if err != nil {
		return nil, err
	}
	err = s.store.UpdateGroup(ctx, name, func(g *logstore.Group) error {
		g.Protected = *in.DeletionProtectionEnabled
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &cloudwatchlogs.PutLogGroupDeletionProtectionOutput{}, nil
}

// retentions are the numbers of days that AWS takes.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
var retentions = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// PutRetentionPolicy says how long a log group keeps its events.
func (s *Service) PutRetentionPolicy(ctx context.Context, in *cloudwatchlogs.PutRetentionPolicyInput) (*cloudwatchlogs.PutRetentionPolicyOutput, error) {
	var c checks
	name := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	days := aws.ToInt32(in.RetentionInDays)
	if in.RetentionInDays == nil {
		c.Add("null", "retentionInDays", "Member must not be null")
	} else {
		var values []string
		for _, d := range retentions {
			values = append(values, fmt.Sprint(d))
		}
		c.Enum(fmt.Sprint(days), "retentionInDays", values...)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := s.retain(ctx, name, int(days)); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.PutRetentionPolicyOutput{}, nil
}

// DeleteRetentionPolicy makes a log group keep its events for ever.
func (s *Service) DeleteRetentionPolicy(ctx context.Context, in *cloudwatchlogs.DeleteRetentionPolicyInput) (*cloudwatchlogs.DeleteRetentionPolicyOutput, error) {
	var c checks
	name := c.Text(in.LogGroupName, "logGroupName", groupNameForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := s.retain(ctx, name, 0); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.DeleteRetentionPolicyOutput{}, nil
}

func (s *Service) retain(ctx context.Context, name string, days int) error {
	return s.store.UpdateGroup(ctx, name, func(g *logstore.Group) error {
		g.Retention = days
		return nil
	})
}

// maxDescribed is how many groups or streams a page describes.
const maxDescribed = 50

// DescribeLogGroups lists log groups in the order of their names.
func (s *Service) DescribeLogGroups(_ context.Context, in *cloudwatchlogs.DescribeLogGroupsInput) (*cloudwatchlogs.DescribeLogGroupsOutput, error) {
	var c checks
	q := logstore.GroupQuery{
		Prefix:   c.Optional(in.LogGroupNamePrefix, "logGroupNamePrefix", groupNameForm),
		Contains: c.Optional(in.LogGroupNamePattern, "logGroupNamePattern", groupPartForm),
		Class:    string(in.LogGroupClass),
		Limit:    c.limit(in.Limit, maxDescribed, maxDescribed),
	}
	token := c.Optional(in.NextToken, "nextToken", tokenForm)
	c.Enum(q.Class, "logGroupClass", "STANDARD", "INFREQUENT_ACCESS", "DELIVERY")
	if in.LogGroupIdentifiers != nil {
		c.Count(len(in.LogGroupIdentifiers), "'[]'", "logGroupIdentifiers", 1, 50)
	}
	for i, ident := range in.LogGroupIdentifiers {
		c.Value(ident, fmt.Sprintf("logGroupIdentifiers.%d.member", i+1), identifierForm)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return nil, badParameter("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	if aws.ToBool(in.IncludeLinkedAccounts) && len(in.AccountIdentifiers) > 0 && !slices.Contains(in.AccountIdentifiers, s.cfg.Account) {
		return &cloudwatchlogs.DescribeLogGroupsOutput{LogGroups: []types.LogGroup{}}, nil // no other account is linked
	}
	if in.LogGroupIdentifiers != nil {
		if in.LogGroupNamePrefix != nil || in.LogGroupNamePattern != nil || in.LogGroupClass != "" || token != "" {
			return nil, badParameter("logGroupIdentifiers cannot be combined with other filters.")
		}
		return s.describeIdentified(in.LogGroupIdentifiers)
	}
	scope := tokenScope("groups", q.Prefix, q.Contains, q.Class)
	if token != "" {
		after, err := openToken(token, scope)
		if err != nil {
			return nil, err
		}
		q.After = after.Name
	}
	groups, more, err := s.store.Groups(q)
	if err != nil {
		return nil, err
	}
	out := &cloudwatchlogs.DescribeLogGroupsOutput{LogGroups: s.described(groups)}
	if more {
		out.NextToken = aws.String(sealToken(place{Name: groups[len(groups)-1].Name}, scope))
	}
	return out, nil
}

func (s *Service) describeIdentified(idents []string) (*cloudwatchlogs.DescribeLogGroupsOutput, error) {
	var groups []logstore.Group
	for _, ident := range idents {
		name, err := s.identified(ident)
		if err != nil {
			return nil, err
		}
		g, err := s.store.Group(name)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return &cloudwatchlogs.DescribeLogGroupsOutput{LogGroups: s.described(groups)}, nil
}

func (s *Service) described(groups []logstore.Group) []types.LogGroup {
	out := make([]types.LogGroup, 0, len(groups))
	for _, g := range groups {
		d := types.LogGroup{
			Arn:                       aws.String(s.groupARN(g.Name) + ":*"),
			LogGroupArn:               aws.String(s.groupARN(g.Name)),
			LogGroupName:              aws.String(g.Name),
			LogGroupClass:             types.LogGroupClass(g.Class),
			CreationTime:              aws.Int64(g.Created),
			MetricFilterCount:         aws.Int32(0),
			StoredBytes:               aws.Int64(g.Bytes),
			DeletionProtectionEnabled: aws.Bool(g.Protected),
		}
		if g.Retention > 0 {
			d.RetentionInDays = aws.Int32(int32(g.Retention))
		}
		out = append(out, d)
	}
	return out
}
