// Package payload says a task in the terms of Amazon's container agent: what its control plane sends it over ACS, with Docker's
// settings as JSON in strings. The translation is pure, and gives none of the inputs on which that agent ends, spins or waits for ever.
// https://github.com/aws/amazon-ecs-agent
package payload

// Names of the messages.
const (
	TypePayload            = "PayloadMessage"
	TypeAck                = "AckRequest"
	TypeNack               = "NackRequest"
	TypeAttachInterfaces   = "AttachTaskNetworkInterfacesMessage"
	TypeStageUpdate        = "StageUpdateMessage"
	TypePerformUpdate      = "PerformUpdateMessage"
	TypeManifest           = "TaskManifestMessage"
	TypeStopVerification   = "TaskStopVerificationMessage"
	TypeStopVerified       = "TaskStopVerificationAck"
	TypeCredentials        = "IAMRoleCredentialsMessage"
	TypeCredentialsAck     = "IAMRoleCredentialsAckRequest"
	TypeMetricsAck         = "AckPublishMetric"
	TypeHealth             = "PublishHealthRequest"
	TypeHealthAck          = "AckPublishHealth"
	TypeInstanceStatusAck  = "AckPublishInstanceStatus"
	RoleTypeTask           = "TaskApplication"
	RoleTypeExecution      = "TaskExecution"
	DesiredRunning         = "RUNNING"
	DesiredStopped         = "STOPPED"
	healthCheckDocker      = "docker"
	providerSSM            = "ssm"
	providerSecretsManager = "asm"
)

// Envelope is what every message to an agent begins with. Agents drop one without an id or an ARN.
type Envelope struct {
	MessageID            string `json:"messageId"`
	ClusterARN           string `json:"clusterArn"`
	ContainerInstanceARN string `json:"containerInstanceArn"`
	// GeneratedAt is in milliseconds since 1970.
	GeneratedAt int64 `json:"generatedAt"`
}

// Message has a task started or stopped. Agents acknowledge a message only if all of its tasks were good, so there is one in each.
type Message struct {
	Envelope
	// SeqNum and Timeline count up per instance, together with manifests.
	SeqNum   int64  `json:"seqNum"`
	Timeline int64  `json:"timeline"`
	Tasks    []Task `json:"tasks"`
}

// Manifest is all that an instance shall have. Agents drop one whose Timeline is not above all that they have seen.
type Manifest struct {
	Envelope
	Timeline int64      `json:"timeline"`
	Tasks    []Identity `json:"tasks"`
}

// Identity names a task. Agents crash on one without an ARN or a desired status.
type Identity struct {
	TaskARN        string `json:"taskArn"`
	TaskClusterARN string `json:"taskClusterArn"`
	DesiredStatus  string `json:"desiredStatus"`
}

// StopVerification asks whether tasks shall end that were not in the manifest of the same id.
type StopVerification struct {
	MessageID      string     `json:"messageId"`
	StopCandidates []Identity `json:"stopCandidates"`
}

// StopVerified answers a StopVerification with those that shall.
type StopVerified struct {
	MessageID   string     `json:"messageId"`
	GeneratedAt int64      `json:"generatedAt"`
	StopTasks   []Identity `json:"stopTasks"`
}

// Ack is an agent's answer by a message's id; Reason is set in a NackRequest.
type Ack struct {
	Cluster           string `json:"cluster"`
	ContainerInstance string `json:"containerInstance"`
	MessageID         string `json:"messageId"`
	Reason            string `json:"reason,omitempty"`
}

// Update has an agent load a newer one (TypeStageUpdate) or go over to it (TypePerformUpdate).
type Update struct {
	Envelope
	Info UpdateInfo `json:"updateInfo"`
}

// UpdateInfo says where an update is. Signature is its SHA-256 in hex, by which agents know an update too.
type UpdateInfo struct {
	Location  string `json:"location"`
	Signature string `json:"signature"`
}

// CredentialsMessage gives a task newer credentials under the id of those that it has.
type CredentialsMessage struct {
	MessageID      string       `json:"messageId"`
	TaskARN        string       `json:"taskArn"`
	TaskClusterARN string       `json:"taskClusterArn"`
	RoleType       string       `json:"roleType"`
	Credentials    *Credentials `json:"roleCredentials"`
}

// CredentialsAck says that the agent has credentials, by their id.
type CredentialsAck struct {
	MessageID     string `json:"messageId"`
	CredentialsID string `json:"credentialsId"`
	Expiration    string `json:"expiration"`
}

// Credentials are those of a role. ID is in the URL at which containers find them, so nobody may guess it.
type Credentials struct {
	ID              string `json:"credentialsId"`
	RoleARN         string `json:"roleArn"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	// Expiration is a time of RFC 3339.
	Expiration string `json:"expiration"`
}

// Task is one to start, or with DesiredStopped and nothing but its ARN one to stop.
type Task struct {
	ARN                  string       `json:"arn"`
	ClusterARN           string       `json:"taskClusterArn,omitempty"`
	Family               string       `json:"family,omitempty"`
	Version              string       `json:"version,omitempty"`
	DesiredStatus        string       `json:"desiredStatus"`
	Group                string       `json:"group,omitempty"`
	ServiceName          string       `json:"serviceName,omitempty"`
	LaunchType           string       `json:"launchType,omitempty"`
	CPU                  float64      `json:"cpu,omitempty"` // in vCPUs
	Memory               int64        `json:"memory,omitempty"`
	NetworkMode          string       `json:"networkMode,omitempty"`
	PidMode              string       `json:"pidMode,omitempty"`
	IpcMode              string       `json:"ipcMode,omitempty"`
	Containers           []Container  `json:"containers,omitempty"`
	Volumes              []Volume     `json:"volumes,omitempty"`
	RoleCredentials      *Credentials `json:"roleCredentials,omitempty"`
	ExecutionCredentials *Credentials `json:"executionRoleCredentials,omitempty"`
	Proxy                *Proxy       `json:"proxyConfiguration,omitempty"`
	Interfaces           []Interface  `json:"elasticNetworkInterfaces,omitempty"`
	// Associations give containers their GPUs.
	Associations []Association `json:"associations,omitempty"`
}

// Container is one of a task's. What is not among its fields is in Docker.
type Container struct {
	Name             string            `json:"name"`
	ARN              string            `json:"containerArn,omitempty"`
	Image            string            `json:"image"`
	CPU              int32             `json:"cpu"`    // units, 1024 to a core
	Memory           int32             `json:"memory"` // MiB, 0 for no limit
	Essential        bool              `json:"essential"`
	Command          []string          `json:"command,omitempty"`
	EntryPoint       []string          `json:"entryPoint,omitempty"`
	Environment      map[string]string `json:"environment,omitempty"`
	EnvironmentFiles []EnvironmentFile `json:"environmentFiles,omitempty"`
	Secrets          []Secret          `json:"secrets,omitempty"`
	PortMappings     []PortMapping     `json:"portMappings,omitempty"`
	MountPoints      []MountPoint      `json:"mountPoints,omitempty"`
	VolumesFrom      []VolumeFrom      `json:"volumesFrom,omitempty"`
	Links            []string          `json:"links,omitempty"`
	DependsOn        []Dependency      `json:"dependsOn,omitempty"`
	StartTimeout     *int32            `json:"startTimeout,omitempty"`
	StopTimeout      *int32            `json:"stopTimeout,omitempty"`
	HealthCheckType  string            `json:"healthCheckType,omitempty"`
	RestartPolicy    *RestartPolicy    `json:"restartPolicy,omitempty"`
	Registry         *Registry         `json:"registryAuthentication,omitempty"`
	LogsAuthStrategy string            `json:"logsAuthStrategy,omitempty"`
	FireLens         *FireLens         `json:"firelensConfiguration,omitempty"`
	Docker           *DockerConfig     `json:"dockerConfig,omitempty"`
}

// The parts of a container, which are ECS's own with few changes.
type (
	EnvironmentFile struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	}
	Secret struct {
		Name      string `json:"name"`
		ValueFrom string `json:"valueFrom"`
		Region    string `json:"region"`
		Provider  string `json:"provider"`
		Type      string `json:"type"`
		// Target is CONTAINER or LOG_DRIVER.
		Target string `json:"target"`
	}
	PortMapping struct {
		ContainerPort      *int32 `json:"containerPort,omitempty"`
		ContainerPortRange string `json:"containerPortRange,omitempty"`
		HostPort           *int32 `json:"hostPort,omitempty"`
		Protocol           string `json:"protocol"`
	}
	MountPoint struct {
		SourceVolume  string `json:"sourceVolume"`
		ContainerPath string `json:"containerPath"`
		ReadOnly      bool   `json:"readOnly"`
	}
	VolumeFrom struct {
		SourceContainer string `json:"sourceContainer"`
		ReadOnly        bool   `json:"readOnly"`
	}
	Dependency struct {
		ContainerName string `json:"containerName"`
		Condition     string `json:"condition"`
	}
	RestartPolicy struct {
		Enabled              bool    `json:"enabled"`
		IgnoredExitCodes     []int32 `json:"ignoredExitCodes,omitempty"`
		RestartAttemptPeriod *int32  `json:"restartAttemptPeriod,omitempty"`
	}
	// Registry says where the agent gets the registry's password.
	Registry struct {
		Type string `json:"type"`
		ECR  *ECR   `json:"ecrAuthData,omitempty"`
		ASM  *ASM   `json:"asmAuthData,omitempty"`
	}
	ECR struct {
		RegistryID       string `json:"registryId"`
		Region           string `json:"region"`
		UseExecutionRole bool   `json:"useExecutionRole"`
	}
	ASM struct {
		CredentialsParameter string `json:"credentialsParameter"`
		Region               string `json:"region"`
	}
	FireLens struct {
		Type    string            `json:"type"`
		Options map[string]string `json:"options,omitempty"`
	}
	Proxy struct {
		Type          string            `json:"type"`
		ContainerName string            `json:"containerName"`
		Properties    map[string]string `json:"properties"`
	}
	Association struct {
		Containers []string `json:"containers"`
		Name       string   `json:"name"`
		Type       string   `json:"type"`
		Content    Content  `json:"content"`
	}
	Content struct {
		Encoding string `json:"encoding"`
		Value    string `json:"value"`
	}
)

// Volume has the configuration of its Type; agents refuse one without.
type Volume struct {
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Host   *HostVolume   `json:"host,omitempty"`
	Docker *DockerVolume `json:"dockerVolumeConfiguration,omitempty"`
	EFS    *EFSVolume    `json:"efsVolumeConfiguration,omitempty"`
}

// The configurations of volumes.
type (
	// HostVolume without a SourcePath is a directory of the task's own.
	HostVolume struct {
		SourcePath string `json:"sourcePath,omitempty"`
	}
	DockerVolume struct {
		Scope         string            `json:"scope"`
		Autoprovision bool              `json:"autoprovision"`
		Driver        string            `json:"driver"`
		DriverOpts    map[string]string `json:"driverOpts,omitempty"`
		Labels        map[string]string `json:"labels,omitempty"`
	}
	EFSVolume struct {
		FileSystemID          string            `json:"fileSystemId"`
		RootDirectory         string            `json:"rootDirectory"`
		TransitEncryption     string            `json:"transitEncryption,omitempty"`
		TransitEncryptionPort *int32            `json:"transitEncryptionPort,omitempty"`
		Authorization         *EFSAuthorization `json:"authorizationConfig,omitempty"`
	}
	EFSAuthorization struct {
		AccessPointID string `json:"accessPointId,omitempty"`
		IAM           string `json:"iam,omitempty"`
	}
)

// DockerConfig has Docker's Config and HostConfig as JSON, which the agent lays over its own.
type DockerConfig struct {
	Config     string `json:"config,omitempty"`
	HostConfig string `json:"hostConfig,omitempty"`
}

// Health tells of containers' health checks, every 20 s.
type Health struct {
	Tasks []struct {
		TaskARN    string `json:"taskArn"`
		Containers []struct {
			ContainerName string `json:"containerName"`
			HealthStatus  string `json:"healthStatus"`
		} `json:"containers"`
	} `json:"tasks"`
}
