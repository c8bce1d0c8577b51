package ecs

// Volume is storage that the containers of a task mount by its name; at most one of its configurations is set.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Volume.html
type Volume struct {
	ConfiguredAtLaunch                      *bool                                    `json:"configuredAtLaunch,omitempty"`
	DockerVolumeConfiguration               *DockerVolumeConfiguration               `json:"dockerVolumeConfiguration,omitempty"`
	EfsVolumeConfiguration                  *EFSVolumeConfiguration                  `json:"efsVolumeConfiguration,omitempty"`
	FsxWindowsFileServerVolumeConfiguration *FSxWindowsFileServerVolumeConfiguration `json:"fsxWindowsFileServerVolumeConfiguration,omitempty"`
	Host                                    *HostVolumeProperties                    `json:"host,omitempty"`
	Name                                    string                                   `json:"name,omitempty"`
	S3filesVolumeConfiguration              *S3FilesVolumeConfiguration              `json:"s3filesVolumeConfiguration,omitempty"`
}

// HostVolumeProperties is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HostVolumeProperties.html
type HostVolumeProperties struct {
	SourcePath string `json:"sourcePath,omitempty"`
}

// DockerVolumeConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DockerVolumeConfiguration.html
type DockerVolumeConfiguration struct {
	Autoprovision *bool             `json:"autoprovision,omitempty"`
	Driver        string            `json:"driver,omitempty"`
	DriverOpts    map[string]string `json:"driverOpts,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	Scope         string            `json:"scope,omitempty"`
}

// EFSVolumeConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSVolumeConfiguration.html
type EFSVolumeConfiguration struct {
	FileSystemId          string                  `json:"fileSystemId,omitempty"`
	AuthorizationConfig   *EFSAuthorizationConfig `json:"authorizationConfig,omitempty"`
	RootDirectory         string                  `json:"rootDirectory,omitempty"`
	TransitEncryption     string                  `json:"transitEncryption,omitempty"`
	TransitEncryptionPort *int32                  `json:"transitEncryptionPort,omitempty"`
}

// EFSAuthorizationConfig is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSAuthorizationConfig.html
type EFSAuthorizationConfig struct {
	AccessPointId string `json:"accessPointId,omitempty"`
	Iam           string `json:"iam,omitempty"`
}

// FSxWindowsFileServerVolumeConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_FSxWindowsFileServerVolumeConfiguration.html
type FSxWindowsFileServerVolumeConfiguration struct {
	AuthorizationConfig *FSxWindowsFileServerAuthorizationConfig `json:"authorizationConfig,omitempty"`
	FileSystemId        string                                   `json:"fileSystemId,omitempty"`
	RootDirectory       string                                   `json:"rootDirectory,omitempty"`
}

// FSxWindowsFileServerAuthorizationConfig is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_FSxWindowsFileServerAuthorizationConfig.html
type FSxWindowsFileServerAuthorizationConfig struct {
	CredentialsParameter string `json:"credentialsParameter,omitempty"`
	Domain               string `json:"domain,omitempty"`
}

// S3FilesVolumeConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_S3FilesVolumeConfiguration.html
type S3FilesVolumeConfiguration struct {
	FileSystemArn         string `json:"fileSystemArn,omitempty"`
	AccessPointArn        string `json:"accessPointArn,omitempty"`
	RootDirectory         string `json:"rootDirectory,omitempty"`
	TransitEncryptionPort *int32 `json:"transitEncryptionPort,omitempty"`
}
