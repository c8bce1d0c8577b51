package ecsapi_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
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

// TestTokenOverTheWire: a registration repeated with the agent's clientToken, which the SDK's struct lacks, gives one instance.
func TestTokenOverTheWire(t *testing.T) {
	f := newFixture(t, func(c *ecsapi.Config) {
		c.ClientToken = func(ctx context.Context) string { return wire.Extra(ctx, "clientToken") }
	})
	f.cluster()
	c := newClient(t, f)
	in := &sdk.RegisterContainerInstanceInput{TotalResources: resources(10, 10)}
	first := must(c.RegisterContainerInstance(f.ctx, in, withMember("clientToken", "t1")))
	again := must(c.RegisterContainerInstance(f.ctx, in, withMember("clientToken", "t1")))
	other := must(c.RegisterContainerInstance(f.ctx, in, withMember("clientToken", "t2")))
	if *first.ContainerInstance.ContainerInstanceArn != *again.ContainerInstance.ContainerInstanceArn {
		t.Error("the same token made two instances")
	}
	if *other.ContainerInstance.ContainerInstanceArn == *first.ContainerInstance.ContainerInstanceArn || f.store.View().Instances.Len() != 2 {
		t.Errorf("%d instances of two tokens", f.store.View().Instances.Len())
	}
}

// withMember adds a member to the request's JSON, before it is signed.
func withMember(name, value string) func(*sdk.Options) {
	return sdk.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("extra", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			req := in.Request.(*smithyhttp.Request)
			body, err := io.ReadAll(req.GetStream())
			if err != nil {
				return middleware.BuildOutput{}, middleware.Metadata{}, err
			}
			more := fmt.Sprintf("{%q:%q,%s", name, value, body[1:])
			in.Request, err = req.SetStream(strings.NewReader(more))
			if err != nil {
				return middleware.BuildOutput{}, middleware.Metadata{}, err
			}
			return next.HandleBuild(ctx, in)
		}), middleware.Before)
	})
}
