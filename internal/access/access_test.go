package access

import (
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

func TestAuthorize(t *testing.T) {
	for _, c := range []struct {
		caller             wire.CallerType
		service, operation string
		ok                 bool
	}{
		{wire.CallerRoot, "ecs", "DeleteCluster", true},
		{wire.CallerRoot, "anything", "Else", true},
		{wire.CallerAgent, "ecs", "SubmitTaskStateChange", true},
		{wire.CallerAgent, "ecs", "RunTask", false},
		{wire.CallerAgent, "ecs", "Submi", false},
		{wire.CallerAgent, "logs", "DeleteLogGroup", false},
		{wire.CallerAssumedRole, "ecs", "DescribeTasks", true},
		{wire.CallerAssumedRole, "ecs", "StopTask", false},
		{wire.CallerAssumedRole, "ecs", "RegisterContainerInstance", false},
		{wire.CallerAssumedRole, "sts", "AssumeRole", false},
		{"", "sts", "GetCallerIdentity", false},
	} {
		err := Authorize(wire.Caller{Type: c.caller, ARN: "arn:x"}, c.service, c.operation)
		if (err == nil) != c.ok || err != nil && !fault.Is(err, fault.AccessDenied) {
			t.Errorf("%s %s:%s: %v", c.caller, c.service, c.operation, err)
		}
	}
}

// TestPatternsNameOperations finds misspelt ones.
func TestPatternsNameOperations(t *testing.T) {
	clients := map[string]reflect.Type{
		"ecs": reflect.TypeFor[*ecs.Client](), "logs": reflect.TypeFor[*cloudwatchlogs.Client](), "sts": reflect.TypeFor[*sts.Client](),
		"secretsmanager": reflect.TypeFor[*secretsmanager.Client](), "ssm": reflect.TypeFor[*ssm.Client](),
		"events": reflect.TypeFor[*eventbridge.Client](),
	}
	// The websockets are no operations of the SDK.
	sockets := map[string]bool{"Poll": true, "StartTelemetrySession": true}
	for caller, services := range allowed {
		for service, patterns := range services {
			for _, p := range patterns {
				if !sockets[p] && !names(clients[service], p) {
					t.Errorf("%s: %s has no operation like %s", caller, service, p)
				}
			}
		}
	}
}

func names(client reflect.Type, pattern string) bool {
	for i := range client.NumMethod() {
		if matches(pattern, client.Method(i).Name) {
			return true
		}
	}
	return false
}
