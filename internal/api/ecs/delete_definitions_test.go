package ecsapi_test

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
)

func TestDeleteTaskDefinitions(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(1024, 1024)
	f.register()
	f.register()
	must(f.DeregisterTaskDefinition(f.ctx, &sdk.DeregisterTaskDefinitionInput{TaskDefinition: ptr("sleep:1")}))
	out := must(f.DeleteTaskDefinitions(f.ctx, &sdk.DeleteTaskDefinitionsInput{TaskDefinitions: []string{
		place.DefinitionARN(ecs.DefinitionID{Family: "sleep", Revision: 1}), "sleep:2", "sleep:3",
	}}))
	if len(out.TaskDefinitions) != 1 || out.TaskDefinitions[0].Status != types.TaskDefinitionStatusDeleteInProgress || !out.TaskDefinitions[0].DeleteRequestedAt.Equal(f.now) {
		t.Errorf("%+v", out.TaskDefinitions)
	}
	if len(out.Failures) != 2 || !strings.Contains(*out.Failures[0].Reason, "still in ACTIVE status") || !strings.Contains(*out.Failures[1].Reason, "does not exist") {
		t.Errorf("%+v", out.Failures)
	}
	f.now = f.now.Add(1)
	again := must(f.DeleteTaskDefinitions(f.ctx, &sdk.DeleteTaskDefinitionsInput{TaskDefinitions: []string{"sleep:1"}}))
	if len(again.TaskDefinitions) != 1 || !again.TaskDefinitions[0].DeleteRequestedAt.Equal(*out.TaskDefinitions[0].DeleteRequestedAt) {
		t.Errorf("again: %+v", again)
	}
	if _, err := f.RunTask(f.ctx, &sdk.RunTaskInput{TaskDefinition: ptr("sleep:1")}); err == nil {
		t.Error("a task of it was run")
	}
	list := must(f.ListTaskDefinitions(f.ctx, &sdk.ListTaskDefinitionsInput{Status: types.TaskDefinitionStatusDeleteInProgress}))
	if len(list.TaskDefinitionArns) != 1 {
		t.Errorf("%v", list.TaskDefinitionArns)
	}
	must(f.DescribeTaskDefinition(f.ctx, &sdk.DescribeTaskDefinitionInput{TaskDefinition: ptr("sleep:1")}))
}

func TestDeleteTaskDefinitionsRefused(t *testing.T) {
	f := newFixture(t)
	for want, names := range map[string][]string{
		"InvalidParameterException: Task definitions cannot be empty.":                     nil,
		"InvalidParameterException: Task definitions cannot contain more than 10 entries.": many(11),
		"InvalidParameterException: Revision is missing: sleep":                            {"sleep"},
		"ClientException: Invalid task definition identifier: a b:1":                       {"a b:1"},
		"InvalidParameterException: Invalid revision number. Number: x":                    {"sleep:x"},
		"ClientException: Task definition should not be null or empty.":                    {""},
	} {
		if _, err := f.DeleteTaskDefinitions(f.ctx, &sdk.DeleteTaskDefinitionsInput{TaskDefinitions: names}); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", names, err, want)
		}
	}
}

func ptr[T any](v T) *T { return &v }
