package ecsapi_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// runEBS runs a task with a volume that is right but for what change makes of it.
func runEBS(change func(*types.TaskManagedEBSVolumeConfiguration)) func(*fixture) error {
	v := *someEBS
	change(&v)
	return volume("ebs", types.TaskVolumeConfiguration{Name: aws.String("data"), ManagedEBSVolume: &v})
}

// sized is a volume of a type with a size in GiB and, unless they are 0, IOPS and throughput.
func sized(kind string, size, iops, throughput int32) func(*fixture) error {
	return runEBS(func(v *types.TaskManagedEBSVolumeConfiguration) {
		v.SizeInGiB = &size
		if kind != "" {
			v.VolumeType = &kind
		}
		if iops != 0 {
			v.Iops = &iops
		}
		if throughput != 0 {
			v.Throughput = &throughput
		}
	})
}

func taggedEBS(s types.EBSTagSpecification) func(*fixture) error {
	return runEBS(func(v *types.TaskManagedEBSVolumeConfiguration) { v.TagSpecifications = []types.EBSTagSpecification{s} })
}

func serviceVolume(v types.ServiceManagedEBSVolumeConfiguration) []types.ServiceVolumeConfiguration {
	return []types.ServiceVolumeConfiguration{{Name: aws.String("data"), ManagedEBSVolume: &v}}
}

// serviceEBS makes a service with a volume.
func serviceEBS(v types.ServiceManagedEBSVolumeConfiguration, change func(*sdk.CreateServiceInput)) func(*fixture) error {
	return func(f *fixture) error {
		in := &sdk.CreateServiceInput{ServiceName: aws.String("db"), TaskDefinition: aws.String("ebs"), DesiredCount: aws.Int32(1), VolumeConfigurations: serviceVolume(v)}
		if change != nil {
			change(in)
		}
		return only(f.CreateService(f.ctx, in))
	}
}

func updateEBS(service string, v []types.ServiceVolumeConfiguration) func(*fixture) error {
	return func(f *fixture) error {
		return only(f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: &service, VolumeConfigurations: v}))
	}
}

// TestRefusedEBSVolumes has each rule of a volume's configuration broken, and what is right refused as long as no node makes it.
func TestRefusedEBSVolumes(t *testing.T) {
	const of, notYet = "InvalidParameterException: The volume configuration 'data' ", "UnsupportedFeatureException: volumeConfigurations.managedEBSVolume is not supported yet."
	right := types.ServiceManagedEBSVolumeConfiguration{RoleArn: someEBS.RoleArn, SizeInGiB: aws.Int32(1), TagSpecifications: []types.EBSTagSpecification{{ResourceType: "volume", PropagateTags: "SERVICE"}}}
	f := newFixture(t)
	f.cluster()
	f.register()
	f.register(ebs)
	f.register(ebs, fargate, func(in *sdk.RegisterTaskDefinitionInput) { in.Family = aws.String("fargate-ebs") })
	f.service("web")
	external := &types.DeploymentController{Type: types.DeploymentControllerTypeExternal}
	must(f.CreateService(f.ctx, &sdk.CreateServiceInput{ServiceName: aws.String("sets"), DesiredCount: aws.Int32(1), DeploymentController: external}))
	f.refuses(t, []refused{
		{"smallest", sized("", 1, 0, 0), notYet},
		{"largest", sized("gp2", 16384, 0, 0), notYet},
		{"gp3", sized("gp3", 1, 16000, 1000), notYet},
		{"io2", sized("io2", 4, 256000, 0), notYet},
		{"magnetic", sized("standard", 1024, 0, 0), notYet},
		{"snapshot", runEBS(func(v *types.TaskManagedEBSVolumeConfiguration) {
			v.SizeInGiB, v.SnapshotId, v.VolumeInitializationRate = nil, aws.String("snap-1"), aws.Int32(100)
		}), notYet},
		{"no bytes", sized("", 0, 0, 0), of + "has a sizeInGiB that is not between 1 and 16384, as its volume type gp2 demands."},
		{"too large", sized("gp3", 16385, 0, 0), of + "has a sizeInGiB that is not between 1 and 16384, as its volume type gp3 demands."},
		{"too small for io1", sized("io1", 3, 100, 0), of + "has a sizeInGiB that is not between 4 and 16384, as its volume type io1 demands."},
		{"too small for st1", sized("st1", 124, 0, 0), of + "has a sizeInGiB that is not between 125 and 16384, as its volume type st1 demands."},
		{"too large for standard", sized("standard", 1025, 0, 0), of + "has a sizeInGiB that is not between 1 and 1024, as its volume type standard demands."},
		{"volume type", sized("gp9", 1, 0, 0), of + `has an invalid volumeType: "gp9".`},
		{"io1 without IOPS", sized("io1", 4, 0, 0), of + "needs iops for its volume type io1."},
		{"IOPS of sc1", sized("sc1", 125, 100, 0), of + "has iops, which its volume type sc1 does not support."},
		{"few IOPS", sized("gp3", 1, 2999, 0), of + "has iops that are not between 3000 and 16000, as its volume type gp3 demands."},
		{"many IOPS", sized("io2", 4, 256001, 0), of + "has iops that are not between 100 and 256000, as its volume type io2 demands."},
		{"throughput of gp2", sized("", 1, 0, 125), of + "has a throughput, which its volume type gp2 does not support."},
		{"throughput", sized("gp3", 1, 0, 1001), of + "has a throughput that is not between 125 and 1000."},
		{"NTFS", runEBS(func(v *types.TaskManagedEBSVolumeConfiguration) { v.FilesystemType = "ntfs" }), of + "has the filesystemType ntfs, which Linux tasks cannot use."},
		{"file system", runEBS(func(v *types.TaskManagedEBSVolumeConfiguration) { v.FilesystemType = "zfs" }), of + `has an invalid filesystemType: "zfs".`},
		{"rate without snapshot", runEBS(func(v *types.TaskManagedEBSVolumeConfiguration) { v.VolumeInitializationRate = aws.Int32(100) }),
			of + "has a volumeInitializationRate, which needs a snapshotId."},
		{"rate", runEBS(func(v *types.TaskManagedEBSVolumeConfiguration) {
			v.SnapshotId, v.VolumeInitializationRate = aws.String("snap-1"), aws.Int32(301)
		}), of + "has a volumeInitializationRate that is not between 100 and 300."},
		{"policy of nothing", runEBS(func(v *types.TaskManagedEBSVolumeConfiguration) {
			v.TerminationPolicy = &types.TaskManagedEBSVolumeTerminationPolicy{}
		}), of + "has a terminationPolicy that needs deleteOnTermination."},
		{"tags of what", taggedEBS(types.EBSTagSpecification{ResourceType: "x"}), of + `has tags for an invalid resourceType: "x".`},
		{"tags from where", taggedEBS(types.EBSTagSpecification{ResourceType: "volume", PropagateTags: "x"}), `InvalidParameterException: Invalid propagateTags: "x".`},
		{"tags of a service", taggedEBS(types.EBSTagSpecification{ResourceType: "volume", PropagateTags: "SERVICE"}),
			"InvalidParameterException: propagateTags SERVICE is only for the tasks of services."},
		{"tag", taggedEBS(types.EBSTagSpecification{ResourceType: "volume", Tags: []types.Tag{{Key: aws.String("aws:x")}}}),
			"InvalidParameterException: Tag keys starting with 'aws:' are reserved for AWS use."},
		{"reserved tag", taggedEBS(types.EBSTagSpecification{ResourceType: "volume", Tags: []types.Tag{{Key: aws.String("AmazonECSManaged"), Value: aws.String("true")}}}),
			"InvalidParameterException: The tag key AmazonECSManaged is reserved."},

		{"magnetic on Fargate", onFargate(func(in *sdk.RunTaskInput) {
			magnetic := *someEBS
			magnetic.VolumeType = aws.String("standard")
			in.TaskDefinition, in.VolumeConfigurations = aws.String("fargate-ebs"), []types.TaskVolumeConfiguration{{Name: aws.String("data"), ManagedEBSVolume: &magnetic}}
		}), "InvalidParameterException: The volume type standard is not supported with the FARGATE launch type."},

		{"service", serviceEBS(right, nil), notYet},
		{"service without role", serviceEBS(types.ServiceManagedEBSVolumeConfiguration{SizeInGiB: aws.Int32(1)}, nil), of + "needs a roleArn."},
		{"service without volume", serviceEBS(right, func(in *sdk.CreateServiceInput) { in.VolumeConfigurations = nil }),
			"InvalidParameterException: The volume 'data' is configured at launch and has no volume configuration."},
		{"service of no such volume", serviceEBS(right, func(in *sdk.CreateServiceInput) { in.TaskDefinition = aws.String("sleep") }),
			"InvalidParameterException: The volume 'data' is not a volume in the TaskDefinition."},
		{"external service", serviceEBS(right, func(in *sdk.CreateServiceInput) { in.TaskDefinition, in.DeploymentController = nil, external }),
			"InvalidParameterException: A volume configuration cannot be specified on services with an EXTERNAL deployment controller."},
		{"update", updateEBS("web", serviceVolume(right)), "InvalidParameterException: The volume 'data' is not a volume in the TaskDefinition."},
		{"bad update", updateEBS("web", serviceVolume(types.ServiceManagedEBSVolumeConfiguration{RoleArn: someEBS.RoleArn})), of + "needs a sizeInGiB or a snapshotId."},
		{"update to the definition", func(f *fixture) error {
			return only(f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: aws.String("web"), TaskDefinition: aws.String("ebs"), VolumeConfigurations: serviceVolume(right)}))
		}, notYet},
		{"update of task sets", updateEBS("sets", serviceVolume(right)),
			"InvalidParameterException: Unable to update volume configurations on services with an EXTERNAL deployment controller."},
	})
	// None is what the service has: no new deployment.
	must(f.UpdateService(f.ctx, &sdk.UpdateServiceInput{Service: aws.String("web"), VolumeConfigurations: []types.ServiceVolumeConfiguration{}}))
	if s := must(f.DescribeServices(f.ctx, &sdk.DescribeServicesInput{Services: []string{"web"}})).Services[0]; len(s.Deployments) != 1 {
		t.Errorf("%d deployments", len(s.Deployments))
	}
}
