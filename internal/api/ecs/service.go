package ecsapi

import (
	"reflect"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"

	"roadstead.dev/roadstead/internal/wire"
)

// Service makes the wire's service of the operations. Those of AWS's that are not here answer UnsupportedFeatureException.
func (a *API) Service() *wire.Service {
	s := wire.NewService(wire.ServiceConfig{
		Name:         "ecs",
		Protocol:     wire.JSON11,
		TargetPrefix: "AmazonEC2ContainerServiceV20141113",
		APIVersion:   "2014-11-13",
		Client:       reflect.TypeFor[*sdk.Client](),
	})
	a.Register(s)
	return s
}

// Register adds every operation to an ECS service of the wire.
func (a *API) Register(s *wire.Service) {
	wire.Handle(s, "CreateCluster", a.CreateCluster)
	wire.Handle(s, "DescribeClusters", a.DescribeClusters)
	wire.Handle(s, "ListClusters", a.ListClusters)
	wire.Handle(s, "UpdateCluster", a.UpdateCluster)
	wire.Handle(s, "UpdateClusterSettings", a.UpdateClusterSettings)
	wire.Handle(s, "PutClusterCapacityProviders", a.PutClusterCapacityProviders)
	wire.Handle(s, "DeleteCluster", a.DeleteCluster)

	wire.Handle(s, "CreateCapacityProvider", a.CreateCapacityProvider)
	wire.Handle(s, "DescribeCapacityProviders", a.DescribeCapacityProviders)
	wire.Handle(s, "UpdateCapacityProvider", a.UpdateCapacityProvider)
	wire.Handle(s, "DeleteCapacityProvider", a.DeleteCapacityProvider)

	wire.Handle(s, "RegisterTaskDefinition", a.RegisterTaskDefinition)
	wire.Handle(s, "DescribeTaskDefinition", a.DescribeTaskDefinition)
	wire.Handle(s, "DeregisterTaskDefinition", a.DeregisterTaskDefinition)
	wire.Handle(s, "DeleteTaskDefinitions", a.DeleteTaskDefinitions)
	wire.Handle(s, "ListTaskDefinitions", a.ListTaskDefinitions)
	wire.Handle(s, "ListTaskDefinitionFamilies", a.ListTaskDefinitionFamilies)

	wire.Handle(s, "RegisterDaemonTaskDefinition", a.RegisterDaemonTaskDefinition)
	wire.Handle(s, "DescribeDaemonTaskDefinition", a.DescribeDaemonTaskDefinition)
	wire.Handle(s, "ListDaemonTaskDefinitions", a.ListDaemonTaskDefinitions)
	wire.Handle(s, "DeleteDaemonTaskDefinition", a.DeleteDaemonTaskDefinition)
	wire.Handle(s, "CreateDaemon", a.CreateDaemon)
	wire.Handle(s, "UpdateDaemon", a.UpdateDaemon)
	wire.Handle(s, "DeleteDaemon", a.DeleteDaemon)
	wire.Handle(s, "DescribeDaemon", a.DescribeDaemon)
	wire.Handle(s, "ListDaemons", a.ListDaemons)
	wire.Handle(s, "DescribeDaemonRevisions", a.DescribeDaemonRevisions)
	wire.Handle(s, "ListDaemonDeployments", a.ListDaemonDeployments)
	wire.Handle(s, "DescribeDaemonDeployments", a.DescribeDaemonDeployments)

	wire.Handle(s, "RegisterContainerInstance", a.RegisterContainerInstance)
	s.KeepExtra("RegisterContainerInstance")
	wire.Handle(s, "DescribeContainerInstances", a.DescribeContainerInstances)
	wire.Handle(s, "ListContainerInstances", a.ListContainerInstances)
	wire.Handle(s, "UpdateContainerInstancesState", a.UpdateContainerInstancesState)
	wire.Handle(s, "UpdateContainerAgent", a.UpdateContainerAgent)
	wire.Handle(s, "DeregisterContainerInstance", a.DeregisterContainerInstance)
	wire.Handle(s, "PutAttributes", a.PutAttributes)
	wire.Handle(s, "DeleteAttributes", a.DeleteAttributes)
	wire.Handle(s, "ListAttributes", a.ListAttributes)

	wire.Handle(s, "RunTask", a.RunTask)
	wire.Handle(s, "StartTask", a.StartTask)
	wire.Handle(s, "StopTask", a.StopTask)
	wire.Handle(s, "ExecuteCommand", a.ExecuteCommand)
	wire.Handle(s, "DescribeTasks", a.DescribeTasks)
	wire.Handle(s, "ListTasks", a.ListTasks)
	wire.Handle(s, "GetTaskProtection", a.GetTaskProtection)
	wire.Handle(s, "UpdateTaskProtection", a.UpdateTaskProtection)

	wire.Handle(s, "DiscoverPollEndpoint", a.DiscoverPollEndpoint)
	wire.Handle(s, "SubmitTaskStateChange", a.SubmitTaskStateChange)
	wire.Handle(s, "SubmitContainerStateChange", a.SubmitContainerStateChange)
	wire.Handle(s, "SubmitAttachmentStateChanges", a.SubmitAttachmentStateChanges)

	wire.Handle(s, "CreateService", a.CreateService)
	wire.Handle(s, "UpdateService", a.UpdateService)
	wire.Handle(s, "DeleteService", a.DeleteService)
	wire.Handle(s, "DescribeServices", a.DescribeServices)
	wire.Handle(s, "ListServices", a.ListServices)
	wire.Handle(s, "ListServiceDeployments", a.ListServiceDeployments)
	wire.Handle(s, "DescribeServiceDeployments", a.DescribeServiceDeployments)
	wire.Handle(s, "DescribeServiceRevisions", a.DescribeServiceRevisions)
	wire.Handle(s, "StopServiceDeployment", a.StopServiceDeployment)
	wire.Handle(s, "ContinueServiceDeployment", a.ContinueServiceDeployment)

	wire.Handle(s, "CreateTaskSet", a.CreateTaskSet)
	wire.Handle(s, "UpdateTaskSet", a.UpdateTaskSet)
	wire.Handle(s, "UpdateServicePrimaryTaskSet", a.UpdateServicePrimaryTaskSet)
	wire.Handle(s, "DeleteTaskSet", a.DeleteTaskSet)
	wire.Handle(s, "DescribeTaskSets", a.DescribeTaskSets)

	wire.Handle(s, "TagResource", a.TagResource)
	wire.Handle(s, "UntagResource", a.UntagResource)
	wire.Handle(s, "ListTagsForResource", a.ListTagsForResource)
	wire.Handle(s, "ListAccountSettings", a.ListAccountSettings)
	wire.Handle(s, "PutAccountSetting", a.PutAccountSetting)
	wire.Handle(s, "PutAccountSettingDefault", a.PutAccountSettingDefault)
	wire.Handle(s, "DeleteAccountSetting", a.DeleteAccountSetting)
}
