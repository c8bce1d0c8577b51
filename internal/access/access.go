// Package access says what each kind of caller may call, as long as there are no policies to say it: the account's root
// everything, an agent what the stock agent's role has, a task's role what does not change what others run.
package access

import (
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

// allowed are operations by the caller's type and the service's signing name. A trailing * stands for any rest.
var allowed = map[wire.CallerType]map[string][]string{
	// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEC2ContainerServiceforEC2Role.html
	wire.CallerAgent: {
		"ecs": {
			"CreateCluster", "DescribeClusters", "DeregisterContainerInstance", "DiscoverPollEndpoint", "Poll", "RegisterContainerInstance",
			"StartTelemetrySession", "UpdateContainerInstancesState", "Submit*", "ListTagsForResource",
			// On behalf of its tasks.
			"GetTaskProtection", "UpdateTaskProtection",
		},
		"logs": {"CreateLogGroup", "CreateLogStream", "PutLogEvents", "DescribeLogGroups", "DescribeLogStreams"},
		// Which roles it may assume is for the operation to say.
		"sts": {"AssumeRole", "GetCallerIdentity"},
	},
	wire.CallerAssumedRole: {
		"ecs":  {"Describe*", "List*", "GetTaskProtection", "UpdateTaskProtection"},
		"logs": {"CreateLogGroup", "CreateLogStream", "PutLogEvents", "Describe*", "FilterLogEvents", "GetLogEvents", "StartLiveTail", "ListTagsForResource"},
		"sts":  {"GetCallerIdentity"},
		// What comes of its events is for rules to say, which it cannot make; those of AWS's services it cannot pretend.
		"events": {"PutEvents"},
		// Which secrets and parameters is for the operation to say.
		"secretsmanager": {"GetSecretValue"},
		"ssm":            {"GetParameter", "GetParameters"},
	},
}

// Authorize is wire.Config's.
func Authorize(c wire.Caller, service, operation string) error {
	if c.Type == wire.CallerRoot || slices.ContainsFunc(allowed[c.Type][service], func(p string) bool { return matches(p, operation) }) {
		return nil
	}
	return fault.New(fault.AccessDenied, "User: %s is not authorized to perform: %s:%s because no identity-based policy allows the %s:%s action",
		c.ARN, service, operation, service, operation)
}

func matches(pattern, operation string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(operation, prefix)
	}
	return pattern == operation
}
