package ecsapi

import (
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/fault"
)

// volumeMagnetic is the volume type that Fargate does not have.
const volumeMagnetic = "standard"

// Limits of EBS volumes in MiB/s.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVolume.html
const (
	minThroughput = 125
	maxThroughput = 1000
	minInitRate   = 100
	maxInitRate   = 300
)

// span is a range of values, both ends within; the zero value has none.
type span struct{ from, to int32 }

func (s span) has(n int32) bool { return s.from <= n && n <= s.to }

// volumeType is what a type of EBS volumes lets be chosen.
type volumeType struct {
	// sizes are in GiB.
	sizes span
	// iops is zero where none can be given.
	iops span
	// needsIOPS and hasThroughput say that iops must and that a throughput can be given.
	needsIOPS, hasThroughput bool
}

// volumeTypes have the limits that the ECS API states. It states none of gp2, whose volumes have 16,000 IOPS at most.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskManagedEBSVolumeConfiguration.html
var volumeTypes = map[string]volumeType{
	"gp2":          {sizes: span{1, 16384}, iops: span{1, 16000}},
	"gp3":          {sizes: span{1, 16384}, iops: span{3000, 16000}, hasThroughput: true},
	"io1":          {sizes: span{4, 16384}, iops: span{100, 64000}, needsIOPS: true},
	"io2":          {sizes: span{4, 16384}, iops: span{100, 256000}, needsIOPS: true},
	"st1":          {sizes: span{125, 16384}},
	"sc1":          {sizes: span{125, 16384}},
	volumeMagnetic: {sizes: span{1, 1024}},
}

// defaultVolumeType is EC2's.
const defaultVolumeType = "gp2"

// checkEBSVolume checks an EBS volume by itself. name is its configuration's.
func checkEBSVolume(name string, v *types.TaskManagedEBSVolumeConfiguration) error {
	refused := func(why string, args ...any) error {
		return fault.New(fault.InvalidParameter, "The volume configuration '%s' "+why, append([]any{name}, args...)...)
	}
	snapshot := str(v.SnapshotId) != ""
	switch {
	case str(v.RoleArn) == "":
		return refused("needs a roleArn.")
	case v.SizeInGiB == nil && !snapshot:
		return refused("needs a sizeInGiB or a snapshotId.")
	case v.FilesystemType == types.TaskFilesystemTypeNtfs:
		return refused("has the filesystemType ntfs, which Linux tasks cannot use.")
	case v.FilesystemType != "" && !known(v.FilesystemType):
		return refused("has an invalid filesystemType: %q.", string(v.FilesystemType))
	case v.TerminationPolicy != nil && v.TerminationPolicy.DeleteOnTermination == nil:
		return refused("has a terminationPolicy that needs deleteOnTermination.")
	case v.VolumeInitializationRate != nil && !snapshot:
		return refused("has a volumeInitializationRate, which needs a snapshotId.")
	case v.VolumeInitializationRate != nil && !(span{minInitRate, maxInitRate}).has(*v.VolumeInitializationRate):
		return refused("has a volumeInitializationRate that is not between %d and %d.", minInitRate, maxInitRate)
	}
	return checkVolumeType(refused, v)
}

// checkVolumeType holds the numbers that were given against the volume's type.
func checkVolumeType(refused func(why string, args ...any) error, v *types.TaskManagedEBSVolumeConfiguration) error {
	kind := str(v.VolumeType)
	if kind == "" {
		kind = defaultVolumeType
	}
	t, ok := volumeTypes[kind]
	switch {
	case !ok:
		return refused("has an invalid volumeType: %q.", kind)
	case v.SizeInGiB != nil && !t.sizes.has(*v.SizeInGiB):
		return refused("has a sizeInGiB that is not between %d and %d, as its volume type %s demands.", t.sizes.from, t.sizes.to, kind)
	case v.Iops == nil && t.needsIOPS:
		return refused("needs iops for its volume type %s.", kind)
	case v.Iops != nil && t.iops == span{}:
		return refused("has iops, which its volume type %s does not support.", kind)
	case v.Iops != nil && !t.iops.has(*v.Iops):
		return refused("has iops that are not between %d and %d, as its volume type %s demands.", t.iops.from, t.iops.to, kind)
	case v.Throughput != nil && !t.hasThroughput:
		return refused("has a throughput, which its volume type %s does not support.", kind)
	case v.Throughput != nil && !(span{minThroughput, maxThroughput}).has(*v.Throughput):
		return refused("has a throughput that is not between %d and %d.", minThroughput, maxThroughput)
	}
	return nil
}

// checkVolumeTags checks what a volume is to be tagged with.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EBSTagSpecification.html
func (r *taskRequest) checkVolumeTags(name string, specs []types.EBSTagSpecification) error {
	for i := range specs {
		s := &specs[i]
		switch {
		case s.ResourceType != types.EBSResourceTypeVolume:
			return fault.New(fault.InvalidParameter, "The volume configuration '%s' has tags for an invalid resourceType: %q.", name, string(s.ResourceType))
		case s.PropagateTags != "" && !known(s.PropagateTags):
			return fault.New(fault.InvalidParameter, "Invalid propagateTags: %q.", string(s.PropagateTags))
		case s.PropagateTags == types.PropagateTagsService && !r.service:
			return fault.New(fault.InvalidParameter, "propagateTags SERVICE is only for the tasks of services.")
		}
		if _, err := tags(s.Tags); err != nil {
			return err
		}
		for _, t := range s.Tags {
			if key := str(t.Key); key == "AmazonECSCreated" || key == "AmazonECSManaged" {
				return fault.New(fault.InvalidParameter, "The tag key %s is reserved.", key)
			}
		}
	}
	return nil
}
