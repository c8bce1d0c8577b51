package taskdef

import (
	"slices"

	"roadstead.dev/roadstead/internal/ecs"
)

func validateVolumes(d *ecs.TaskDefinition) error {
	names := map[string]bool{}
	for i := range d.Volumes {
		v := &d.Volumes[i]
		switch {
		case v.Name == "":
			return refuse("Volume.name should not be null or empty.")
		case len(v.Name) > maxFamily || !namePattern.MatchString(v.Name):
			return refuse("Volume.name contains invalid characters.")
		case names[v.Name]:
			return refuse("Volume names must be unique within a Task Definition.")
		case configurations(v) > 1 || configurations(v) > 0 && v.ConfiguredAtLaunch != nil && *v.ConfiguredAtLaunch:
			return refuse("Volume '%s' has more than one configuration.", v.Name)
		}
		names[v.Name] = true
		if err := validateVolumeConfiguration(v); err != nil {
			return err
		}
	}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		for _, m := range c.MountPoints {
			switch {
			case m.SourceVolume == "" || m.ContainerPath == "":
				return refuse("Container '%s' has a mount point without sourceVolume or containerPath.", c.Name)
			case !names[m.SourceVolume]:
				return refuse("Unknown volume '%s'.", m.SourceVolume)
			}
		}
		for _, f := range c.VolumesFrom {
			if containerNamed(d, f.SourceContainer) == nil {
				return refuse("Invalid 'volumesFrom' setting. Unknown container: '%s'", f.SourceContainer)
			}
			if f.SourceContainer == c.Name {
				return refuse("Invalid 'volumesFrom' setting for container '%s'.", c.Name)
			}
		}
	}
	return validateLaunchVolumes(d)
}

func configurations(v *ecs.Volume) int {
	n := 0
	for _, set := range []bool{v.Host != nil, v.DockerVolumeConfiguration != nil, v.EfsVolumeConfiguration != nil,
		v.FsxWindowsFileServerVolumeConfiguration != nil, v.S3filesVolumeConfiguration != nil} {
		if set {
			n++
		}
	}
	return n
}

func validateVolumeConfiguration(v *ecs.Volume) error {
	if c := v.DockerVolumeConfiguration; c != nil {
		if c.Scope != "" && c.Scope != "task" && c.Scope != "shared" {
			return refuse("Invalid 'scope' setting for volume '%s'.", v.Name)
		}
		if c.Autoprovision != nil && *c.Autoprovision && c.Scope != "shared" {
			return refuse("Invalid 'autoprovision' setting for volume '%s'. It is only supported when scope=shared.", v.Name)
		}
	}
	if c := v.EfsVolumeConfiguration; c != nil {
		if err := validateEFS(c); err != nil {
			return err
		}
	}
	if c := v.FsxWindowsFileServerVolumeConfiguration; c != nil && (c.FileSystemId == "" || c.RootDirectory == "" || c.AuthorizationConfig == nil) {
		return refuse("FSxWindowsFileServerVolumeConfiguration of volume '%s' is not complete.", v.Name)
	}
	if c := v.S3filesVolumeConfiguration; c != nil && c.FileSystemArn == "" {
		return refuse("S3FilesVolumeConfiguration.fileSystemArn should not be null or empty.")
	}
	return nil
}

// validateEFS holds what goes together.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSVolumeConfiguration.html
func validateEFS(c *ecs.EFSVolumeConfiguration) error {
	encrypted, a := c.TransitEncryption == "ENABLED", c.AuthorizationConfig
	switch {
	case c.FileSystemId == "":
		return refuse("EFSVolumeConfiguration.fileSystemId should not be null or empty.")
	case c.TransitEncryption != "" && c.TransitEncryption != "ENABLED" && c.TransitEncryption != "DISABLED":
		return refuse("Invalid 'transitEncryption' setting for EFSVolumeConfiguration: %s.", c.TransitEncryption)
	case c.TransitEncryptionPort != nil && (*c.TransitEncryptionPort < 0 || *c.TransitEncryptionPort > 65535):
		return refuse("Invalid 'transitEncryptionPort' setting for EFSVolumeConfiguration.")
	case c.TransitEncryptionPort != nil && !encrypted:
		return refuse("TransitEncryptionPort requires that TransitEncryption is enabled.")
	case a == nil:
		return nil
	case a.Iam != "" && a.Iam != "ENABLED" && a.Iam != "DISABLED":
		return refuse("Invalid 'iam' setting for EFSAuthorizationConfig: %s.", a.Iam)
	case a.Iam == "ENABLED" && !encrypted:
		return refuse("EFS IAM authorization requires TransitEncryption to be enabled.")
	case a.AccessPointId != "" && !encrypted:
		return refuse("EFS access points require TransitEncryption to be enabled.")
	case a.AccessPointId != "" && c.RootDirectory != "" && c.RootDirectory != "/":
		return refuse(`When using an EFS access point, the root directory must either be set to "/" or be omitted.`)
	}
	return nil
}

// validateLaunchVolumes wants volumes that are configured at launch to be mounted.
func validateLaunchVolumes(d *ecs.TaskDefinition) error {
	for i := range d.Volumes {
		v := &d.Volumes[i]
		if v.ConfiguredAtLaunch == nil || !*v.ConfiguredAtLaunch {
			continue
		}
		if !slices.ContainsFunc(d.ContainerDefinitions, func(c ecs.ContainerDefinition) bool {
			return slices.ContainsFunc(c.MountPoints, func(m ecs.MountPoint) bool { return m.SourceVolume == v.Name })
		}) {
			return refuse("Volumes [%s] are not referenced by any of the containers", v.Name)
		}
	}
	return nil
}
