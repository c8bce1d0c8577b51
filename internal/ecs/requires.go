package ecs

import (
	"slices"
	"strings"
)

// Features of a definition for which ECS has no attribute: its own agents have all of them. Roadstead's agent, which says of itself
// what it can do, advertises each that it has under these names, so that placement refuses the others with ATTRIBUTE. They
// are never shown among a definition's requiresAttributes: a client would find something that it did not register.
const (
	FeatureAccelerators    = "roadstead.capability.accelerators"
	FeatureDevices         = "roadstead.capability.devices"
	FeatureLinks           = "roadstead.capability.links"
	FeatureSecurityOptions = "roadstead.capability.docker-security-options"
	FeatureSharedMemory    = "roadstead.capability.shared-memory-size"
	FeatureSwap            = "roadstead.capability.swap"
	FeatureTmpfs           = "roadstead.capability.tmpfs"
	FeatureVolumesFrom     = "roadstead.capability.volumes-from"
)

// nativeFeatures tells which containers use each feature.
var nativeFeatures = []struct {
	name string
	used func(*ContainerDefinition) bool
}{
	{FeatureAccelerators, func(c *ContainerDefinition) bool { return accelerated(c.ResourceRequirements) }},
	{FeatureDevices, func(c *ContainerDefinition) bool {
		return c.LinuxParameters != nil && len(c.LinuxParameters.Devices) > 0
	}},
	{FeatureLinks, func(c *ContainerDefinition) bool { return len(c.Links) > 0 }},
	{FeatureSecurityOptions, func(c *ContainerDefinition) bool {
		return slices.ContainsFunc(c.DockerSecurityOptions, withoutAttribute)
	}},
	{FeatureSharedMemory, func(c *ContainerDefinition) bool {
		return c.LinuxParameters != nil && c.LinuxParameters.SharedMemorySize != nil
	}},
	{FeatureSwap, func(c *ContainerDefinition) bool {
		return c.LinuxParameters != nil && (c.LinuxParameters.MaxSwap != nil || c.LinuxParameters.Swappiness != nil)
	}},
	{FeatureTmpfs, func(c *ContainerDefinition) bool { return c.LinuxParameters != nil && len(c.LinuxParameters.Tmpfs) > 0 }},
	{FeatureVolumesFrom, func(c *ContainerDefinition) bool { return len(c.VolumesFrom) > 0 }},
}

// withoutAttribute tells the security options apart for which ECS asks for no attribute, such as no-new-privileges.
func withoutAttribute(option string) bool {
	for _, prefix := range []string{"label", "apparmor", "credentialspec"} {
		if strings.HasPrefix(option, prefix) {
			return false
		}
	}
	return true
}

// NativeFeatures are the names of all features that NativeRequirements knows, sorted.
func NativeFeatures() []string {
	out := make([]string, len(nativeFeatures))
	for i := range nativeFeatures {
		out[i] = nativeFeatures[i].name
	}
	slices.Sort(out)
	return out
}

// attributeEnvironmentFiles is ECS's own; a definition without such files does not require it, but overrides may add some.
const attributeEnvironmentFiles = "ecs.capability.env-files.s3"

// accelerated leaves GPUs out: these are counted, and missing ones are RESOURCE:GPU.
func accelerated(requirements []ResourceRequirement) bool {
	return slices.ContainsFunc(requirements, func(r ResourceRequirement) bool { return r.Type != "GPU" })
}

// NativeRequirements are the attributes that an instance with Roadstead's own agent (Instance.Native) must have to run a task of
// the definition with the overrides, which may be nil, beside RequiresAttributes. Each is named once.
func (d *TaskDefinition) NativeRequirements(o *TaskOverride) []string {
	var out []string
	for i := range nativeFeatures {
		for j := range d.ContainerDefinitions {
			if nativeFeatures[i].used(&d.ContainerDefinitions[j]) {
				out = append(out, nativeFeatures[i].name)
				break
			}
		}
	}
	if o == nil {
		return out
	}
	for i := range o.ContainerOverrides {
		c := &o.ContainerOverrides[i]
		if len(c.EnvironmentFiles) > 0 && !slices.Contains(out, attributeEnvironmentFiles) {
			out = append(out, attributeEnvironmentFiles)
		}
		if accelerated(c.ResourceRequirements) && !slices.Contains(out, FeatureAccelerators) {
			out = append(out, FeatureAccelerators)
		}
	}
	return out
}
