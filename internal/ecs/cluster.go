package ecs

// ClusterStatus is ACTIVE or INACTIVE (deleted, still describable).
type ClusterStatus string

// The states of a cluster.
const (
	ClusterActive   ClusterStatus = "ACTIVE"
	ClusterInactive ClusterStatus = "INACTIVE"
)

// Cluster is a named group of instances, tasks and services. What ECS counts in it is derived from the tables, not kept here.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Cluster.html
type Cluster struct {
	Name                            string                         `json:"name"`
	Status                          ClusterStatus                  `json:"status"`
	Tags                            []Tag                          `json:"tags,omitempty"`
	Settings                        []ClusterSetting               `json:"settings,omitempty"`
	Configuration                   *ClusterConfiguration          `json:"configuration,omitempty"`
	CapacityProviders               []string                       `json:"capacityProviders,omitempty"`
	DefaultCapacityProviderStrategy []CapacityProviderStrategyItem `json:"defaultCapacityProviderStrategy,omitempty"`
	ServiceConnectDefaults          *ClusterServiceConnectDefaults `json:"serviceConnectDefaults,omitempty"`
}

// The setting of clusters, its values and the one that holds where nobody has said one.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cloudwatch-container-insights.html
const (
	SettingContainerInsights = "containerInsights"
	InsightsDisabled         = "disabled"
	InsightsEnabled          = "enabled"
	InsightsEnhanced         = "enhanced"
)

// ClusterSetting is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterSetting.html
type ClusterSetting struct {
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
}

// ClusterConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterConfiguration.html
type ClusterConfiguration struct {
	ExecuteCommandConfiguration *ExecuteCommandConfiguration `json:"executeCommandConfiguration,omitempty"`
	ManagedStorageConfiguration *ManagedStorageConfiguration `json:"managedStorageConfiguration,omitempty"`
}

// ClusterServiceConnectDefaults is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterServiceConnectDefaults.html
type ClusterServiceConnectDefaults struct {
	// Namespace is an ARN, as ECS gives it back.
	Namespace string `json:"namespace,omitempty"`
	// NamespaceName is the name that the namespace was asked for by; "" where it was given as an ARN.
	NamespaceName string `json:"namespaceName,omitempty"`
}

// ManagedStorageConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedStorageConfiguration.html
type ManagedStorageConfiguration struct {
	FargateEphemeralStorageKmsKeyId string `json:"fargateEphemeralStorageKmsKeyId,omitempty"`
	KmsKeyId                        string `json:"kmsKeyId,omitempty"`
}

// ExecuteCommandConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommandConfiguration.html
type ExecuteCommandConfiguration struct {
	KmsKeyId         string                          `json:"kmsKeyId,omitempty"`
	LogConfiguration *ExecuteCommandLogConfiguration `json:"logConfiguration,omitempty"`
	Logging          string                          `json:"logging,omitempty"`
}

// ExecuteCommandLogConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommandLogConfiguration.html
type ExecuteCommandLogConfiguration struct {
	CloudWatchEncryptionEnabled bool   `json:"cloudWatchEncryptionEnabled,omitempty"`
	CloudWatchLogGroupName      string `json:"cloudWatchLogGroupName,omitempty"`
	S3BucketName                string `json:"s3BucketName,omitempty"`
	S3EncryptionEnabled         bool   `json:"s3EncryptionEnabled,omitempty"`
	S3KeyPrefix                 string `json:"s3KeyPrefix,omitempty"`
}

// CapacityProviderStrategyItem is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
type CapacityProviderStrategyItem struct {
	CapacityProvider string `json:"capacityProvider,omitempty"`
	Base             int32  `json:"base,omitempty"`
	Weight           int32  `json:"weight,omitempty"`
}
