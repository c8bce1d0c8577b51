package taskdef

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// The two families of attribute names that agents advertise.
const (
	docker     = "com.amazonaws.ecs.capability."
	capability = "ecs.capability."
)

// maxPlainCPU is the largest task cpu, in units, that every agent takes: 10 vCPU.
const maxPlainCPU = 10 * 1024

var ecrImage = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr[a-z-]*\.[a-z0-9-]+\.`)

// attributes collects names, each once, with their values.
type attributes map[string]string

func (a attributes) add(names ...string) {
	for _, n := range names {
		a[n] = ""
	}
}

// api asks for an agent whose Docker API is at least of this version; agents advertise each that they have.
func (a attributes) api(version string) { a.add(docker + "docker-remote-api." + version) }

// RequiresAttributes are what an instance must have to run the definition, sorted by name.
func RequiresAttributes(d *ecs.TaskDefinition) []ecs.Attribute {
	a := attributes{}
	taskAttributes(d, a)
	for i := range d.Volumes {
		volumeAttributes(&d.Volumes[i], a)
	}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		imageAttributes(d, c, a)
		containerAttributes(c, a)
		linuxAttributes(c, a)
		logAttributes(d, c, a)
		for _, s := range c.Secrets {
			a.add(fmt.Sprintf("%ssecrets.%s.environment-variables", capability, secretStore(s)))
		}
	}
	var out []ecs.Attribute
	for _, name := range slices.Sorted(maps.Keys(a)) {
		out = append(out, ecs.Attribute{Name: name, Value: a[name]})
	}
	return out
}

// unlisted are required, and not among what ECS describes.
var unlisted = []string{"ecs.cpu-architecture", "ecs.os-family", capability + "increased-task-cpu-limit", capability + "task-cpu-mem-limit"}

// Listed are those of a definition's required attributes that ECS describes: the size of a task and its platform are for
// placement alone. The list is a new one.
func Listed(required []ecs.Attribute) []ecs.Attribute {
	return slices.DeleteFunc(slices.Clone(required), func(a ecs.Attribute) bool { return slices.Contains(unlisted, a.Name) })
}

func taskAttributes(d *ecs.TaskDefinition, a attributes) {
	if d.TaskRoleArn != "" {
		a.add(docker + "task-iam-role")
		if d.NetworkMode != ecs.NetworkAwsvpc {
			a.api("1.17")
		}
		if d.NetworkMode == ecs.NetworkHost {
			a.add(docker + "task-iam-role-network-host")
		}
	}
	if d.Cpu != "" || d.Memory != "" {
		a.add(capability + "task-cpu-mem-limit")
	}
	if n, ok := ecs.CPUUnits(d.Cpu); ok && n > maxPlainCPU {
		a.add(capability + "increased-task-cpu-limit")
	}
	if d.NetworkMode == ecs.NetworkAwsvpc {
		a.add(capability + "task-eni")
		a.api("1.18")
	}
	if d.PidMode != "" || d.IpcMode != "" {
		a.add(capability + "pid-ipc-namespace-sharing")
	}
	if d.ProxyConfiguration != nil {
		a.add(capability + "aws-appmesh")
	}
	if len(d.InferenceAccelerators) > 0 {
		a.add(capability + "task-eia")
	}
	if d.EnableFaultInjection != nil && *d.EnableFaultInjection {
		a.add(capability + "fault-injection")
	}
	if p := d.RuntimePlatform; p != nil {
		if p.CpuArchitecture != "" {
			a["ecs.cpu-architecture"] = strings.ToLower(p.CpuArchitecture)
		}
		if p.OperatingSystemFamily != "" {
			a["ecs.os-family"] = p.OperatingSystemFamily
		}
	}
}

func volumeAttributes(v *ecs.Volume, a attributes) {
	if c := v.DockerVolumeConfiguration; c != nil {
		driver := c.Driver
		if driver == "" {
			driver = "local"
		}
		a.add(capability + "docker-plugin." + strings.ReplaceAll(driver, ":", "."))
	}
	if c := v.EfsVolumeConfiguration; c != nil {
		a.add(capability + "efs")
		if c.AuthorizationConfig != nil || c.TransitEncryption == "ENABLED" {
			a.add(capability + "efsAuth")
		}
	}
	if v.FsxWindowsFileServerVolumeConfiguration != nil {
		a.add(capability + "fsxWindowsFileServer")
	}
	if v.S3filesVolumeConfiguration != nil {
		a.add(capability + "storage.s3-files")
	}
	if v.ConfiguredAtLaunch != nil && *v.ConfiguredAtLaunch {
		a.add(capability + "storage.ebs-task-volume-attach")
	}
}

func imageAttributes(d *ecs.TaskDefinition, c *ecs.ContainerDefinition, a attributes) {
	if ecrImage.MatchString(c.Image) {
		a.add(docker + "ecr-auth")
		if d.ExecutionRoleArn != "" {
			a.add(capability + "execution-role-ecr-pull")
		}
	}
	if c.RepositoryCredentials != nil {
		a.add(capability + "private-registry-authentication.secretsmanager")
	}
	if len(c.EnvironmentFiles) > 0 {
		a.add(capability + "env-files.s3")
	}
}

func containerAttributes(c *ecs.ContainerDefinition, a attributes) {
	if c.Privileged != nil && *c.Privileged {
		a.add(docker + "privileged-container")
	}
	if c.MemoryReservation != nil {
		a.api("1.21")
	}
	if c.HealthCheck != nil && !slices.Equal(c.HealthCheck.Command, []string{"NONE"}) {
		a.add(capability + "container-health-check")
		a.api("1.24")
	}
	if len(c.DependsOn) > 0 {
		a.add(capability + "container-ordering")
	}
	if c.RestartPolicy != nil && c.RestartPolicy.Enabled != nil && *c.RestartPolicy.Enabled {
		a.add(capability + "container-restart-policy")
	}
	if len(c.CredentialSpecs) > 0 {
		a.add(capability + "gmsa")
	}
	for _, p := range c.PortMappings {
		if p.ContainerPortRange != "" {
			a.add(capability + "network.container-port-range")
		}
	}
	for _, o := range c.DockerSecurityOptions {
		switch {
		case strings.HasPrefix(o, "label"):
			a.add(docker + "selinux")
		case strings.HasPrefix(o, "apparmor"):
			a.add(docker + "apparmor")
		case strings.HasPrefix(o, "credentialspec"):
			a.add(capability + "gmsa")
		}
	}
	if f := c.FirelensConfiguration; f != nil {
		a.add(capability + "firelens." + f.Type)
		if kind := f.Options["config-file-type"]; kind != "" {
			a.add(capability + "firelens.options.config." + kind)
		}
	}
}

// linuxAttributes asks for the version of Docker's API that brought each parameter.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LinuxParameters.html
func linuxAttributes(c *ecs.ContainerDefinition, a attributes) {
	l := c.LinuxParameters
	if l == nil {
		return
	}
	if l.SharedMemorySize != nil || len(l.Tmpfs) > 0 {
		a.api("1.22")
	}
	if l.MaxSwap != nil || l.Swappiness != nil {
		a.api("1.20")
	}
	if l.InitProcessEnabled != nil && *l.InitProcessEnabled {
		a.api("1.25")
	}
}

func logAttributes(d *ecs.TaskDefinition, c *ecs.ContainerDefinition, a attributes) {
	l := c.LogConfiguration
	if l == nil {
		return
	}
	a.add(docker + "logging-driver." + l.LogDriver)
	a.api("1.18")
	if l.Options["mode"] == "non-blocking" {
		a.api("1.28")
	}
	if l.LogDriver == "awslogs" {
		a.api("1.19")
		if l.Options["awslogs-create-group"] == "true" {
			a.api("1.29")
		}
		if d.ExecutionRoleArn != "" {
			a.add(capability + "execution-role-awslogs")
		}
	}
	if l.LogDriver == "awsfirelens" && l.Options["log-driver-buffer-limit"] != "" {
		a.add(capability + "logging-driver.awsfirelens.log-driver-buffer-limit")
	}
	for _, s := range l.SecretOptions {
		a.add(fmt.Sprintf("%ssecrets.%s.bootstrap.log-driver", capability, secretStore(s)))
	}
}

// secretStore tells where a secret is: Secrets Manager by its ARN, the parameter store else.
func secretStore(s ecs.Secret) string {
	if strings.HasPrefix(s.ValueFrom, "arn:") && strings.Contains(s.ValueFrom, ":secretsmanager:") {
		return "asm"
	}
	return "ssm"
}
