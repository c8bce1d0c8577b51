package payload

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// Terms is what a translation needs to know beside the task.
type Terms struct {
	Place ecs.Place
	// Endpoint is this server's address as the agent has it, for the log drivers of its machine; empty leaves AWS's.
	Endpoint string
	// Role and Execution are the credentials of the task's roles; nil for a task without them.
	Role, Execution *Credentials
	// Interface is the task's own in the network mode awsvpc.
	Interface *Interface
}

type translation struct {
	Terms
	task *ecs.Task
	def  *ecs.TaskDefinition
}

// Start says a task that is to run. The error says, for the task's reason, what Amazon's agent cannot be given.
func Start(terms Terms, task *ecs.Task, def *ecs.TaskDefinition) (Task, error) {
	t := &translation{Terms: terms, task: task, def: def}
	if err := t.check(); err != nil {
		return Task{}, err
	}
	out := Task{
		ARN: t.Place.TaskARN(task.Cluster, task.ID), ClusterARN: t.Place.ClusterARN(task.Cluster), DesiredStatus: DesiredRunning,
		Family: def.Family, Version: strconv.Itoa(int(def.Revision)), Group: task.Group, LaunchType: task.LaunchType,
		NetworkMode: t.networkMode(), PidMode: def.PidMode, IpcMode: def.IpcMode, RoleCredentials: t.Role, ExecutionCredentials: t.Execution,
		Associations: t.associations(),
	}
	if t.Interface != nil {
		out.Interfaces = []Interface{*t.Interface}
	}
	out.ServiceName, _ = ecs.ServiceOfGroup(task.Group)
	if units, ok := ecs.CPUUnits(first(override(task).Cpu, def.Cpu)); ok {
		out.CPU = float64(units) / 1024
	}
	if mib, ok := ecs.MemoryMiB(first(override(task).Memory, def.Memory)); ok {
		out.Memory = int64(mib)
	}
	if p := def.ProxyConfiguration; p != nil {
		out.Proxy = &Proxy{Type: first(p.Type, "APPMESH"), ContainerName: p.ContainerName, Properties: map[string]string{}}
		for _, kv := range p.Properties {
			out.Proxy.Properties[kv.Name] = value(kv)
		}
	}
	for i := range def.ContainerDefinitions {
		c, err := t.container(i)
		if err != nil {
			return Task{}, err
		}
		out.Containers = append(out.Containers, c)
	}
	for i := range def.Volumes {
		out.Volumes = append(out.Volumes, t.volume(&def.Volumes[i]))
	}
	return out, nil
}

// Stop says a task that is to end.
func Stop(place ecs.Place, task *ecs.Task) Task {
	return Task{ARN: place.TaskARN(task.Cluster, task.ID), DesiredStatus: DesiredStopped}
}

// serviceConnect is a container's name that the agent takes for its own proxy.
const serviceConnect = "service-connect"

// check refuses what the agent cannot do and does not refuse by an attribute.
func (t *translation) check() error {
	if len(t.def.ContainerDefinitions) == 0 {
		return fmt.Errorf("the task definition has no containers")
	}
	if t.networkMode() == ecs.NetworkAwsvpc && t.Interface == nil {
		return fmt.Errorf("network mode awsvpc needs a network interface of the host's own for the task")
	}
	for i := range t.def.ContainerDefinitions {
		c := &t.def.ContainerDefinitions[i]
		if c.Name == serviceConnect {
			return fmt.Errorf("a container of the name %s is taken for a proxy by Amazon's agent", serviceConnect)
		}
		if c.Image == "" || c.Name == "" {
			return fmt.Errorf("a container has no name or no image")
		}
	}
	for i := range t.def.Volumes {
		if v := &t.def.Volumes[i]; v.FsxWindowsFileServerVolumeConfiguration != nil || v.S3filesVolumeConfiguration != nil || set(v.ConfiguredAtLaunch) {
			return fmt.Errorf("volume %s is of a kind that this server has none of", v.Name)
		}
	}
	return nil
}

func override(t *ecs.Task) *ecs.TaskOverride {
	if t.Overrides == nil {
		return &ecs.TaskOverride{}
	}
	return t.Overrides
}

func (t *translation) networkMode() string { return first(t.def.NetworkMode, ecs.NetworkBridge) }

// container says one with its overrides in it: the agent itself knows only that of the command.
func (t *translation) container(i int) (Container, error) {
	c := t.def.ContainerDefinitions[i].With(t.task.Overrides.Container(t.def.ContainerDefinitions[i].Name))
	out := Container{
		Name: c.Name, Image: c.Image, CPU: c.Cpu, Memory: number(c.Memory, 0), Essential: c.Essential == nil || *c.Essential,
		Command: c.Command, EntryPoint: c.EntryPoint, Environment: map[string]string{"AWS_EXECUTION_ENV": "AWS_ECS_EC2"}, Links: c.Links,
		StartTimeout: c.StartTimeout, StopTimeout: c.StopTimeout, Registry: t.registry(c),
	}
	if i < len(t.task.Containers) {
		out.ARN = t.Place.ContainerARN(t.task.Cluster, t.task.ID, t.task.Containers[i].ID)
	}
	for _, kv := range c.Environment {
		out.Environment[kv.Name] = value(kv)
	}
	for _, f := range c.EnvironmentFiles {
		out.EnvironmentFiles = append(out.EnvironmentFiles, EnvironmentFile(f))
	}
	for _, m := range c.MountPoints {
		out.MountPoints = append(out.MountPoints, MountPoint{m.SourceVolume, m.ContainerPath, set(m.ReadOnly)})
	}
	for _, v := range c.VolumesFrom {
		out.VolumesFrom = append(out.VolumesFrom, VolumeFrom{v.SourceContainer, set(v.ReadOnly)})
	}
	for _, d := range c.DependsOn {
		out.DependsOn = append(out.DependsOn, Dependency{d.ContainerName, d.Condition})
	}
	t.ports(&out, c)
	t.secrets(&out, c)
	t.habits(&out, c)
	var err error
	out.Docker, err = t.docker(c)
	return out, err
}

// habits are what the agent does with a container beside running it.
func (t *translation) habits(out *Container, c *ecs.ContainerDefinition) {
	if h := c.HealthCheck; h != nil && len(h.Command) > 0 && h.Command[0] != "NONE" {
		out.HealthCheckType = healthCheckDocker
	}
	if p := c.RestartPolicy; p != nil {
		out.RestartPolicy = &RestartPolicy{set(p.Enabled), p.IgnoredExitCodes, p.RestartAttemptPeriod}
	}
	if f := c.FirelensConfiguration; f != nil {
		out.FireLens = &FireLens{f.Type, maps.Clone(f.Options)}
	}
	if t.Execution != nil && c.LogConfiguration != nil && c.LogConfiguration.LogDriver == "awslogs" {
		out.LogsAuthStrategy = "ExecutionRole"
	}
}

// ports maps them; where the host's network is the container's, the ports are too.
func (t *translation) ports(out *Container, c *ecs.ContainerDefinition) {
	for _, p := range c.PortMappings {
		m := PortMapping{ContainerPort: p.ContainerPort, ContainerPortRange: p.ContainerPortRange, HostPort: p.HostPort, Protocol: strings.ToLower(first(p.Protocol, "tcp"))}
		if t.networkMode() == ecs.NetworkHost && p.ContainerPortRange == "" {
			m.HostPort = p.ContainerPort
		}
		out.PortMappings = append(out.PortMappings, m)
	}
}

func (t *translation) secrets(out *Container, c *ecs.ContainerDefinition) {
	add := func(list []ecs.Secret, target string) {
		for _, s := range list {
			provider, region := providerSSM, t.Place.Region
			if parts := strings.SplitN(s.ValueFrom, ":", 5); len(parts) == 5 && parts[0] == "arn" {
				region = parts[3]
				if parts[2] == "secretsmanager" {
					provider = providerSecretsManager
				}
			}
			out.Secrets = append(out.Secrets, Secret{s.Name, s.ValueFrom, region, provider, "ENVIRONMENT_VARIABLE", target})
		}
	}
	add(c.Secrets, "CONTAINER")
	if c.LogConfiguration != nil {
		add(c.LogConfiguration.SecretOptions, "LOG_DRIVER")
	}
}

// ecrImage is an image of Amazon ECR's: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
var ecrImage = regexp.MustCompile(`^([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)/`)

func (t *translation) registry(c *ecs.ContainerDefinition) *Registry {
	if r := c.RepositoryCredentials; r != nil && r.CredentialsParameter != "" {
		return &Registry{Type: "asm", ASM: &ASM{r.CredentialsParameter, t.Place.Region}}
	}
	if m := ecrImage.FindStringSubmatch(c.Image); m != nil {
		return &Registry{Type: "ecr", ECR: &ECR{RegistryID: m[1], Region: m[2], UseExecutionRole: t.Execution != nil}}
	}
	return nil
}

// associations are the GPUs that the task was placed with, in an order that is always the same.
func (t *translation) associations() []Association {
	var out []Association
	for i := range t.task.Containers {
		for _, id := range t.task.Containers[i].GpuIDs {
			out = append(out, Association{Containers: []string{t.task.Containers[i].Name}, Name: id, Type: "gpu"})
		}
	}
	slices.SortStableFunc(out, func(a, b Association) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (t *translation) volume(v *ecs.Volume) Volume {
	out := Volume{Name: v.Name}
	switch {
	case v.DockerVolumeConfiguration != nil:
		d := v.DockerVolumeConfiguration
		out.Type, out.Docker = "docker", &DockerVolume{
			Scope: first(d.Scope, "task"), Autoprovision: set(d.Autoprovision), Driver: first(d.Driver, "local"), DriverOpts: d.DriverOpts, Labels: d.Labels,
		}
	case v.EfsVolumeConfiguration != nil:
		e := v.EfsVolumeConfiguration
		out.Type, out.EFS = "efs", &EFSVolume{
			FileSystemID: e.FileSystemId, RootDirectory: first(e.RootDirectory, "/"), TransitEncryption: e.TransitEncryption, TransitEncryptionPort: e.TransitEncryptionPort,
		}
		if a := e.AuthorizationConfig; a != nil {
			out.EFS.Authorization = &EFSAuthorization{a.AccessPointId, a.Iam}
		}
	default:
		out.Type, out.Host = "host", &HostVolume{}
		if v.Host != nil {
			out.Host.SourcePath = v.Host.SourcePath
		}
	}
	return out
}

func value(kv ecs.KeyValuePair) string {
	if kv.Value == nil {
		return ""
	}
	return *kv.Value
}
