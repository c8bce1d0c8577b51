package conformance

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func (s *suite) defineFargate() *types.TaskDefinition {
	s.Helper()
	return s.define(func(in *ecs.RegisterTaskDefinitionInput) {
		in.RequiresCompatibilities, in.NetworkMode = []types.Compatibility{types.CompatibilityFargate}, types.NetworkModeAwsvpc
		in.Cpu, in.Memory = aws.String("256"), aws.String("512")
		in.ContainerDefinitions[0].Memory = nil
	})
}

// TestFargate: a task without an instance, with a network interface.
func TestFargate(t *testing.T) {
	s := beginOnFargate(t)
	out := s.start(s.defineFargate(), func(in *ecs.RunTaskInput) {
		in.LaunchType = types.LaunchTypeFargate
		in.NetworkConfiguration = &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: s.subnets, AssignPublicIp: types.AssignPublicIpEnabled}}
	})
	if len(out.Tasks) != 1 {
		t.Fatalf("RunTask: %+v", out)
	}
	task := s.wait("RUNNING", out.Tasks[0])[0]
	if task.LaunchType != types.LaunchTypeFargate || task.ContainerInstanceArn != nil || aws.ToString(task.Cpu) != "256" || aws.ToString(task.Memory) != "512" ||
		!strings.HasPrefix(aws.ToString(task.PlatformVersion), "1.") || aws.ToString(task.PlatformFamily) != "Linux" {
		t.Errorf("task: %+v", task)
	}
	if len(task.Attachments) != 1 || aws.ToString(task.Attachments[0].Type) != "ElasticNetworkInterface" || aws.ToString(task.Attachments[0].Status) != "ATTACHED" {
		t.Fatalf("attachments: %+v", task.Attachments)
	}
	details := map[string]string{}
	for _, kv := range task.Attachments[0].Details {
		details[aws.ToString(kv.Name)] = aws.ToString(kv.Value)
	}
	address := details["privateIPv4Address"]
	if details["subnetId"] != s.subnets[0] || !strings.HasPrefix(details["networkInterfaceId"], "eni-") || details["macAddress"] == "" || address == "" {
		t.Errorf("details: %v", details)
	}
	c := task.Containers[0]
	if len(c.NetworkInterfaces) != 1 || aws.ToString(c.NetworkInterfaces[0].PrivateIpv4Address) != address || len(c.NetworkBindings) != 0 {
		t.Errorf("container: %+v", c)
	}
}

func TestFargateRefused(t *testing.T) {
	s := beginOnFargate(t)
	d := s.defineFargate()
	_, err := s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: d.TaskDefinitionArn, LaunchType: types.LaunchTypeFargate})
	refused[*types.InvalidParameterException](s, err, "Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	plain := s.define(nil)
	_, err = s.ecs.RunTask(s.ctx, &ecs.RunTaskInput{Cluster: &s.cluster, TaskDefinition: plain.TaskDefinitionArn, LaunchType: types.LaunchTypeFargate})
	refused[*types.InvalidParameterException](s, err, "Task definition does not support launch_type FARGATE.")
}
