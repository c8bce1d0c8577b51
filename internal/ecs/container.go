package ecs

// ContainerDefinition describes one container of a task.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
type ContainerDefinition struct {
	Command                []string                `json:"command,omitempty"`
	Cpu                    int32                   `json:"cpu,omitempty"`
	CredentialSpecs        []string                `json:"credentialSpecs,omitempty"`
	DependsOn              []ContainerDependency   `json:"dependsOn,omitempty"`
	DisableNetworking      *bool                   `json:"disableNetworking,omitempty"`
	DnsSearchDomains       []string                `json:"dnsSearchDomains,omitempty"`
	DnsServers             []string                `json:"dnsServers,omitempty"`
	DockerLabels           map[string]string       `json:"dockerLabels,omitempty"`
	DockerSecurityOptions  []string                `json:"dockerSecurityOptions,omitempty"`
	EntryPoint             []string                `json:"entryPoint,omitempty"`
	Environment            []KeyValuePair          `json:"environment,omitempty"`
	EnvironmentFiles       []EnvironmentFile       `json:"environmentFiles,omitempty"`
	Essential              *bool                   `json:"essential,omitempty"`
	ExtraHosts             []HostEntry             `json:"extraHosts,omitempty"`
	FirelensConfiguration  *FirelensConfiguration  `json:"firelensConfiguration,omitempty"`
	HealthCheck            *HealthCheck            `json:"healthCheck,omitempty"`
	Hostname               string                  `json:"hostname,omitempty"`
	Image                  string                  `json:"image,omitempty"`
	Interactive            *bool                   `json:"interactive,omitempty"`
	Links                  []string                `json:"links,omitempty"`
	LinuxParameters        *LinuxParameters        `json:"linuxParameters,omitempty"`
	LogConfiguration       *LogConfiguration       `json:"logConfiguration,omitempty"`
	Memory                 *int32                  `json:"memory,omitempty"`
	MemoryReservation      *int32                  `json:"memoryReservation,omitempty"`
	MountPoints            []MountPoint            `json:"mountPoints,omitempty"`
	Name                   string                  `json:"name,omitempty"`
	PortMappings           []PortMapping           `json:"portMappings,omitempty"`
	Privileged             *bool                   `json:"privileged,omitempty"`
	PseudoTerminal         *bool                   `json:"pseudoTerminal,omitempty"`
	ReadonlyRootFilesystem *bool                   `json:"readonlyRootFilesystem,omitempty"`
	RepositoryCredentials  *RepositoryCredentials  `json:"repositoryCredentials,omitempty"`
	ResourceRequirements   []ResourceRequirement   `json:"resourceRequirements,omitempty"`
	RestartPolicy          *ContainerRestartPolicy `json:"restartPolicy,omitempty"`
	Secrets                []Secret                `json:"secrets,omitempty"`
	StartTimeout           *int32                  `json:"startTimeout,omitempty"`
	StopTimeout            *int32                  `json:"stopTimeout,omitempty"`
	SystemControls         []SystemControl         `json:"systemControls,omitempty"`
	Ulimits                []Ulimit                `json:"ulimits,omitempty"`
	User                   string                  `json:"user,omitempty"`
	VersionConsistency     string                  `json:"versionConsistency,omitempty"`
	VolumesFrom            []VolumeFrom            `json:"volumesFrom,omitempty"`
	WorkingDirectory       string                  `json:"workingDirectory,omitempty"`
}

// ContainerDependency is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html
type ContainerDependency struct {
	Condition     string `json:"condition,omitempty"`
	ContainerName string `json:"containerName,omitempty"`
}

// ContainerRestartPolicy is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerRestartPolicy.html
type ContainerRestartPolicy struct {
	Enabled              *bool   `json:"enabled,omitempty"`
	IgnoredExitCodes     []int32 `json:"ignoredExitCodes,omitempty"`
	RestartAttemptPeriod *int32  `json:"restartAttemptPeriod,omitempty"`
}

// EnvironmentFile is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EnvironmentFile.html
type EnvironmentFile struct {
	Type  string `json:"type,omitempty"`
	Value string `json:"value,omitempty"`
}

// FirelensConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_FirelensConfiguration.html
type FirelensConfiguration struct {
	Type    string            `json:"type,omitempty"`
	Options map[string]string `json:"options,omitempty"`
}

// HealthCheck is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
type HealthCheck struct {
	Command     []string `json:"command,omitempty"`
	Interval    *int32   `json:"interval,omitempty"`
	Retries     *int32   `json:"retries,omitempty"`
	StartPeriod *int32   `json:"startPeriod,omitempty"`
	Timeout     *int32   `json:"timeout,omitempty"`
}

// HostEntry is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HostEntry.html
type HostEntry struct {
	Hostname  string `json:"hostname,omitempty"`
	IpAddress string `json:"ipAddress,omitempty"`
}

// KeyValuePair is a named value. Value is a pointer because ECS gives back an empty value where one was registered.
type KeyValuePair struct {
	Name  string  `json:"name,omitempty"`
	Value *string `json:"value,omitempty"`
}

// LogConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LogConfiguration.html
type LogConfiguration struct {
	LogDriver     string            `json:"logDriver,omitempty"`
	Options       map[string]string `json:"options,omitempty"`
	SecretOptions []Secret          `json:"secretOptions,omitempty"`
}

// MountPoint is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_MountPoint.html
type MountPoint struct {
	ContainerPath string `json:"containerPath,omitempty"`
	ReadOnly      *bool  `json:"readOnly,omitempty"`
	SourceVolume  string `json:"sourceVolume,omitempty"`
}

// PortMapping is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html
type PortMapping struct {
	AppProtocol        string `json:"appProtocol,omitempty"`
	ContainerPort      *int32 `json:"containerPort,omitempty"`
	ContainerPortRange string `json:"containerPortRange,omitempty"`
	HostPort           *int32 `json:"hostPort,omitempty"`
	Name               string `json:"name,omitempty"`
	Protocol           string `json:"protocol,omitempty"`
}

// RepositoryCredentials is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RepositoryCredentials.html
type RepositoryCredentials struct {
	CredentialsParameter string `json:"credentialsParameter,omitempty"`
}

// ResourceRequirement is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ResourceRequirement.html
type ResourceRequirement struct {
	Type  string `json:"type,omitempty"`
	Value string `json:"value,omitempty"`
}

// Secret is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Secret.html
type Secret struct {
	Name      string `json:"name,omitempty"`
	ValueFrom string `json:"valueFrom,omitempty"`
}

// SystemControl is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_SystemControl.html
type SystemControl struct {
	Namespace string `json:"namespace,omitempty"`
	Value     string `json:"value,omitempty"`
}

// Ulimit is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Ulimit.html
type Ulimit struct {
	HardLimit int32  `json:"hardLimit,omitempty"`
	Name      string `json:"name,omitempty"`
	SoftLimit int32  `json:"softLimit,omitempty"`
}

// VolumeFrom is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_VolumeFrom.html
type VolumeFrom struct {
	ReadOnly        *bool  `json:"readOnly,omitempty"`
	SourceContainer string `json:"sourceContainer,omitempty"`
}
