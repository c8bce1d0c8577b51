package ecsapi_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// TestHostileAgent: an agent's key speaks for no instance but that which it registered, and changes nothing by trying.
func TestHostileAgent(t *testing.T) {
	key, token := "A", ""
	f := newFixture(t, func(c *ecsapi.Config) {
		c.Agent = func(context.Context) string { return key }
		c.ClientToken = func(context.Context) string { return token }
	})
	f.cluster()
	token = "mine"
	arn := f.instance(1000, 1000)
	token = ""
	f.register()
	task := *f.run().Tasks[0].TaskArn
	running, stopped := "RUNNING", "STOPPED"
	try := func() map[string]error {
		errs := map[string]error{}
		_, errs["task"] = f.SubmitTaskStateChange(f.ctx, &sdk.SubmitTaskStateChangeInput{Task: &task, Status: &stopped})
		_, errs["container"] = f.SubmitContainerStateChange(f.ctx, &sdk.SubmitContainerStateChangeInput{Task: &task, ContainerName: aws.String("main"), Status: &running})
		_, errs["register again"] = f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{ContainerInstanceArn: &arn, TotalResources: resources(1, 1)})
		token = "mine"
		_, errs["token"] = f.RegisterContainerInstance(f.ctx, &sdk.RegisterContainerInstanceInput{TotalResources: resources(1, 1)})
		token = ""
		_, errs["deregister"] = f.DeregisterContainerInstance(f.ctx, &sdk.DeregisterContainerInstanceInput{ContainerInstance: &arn, Force: aws.Bool(true)})
		return errs
	}
	key = "B"
	before := f.store.View().Revision
	for what, err := range try() {
		if !fault.Is(err, fault.AccessDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if f.store.View().Revision != before {
		t.Error("something was written")
	}
	if got := f.describe(task); *got.LastStatus == stopped {
		t.Error("the task was ended")
	}
	for _, key = range []string{"A", ""} { // its own agent, and a user
		f.submit(task, running)
	}
	key = "A"
	if _, err := f.DeregisterContainerInstance(f.ctx, &sdk.DeregisterContainerInstanceInput{ContainerInstance: &arn, Force: aws.Bool(true)}); err != nil {
		t.Error(err)
	}
}
