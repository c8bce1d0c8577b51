package e2e

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// machines is the capacity provider of an installation's machine, which joins it at its next start.
const machines = "machines"

func (in *installation) joinProvider() {
	in.t.Helper()
	_, err := in.ECS.CreateCapacityProvider(in.t.Context(), &ecs.CreateCapacityProviderInput{Name: aws.String(machines),
		AutoScalingGroupProvider: &types.AutoScalingGroupProvider{AutoScalingGroupArn: aws.String("machines")}})
	if err != nil {
		in.t.Fatal(err)
	}
	_, err = in.ECS.PutClusterCapacityProviders(in.t.Context(), &ecs.PutClusterCapacityProvidersInput{
		Cluster: aws.String("default"), CapacityProviders: []string{machines}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}})
	if err != nil {
		in.t.Fatal(err)
	}
	in.flags = append(in.flags, "--capacity-provider", machines)
}

// daemon registers a revision of a daemon that says a word, and gives its ARN.
func (in *installation) daemon(word string) *string {
	in.t.Helper()
	out, err := in.ECS.RegisterDaemonTaskDefinition(in.t.Context(), &ecs.RegisterDaemonTaskDefinitionInput{
		Family: aws.String("agent"), ContainerDefinitions: []types.DaemonContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32), StopTimeout: aws.Int32(5),
			Command: []string{"sh", "-c", fmt.Sprintf("trap 'exit 0' TERM; echo %s; sleep 600 & wait", word)},
		}},
	})
	if err != nil {
		in.t.Fatal(err)
	}
	return out.DaemonTaskDefinitionArn
}

// deployed waits for the end of a daemon's deployment with the SDK's own waiter, and gives the one task that it left running.
func (in *installation) deployed(deployment *string) types.Task {
	in.t.Helper()
	wait := ecs.NewDaemonDeploymentSuccessfulWaiter(in.ECS, func(o *ecs.DaemonDeploymentSuccessfulWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, 100*time.Millisecond
	})
	if err := wait.Wait(in.t.Context(), &ecs.DescribeDaemonDeploymentsInput{DaemonDeploymentArns: []string{*deployment}}, time.Minute); err != nil {
		in.t.Fatal(err)
	}
	list, err := in.ECS.ListTasks(in.t.Context(), &ecs.ListTasksInput{DaemonName: aws.String("agent")})
	if err != nil || len(list.TaskArns) != 1 { // A deployment without instances would succeed too.
		in.t.Fatalf("tasks of the daemon: %+v, %v", list, err)
	}
	out, err := in.ECS.DescribeTasks(in.t.Context(), &ecs.DescribeTasksInput{Tasks: list.TaskArns})
	if err != nil {
		in.t.Fatal(err)
	}
	return out.Tasks[0]
}

// daemonComesAndGoes makes a daemon on the machine of a provider, gives it another revision and deletes it.
func (in *installation) daemonComesAndGoes() {
	in.t.Helper()
	ctx, providers := in.t.Context(), []string{machines}
	made, err := in.ECS.CreateDaemon(ctx, &ecs.CreateDaemonInput{DaemonName: aws.String("agent"), DaemonTaskDefinitionArn: in.daemon("one"), CapacityProviderArns: providers})
	if err != nil {
		in.t.Fatal(err)
	}
	first := in.deployed(made.DeploymentArn)
	second := in.daemon("two")
	updated, err := in.ECS.UpdateDaemon(ctx, &ecs.UpdateDaemonInput{DaemonArn: made.DaemonArn, DaemonTaskDefinitionArn: second, CapacityProviderArns: providers})
	if err != nil {
		in.t.Fatal(err)
	}
	task := in.deployed(updated.DeploymentArn)
	if *task.TaskDefinitionArn != *second || *task.LastStatus != "RUNNING" || *task.ContainerInstanceArn != *first.ContainerInstanceArn || *task.CapacityProviderName != machines || *task.Group != "daemon:agent" {
		in.t.Errorf("%+v", task)
	}
	if _, err := in.ECS.DeleteDaemon(ctx, &ecs.DeleteDaemonInput{DaemonArn: made.DaemonArn}); err != nil {
		in.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, err := in.ECS.ListDaemons(ctx, &ecs.ListDaemonsInput{})
		if err != nil {
			in.t.Fatal(err)
		}
		if len(out.DaemonSummariesList) == 0 {
			break
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("the daemon stays: %+v", out.DaemonSummariesList)
		}
	}
}
