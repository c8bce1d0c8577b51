package ecsapi

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// checkVolumes checks what a request says of volumes that are configured at launch: one, an EBS volume with a role.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskVolumeConfiguration.html
func checkVolumes(in []types.TaskVolumeConfiguration) error {
	if len(in) > 1 {
		return fault.New(fault.InvalidParameter, "volumeConfigurations can have at most 1 item.")
	}
	for _, v := range in {
		switch {
		case str(v.Name) == "":
			return fault.New(fault.InvalidParameter, "The name of a volume configuration cannot be null or empty.")
		case v.ManagedEBSVolume == nil:
			return fault.New(fault.InvalidParameter, "The volume configuration '%s' needs a managedEBSVolume.", *v.Name)
		case str(v.ManagedEBSVolume.RoleArn) == "":
			return fault.New(fault.InvalidParameter, "The volume configuration '%s' needs a roleArn.", *v.Name)
		case v.ManagedEBSVolume.SizeInGiB == nil && str(v.ManagedEBSVolume.SnapshotId) == "":
			return fault.New(fault.InvalidParameter, "The volume configuration '%s' needs a sizeInGiB or a snapshotId.", *v.Name)
		}
	}
	return nil
}

// checkVolumesOf holds volume configurations against the definition, and refuses them where they would be right: there is
// nothing yet that makes such a volume.
func checkVolumesOf(d *ecs.TaskDefinition, in []types.TaskVolumeConfiguration) error {
	for _, v := range d.Volumes {
		configured := slices.ContainsFunc(in, func(c types.TaskVolumeConfiguration) bool { return str(c.Name) == v.Name })
		atLaunch := v.ConfiguredAtLaunch != nil && *v.ConfiguredAtLaunch
		switch {
		case atLaunch && !configured:
			return fault.New(fault.InvalidParameter, "The volume '%s' is configured at launch and has no volume configuration.", v.Name)
		case configured && !atLaunch:
			return fault.New(fault.InvalidParameter, "The volume '%s' is not configured at launch.", v.Name)
		case configured:
			return fault.New(fault.Unsupported, notYet, "volumeConfigurations.managedEBSVolume")
		}
	}
	if len(in) > 0 {
		return fault.New(fault.InvalidParameter, "The volume '%s' is not a volume in the TaskDefinition.", str(in[0].Name))
	}
	return nil
}
