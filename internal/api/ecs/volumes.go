package ecsapi

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// serviceVolumes reads a service's volumes as a task's. They have no termination policy: a service's volumes always go with their tasks.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceManagedEBSVolumeConfiguration.html
func serviceVolumes(in []types.ServiceVolumeConfiguration) []types.TaskVolumeConfiguration {
	return mirror.Slice[types.TaskVolumeConfiguration](in)
}

// checkVolumes checks what a request says of volumes that are configured at launch: one, an EBS volume.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskVolumeConfiguration.html
func (r *taskRequest) checkVolumes() error {
	if len(r.volumes) > 1 {
		return fault.New(fault.InvalidParameter, "volumeConfigurations can have at most 1 item.")
	}
	for i := range r.volumes {
		v := &r.volumes[i]
		switch {
		case str(v.Name) == "":
			return fault.New(fault.InvalidParameter, "The name of a volume configuration cannot be null or empty.")
		case v.ManagedEBSVolume == nil:
			return fault.New(fault.InvalidParameter, "The volume configuration '%s' needs a managedEBSVolume.", *v.Name)
		}
		if err := checkEBSVolume(*v.Name, v.ManagedEBSVolume); err != nil {
			return err
		}
		if err := r.checkVolumeTags(*v.Name, v.ManagedEBSVolume.TagSpecifications); err != nil {
			return err
		}
	}
	return nil
}

// checkVolumesOf holds volume configurations against the definition, and refuses them where they would be right: there is
// nothing yet that makes such a volume.
func checkVolumesOf(d *ecs.TaskDefinition, launchType string, in []types.TaskVolumeConfiguration) error {
	for _, v := range d.Volumes {
		at := slices.IndexFunc(in, func(c types.TaskVolumeConfiguration) bool { return str(c.Name) == v.Name })
		atLaunch := v.ConfiguredAtLaunch != nil && *v.ConfiguredAtLaunch
		switch {
		case atLaunch && at < 0:
			return fault.New(fault.InvalidParameter, "The volume '%s' is configured at launch and has no volume configuration.", v.Name)
		case at >= 0 && !atLaunch:
			return fault.New(fault.InvalidParameter, "The volume '%s' is not configured at launch.", v.Name)
		case at >= 0 && launchType == ecs.LaunchFargate && str(in[at].ManagedEBSVolume.VolumeType) == volumeMagnetic:
			return fault.New(fault.InvalidParameter, "The volume type %s is not supported with the FARGATE launch type.", volumeMagnetic)
		case at >= 0:
			return fault.New(fault.Unsupported, notYet, "volumeConfigurations.managedEBSVolume")
		}
	}
	if len(in) > 0 {
		return fault.New(fault.InvalidParameter, "The volume '%s' is not a volume in the TaskDefinition.", str(in[0].Name))
	}
	return nil
}
