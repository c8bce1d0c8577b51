package engine

import (
	"fmt"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/agent/firelens"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// refusal is a feature of a task definition that this agent does not have. Placement refuses most of them first, by the
// attribute that the agent does not advertise; those for which ECS has no attribute are refused here. None is ignored.
type refusal struct {
	feature string
	used    func(d *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool
}

func hasPrefix(options []string, prefix string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, prefix) })
}

func set(b *bool) bool { return b != nil && *b }

// logDrivers are the log drivers that the engine has, all but json-file and none only where Config.Logs is set.
var logDrivers = append([]string{"json-file", "awslogs", "none", "journald", firelens.Driver}, logs.Drivers...)

var refusals = []refusal{
	{"proxyConfiguration", func(d *ecs.TaskDefinition, _ *ecs.ContainerDefinition) bool { return d.ProxyConfiguration != nil }},
	{"inferenceAccelerators", func(d *ecs.TaskDefinition, _ *ecs.ContainerDefinition) bool { return len(d.InferenceAccelerators) > 0 }},
	{"enableFaultInjection", func(d *ecs.TaskDefinition, _ *ecs.ContainerDefinition) bool { return set(d.EnableFaultInjection) }},
	{"volumes of EFS, FSx and S3, nor volumes configured at launch", func(d *ecs.TaskDefinition, _ *ecs.ContainerDefinition) bool {
		return slices.ContainsFunc(d.Volumes, func(v ecs.Volume) bool {
			return v.EfsVolumeConfiguration != nil || v.FsxWindowsFileServerVolumeConfiguration != nil ||
				v.S3filesVolumeConfiguration != nil || set(v.ConfiguredAtLaunch)
		})
	}},
	{"volume drivers other than local", func(d *ecs.TaskDefinition, _ *ecs.ContainerDefinition) bool {
		return slices.ContainsFunc(d.Volumes, func(v ecs.Volume) bool {
			return v.DockerVolumeConfiguration != nil && v.DockerVolumeConfiguration.Driver != "" && v.DockerVolumeConfiguration.Driver != "local"
		})
	}},
	{"credentialSpecs", func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool { return len(c.CredentialSpecs) > 0 }},
	{"dockerSecurityOptions apparmor, for want of AppArmor on the machine", func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool {
		return hasPrefix(c.DockerSecurityOptions, "apparmor") && !runtime.HasAppArmor()
	}},
	{"dockerSecurityOptions label, for want of SELinux on the machine", func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool {
		return hasPrefix(c.DockerSecurityOptions, "label") && !runtime.HasSELinux()
	}},
	{"credential specs", func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool {
		return hasPrefix(c.DockerSecurityOptions, "credentialspec")
	}},
	{"environmentFiles", func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool { return len(c.EnvironmentFiles) > 0 }},
	{"firelensConfiguration's config-file-type s3", func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool {
		return c.FirelensConfiguration != nil && c.FirelensConfiguration.Options["config-file-type"] == "s3"
	}},
	{"resourceRequirements", func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool { return len(c.ResourceRequirements) > 0 }},
	{"logConfiguration's driver", func(_ *ecs.TaskDefinition, c *ecs.ContainerDefinition) bool {
		l := c.LogConfiguration
		return l != nil && (!slices.Contains(logDrivers, l.LogDriver) || l.LogDriver == "journald" && !logs.HasJournal())
	}},
}

// unsupported names what the container asks for and this agent cannot give it as it is configured.
func (e *Engine) unsupported(t *task, i int) error {
	if e.cfg.Simulated {
		return nil
	}
	if t.role() != "" && e.cfg.Endpoint == nil {
		return fmt.Errorf("this agent does not support taskRoleArn")
	}
	if e.cfg.Secrets == nil && len(t.definition.SecretReferences()) > 0 {
		return fmt.Errorf("this agent does not support secrets")
	}
	def := &t.definition.ContainerDefinitions[i]
	return unsupported(t.definition, def, t.run.Overrides.Container(def.Name))
}

// unsupported names what the container asks for and this agent cannot give it.
func unsupported(d *ecs.TaskDefinition, c *ecs.ContainerDefinition, o *ecs.ContainerOverride) error {
	for _, r := range refusals {
		if r.used(d, c) {
			return fmt.Errorf("this agent does not support %s", r.feature)
		}
	}
	if o != nil && (len(o.EnvironmentFiles) > 0 || len(o.ResourceRequirements) > 0) {
		return fmt.Errorf("this agent does not support environmentFiles and resourceRequirements in overrides")
	}
	return nil
}

// Supports says, by an error that names it, which feature of a definition or its overrides no agent has. What an agent lacks
// as it is configured is told by its attributes.
func Supports(d *ecs.TaskDefinition, o *ecs.TaskOverride) error {
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if err := unsupported(d, c, o.Container(c.Name)); err != nil {
			return err
		}
	}
	return nil
}
