package ecsapi

import (
	"reflect"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
)

// used are the fields of each input that have an effect. With the table of refusals they are all that AWS has.
var used = map[reflect.Type]string{
	reflect.TypeFor[sdk.CreateClusterInput]():               "CapacityProviders ClusterName Configuration DefaultCapacityProviderStrategy ServiceConnectDefaults Settings Tags",
	reflect.TypeFor[sdk.UpdateClusterInput]():               "Cluster Configuration ServiceConnectDefaults Settings",
	reflect.TypeFor[sdk.UpdateClusterSettingsInput]():       "Cluster Settings",
	reflect.TypeFor[sdk.PutClusterCapacityProvidersInput](): "CapacityProviders Cluster DefaultCapacityProviderStrategy",
	reflect.TypeFor[sdk.CreateCapacityProviderInput]():      "AutoScalingGroupProvider Name Tags",
	reflect.TypeFor[sdk.DescribeCapacityProvidersInput]():   "CapacityProviders Cluster Include MaxResults NextToken",
	reflect.TypeFor[sdk.UpdateCapacityProviderInput]():      "AutoScalingGroupProvider Name",
	reflect.TypeFor[sdk.DeleteCapacityProviderInput]():      "CapacityProvider",
	reflect.TypeFor[sdk.PutAccountSettingInput]():           "Name PrincipalArn Value",
	reflect.TypeFor[sdk.PutAccountSettingDefaultInput]():    "Name Value",
	reflect.TypeFor[sdk.DeleteAccountSettingInput]():        "Name PrincipalArn",
	reflect.TypeFor[sdk.DescribeClustersInput]():            "Clusters Include",
	reflect.TypeFor[sdk.ListClustersInput]():                "MaxResults NextToken",
	reflect.TypeFor[sdk.DeleteClusterInput]():               "Cluster",
	reflect.TypeFor[sdk.DescribeTaskDefinitionInput]():      "TaskDefinition Include",
	reflect.TypeFor[sdk.DeregisterTaskDefinitionInput]():    "TaskDefinition",
	reflect.TypeFor[sdk.DeleteTaskDefinitionsInput]():       "TaskDefinitions",
	reflect.TypeFor[sdk.ListTaskDefinitionsInput]():         "FamilyPrefix MaxResults NextToken Sort Status",
	reflect.TypeFor[sdk.ListTaskDefinitionFamiliesInput]():  "FamilyPrefix MaxResults NextToken Status",
	reflect.TypeFor[sdk.DescribeContainerInstancesInput]():  "ContainerInstances Cluster Include",
	reflect.TypeFor[sdk.ListContainerInstancesInput]():      "Cluster Filter MaxResults NextToken Status",
	reflect.TypeFor[sdk.DeregisterContainerInstanceInput](): "ContainerInstance Cluster Force",
	reflect.TypeFor[sdk.StopTaskInput]():                    "Task Cluster Reason",
	reflect.TypeFor[sdk.DescribeTasksInput]():               "Tasks Cluster Include",
	reflect.TypeFor[sdk.GetTaskProtectionInput]():           "Cluster Tasks",
	reflect.TypeFor[sdk.UpdateTaskProtectionInput]():        "Cluster ExpiresInMinutes ProtectionEnabled Tasks",
	// VolumeConfigurations are checked, and refused where they are right.
	reflect.TypeFor[sdk.CreateServiceInput](): "ServiceName AvailabilityZoneRebalancing CapacityProviderStrategy ClientToken Cluster DeploymentConfiguration " +
		"DeploymentController DesiredCount EnableECSManagedTags EnableExecuteCommand HealthCheckGracePeriodSeconds LaunchType NetworkConfiguration " +
		"PlacementConstraints PlacementStrategy PlatformVersion PropagateTags SchedulingStrategy Tags TaskDefinition VolumeConfigurations",
	reflect.TypeFor[sdk.UpdateServiceInput](): "Service AvailabilityZoneRebalancing CapacityProviderStrategy Cluster DeploymentConfiguration " +
		"DeploymentController DesiredCount EnableECSManagedTags EnableExecuteCommand ForceNewDeployment HealthCheckGracePeriodSeconds NetworkConfiguration " +
		"PlacementConstraints PlacementStrategy PlatformVersion PropagateTags TaskDefinition VolumeConfigurations",
	reflect.TypeFor[sdk.DeleteServiceInput]():                "Service Cluster Force",
	reflect.TypeFor[sdk.DescribeServicesInput]():             "Services Cluster Include",
	reflect.TypeFor[sdk.ListServicesInput]():                 "Cluster LaunchType MaxResults NextToken SchedulingStrategy",
	reflect.TypeFor[sdk.ListServiceDeploymentsInput]():       "Service Cluster CreatedAt MaxResults NextToken Status",
	reflect.TypeFor[sdk.DescribeServiceDeploymentsInput]():   "ServiceDeploymentArns",
	reflect.TypeFor[sdk.DescribeServiceRevisionsInput]():     "ServiceRevisionArns",
	reflect.TypeFor[sdk.StopServiceDeploymentInput]():        "ServiceDeploymentArn StopType",
	reflect.TypeFor[sdk.ContinueServiceDeploymentInput]():    "Action HookId ServiceDeploymentArn",
	reflect.TypeFor[sdk.CreateTaskSetInput]():                "Cluster Service TaskDefinition CapacityProviderStrategy ClientToken ExternalId LaunchType NetworkConfiguration PlatformVersion Scale Tags",
	reflect.TypeFor[sdk.UpdateTaskSetInput]():                "Cluster Scale Service TaskSet",
	reflect.TypeFor[sdk.UpdateServicePrimaryTaskSetInput]():  "Cluster PrimaryTaskSet Service",
	reflect.TypeFor[sdk.DeleteTaskSetInput]():                "Cluster Service TaskSet Force",
	reflect.TypeFor[sdk.DescribeTaskSetsInput]():             "Cluster Service Include TaskSets",
	reflect.TypeFor[sdk.TagResourceInput]():                  "ResourceArn Tags",
	reflect.TypeFor[sdk.UntagResourceInput]():                "ResourceArn TagKeys",
	reflect.TypeFor[sdk.ListTagsForResourceInput]():          "ResourceArn",
	reflect.TypeFor[sdk.SubmitAttachmentStateChangesInput](): "Attachments Cluster",
	// Only ACTIVE and DRAINING can be asked for.
	reflect.TypeFor[sdk.UpdateContainerInstancesStateInput](): "Cluster ContainerInstances Status",
	reflect.TypeFor[sdk.UpdateContainerAgentInput]():          "Cluster ContainerInstance",
	reflect.TypeFor[sdk.PutAttributesInput]():                 "Attributes Cluster",
	reflect.TypeFor[sdk.DeleteAttributesInput]():              "Attributes Cluster",
	reflect.TypeFor[sdk.ListAttributesInput]():                "AttributeName AttributeValue Cluster MaxResults NextToken TargetType",
	// Fields of definitions are stored, given back and, if an agent cannot do them, refused at placement or by the agent.
	reflect.TypeFor[sdk.RegisterTaskDefinitionInput](): "ContainerDefinitions Family Cpu EnableFaultInjection EphemeralStorage ExecutionRoleArn " +
		"InferenceAccelerators IpcMode Memory NetworkMode PidMode PlacementConstraints ProxyConfiguration RequiresCompatibilities RuntimePlatform Tags TaskRoleArn Volumes",
	// Fields of daemons' definitions are those of definitions, but for logDriverVolumeConfiguration, which is refused.
	reflect.TypeFor[sdk.RegisterDaemonTaskDefinitionInput](): "ContainerDefinitions Family Cpu ExecutionRoleArn IpcMode Memory PidMode Tags TaskRoleArn Volumes",
	reflect.TypeFor[sdk.DescribeDaemonTaskDefinitionInput](): "DaemonTaskDefinition",
	reflect.TypeFor[sdk.ListDaemonTaskDefinitionsInput]():    "Family FamilyPrefix MaxResults NextToken Revision Sort Status",
	reflect.TypeFor[sdk.DeleteDaemonTaskDefinitionInput]():   "DaemonTaskDefinition",
	reflect.TypeFor[sdk.CreateDaemonInput](): "CapacityProviderArns ClientToken ClusterArn Critical DaemonName DaemonTaskDefinitionArn DeploymentConfiguration " +
		"EnableECSManagedTags EnableExecuteCommand PropagateTags Tags",
	reflect.TypeFor[sdk.UpdateDaemonInput](): "CapacityProviderArns Critical DaemonArn DaemonTaskDefinitionArn DeploymentConfiguration " +
		"EnableECSManagedTags EnableExecuteCommand PropagateTags",
	reflect.TypeFor[sdk.DeleteDaemonInput]():              "DaemonArn",
	reflect.TypeFor[sdk.DescribeDaemonInput]():            "DaemonArn",
	reflect.TypeFor[sdk.ListDaemonsInput]():               "CapacityProviderArns ClusterArn MaxResults NextToken",
	reflect.TypeFor[sdk.DescribeDaemonRevisionsInput]():   "DaemonRevisionArns",
	reflect.TypeFor[sdk.ListDaemonDeploymentsInput]():     "CreatedAt DaemonArn MaxResults NextToken Status",
	reflect.TypeFor[sdk.DescribeDaemonDeploymentsInput](): "DaemonDeploymentArns",
	// The signature of the document is AWS's and cannot be checked here.
	reflect.TypeFor[sdk.RegisterContainerInstanceInput](): "Attributes Cluster ContainerInstanceArn InstanceIdentityDocument " +
		"InstanceIdentityDocumentSignature PlatformDevices Tags TotalResources VersionInfo",
	reflect.TypeFor[sdk.RunTaskInput](): "TaskDefinition CapacityProviderStrategy ClientToken Cluster Count EnableECSManagedTags EnableExecuteCommand Group " +
		"LaunchType NetworkConfiguration Overrides PlacementConstraints PlacementStrategy PlatformVersion PropagateTags ReferenceId StartedBy Tags VolumeConfigurations",
	reflect.TypeFor[sdk.ExecuteCommandInput](): "Command Interactive Task Cluster Container",
	reflect.TypeFor[sdk.StartTaskInput](): "ContainerInstances TaskDefinition Cluster EnableECSManagedTags EnableExecuteCommand Group NetworkConfiguration " +
		"Overrides PropagateTags ReferenceId StartedBy Tags VolumeConfigurations",
	reflect.TypeFor[sdk.ListTasksInput](): "Cluster ContainerInstance DesiredStatus Family LaunchType MaxResults NextToken ServiceName StartedBy DaemonName",
	// Which agent asks makes no difference: all have one endpoint.
	reflect.TypeFor[sdk.DiscoverPollEndpointInput]():       "Cluster ContainerInstance",
	reflect.TypeFor[sdk.SubmitTaskStateChangeInput]():      "Attachments Cluster Containers ExecutionStoppedAt ManagedAgents PullStartedAt PullStoppedAt Reason Status Task",
	reflect.TypeFor[sdk.SubmitContainerStateChangeInput](): "Cluster ContainerName ExitCode NetworkBindings Reason RuntimeId Status Task",
	reflect.TypeFor[sdk.ListAccountSettingsInput]():        "EffectiveSettings MaxResults Name NextToken PrincipalArn Value",
}

// TestNoFieldIsIgnored holds every field of every operation that is handled against the two lists.
func TestNoFieldIsIgnored(t *testing.T) {
	client := reflect.TypeFor[*sdk.Client]()
	for _, op := range new(API).Service().Handled() {
		method, ok := client.MethodByName(op)
		if !ok {
			t.Fatalf("the SDK has no operation %s", op)
		}
		in := method.Type.In(2).Elem()
		known := map[string]bool{}
		for _, f := range strings.Fields(used[in]) {
			known[f] = true
		}
		for _, r := range refusals[in] {
			if known[r.field] {
				t.Errorf("%s.%s is both used and refused", op, r.field)
			}
			known[r.field] = true
		}
		for i := range in.NumField() {
			f := in.Field(i)
			if f.IsExported() && !known[f.Name] {
				t.Errorf("%s.%s is neither used nor refused", op, f.Name)
			}
			delete(known, f.Name)
		}
		for f := range known {
			t.Errorf("%s has no field %s", op, f)
		}
	}
}

func TestRefuseNamesTheField(t *testing.T) {
	if err := refuse(&sdk.CreateServiceInput{Role: new("r")}); err == nil || err.Error() != "UnsupportedFeatureException: role is not supported yet." {
		t.Errorf("got %v", err)
	}
	if err := refuse(&sdk.CreateServiceInput{}); err != nil {
		t.Errorf("got %v", err)
	}
}
