package ecsapi

import (
	"crypto/sha256"
	"encoding/base32"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// clusterSettings reads a cluster's settings, each name once; nil if none are given.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterSetting.html
func clusterSettings(in []types.ClusterSetting) ([]ecs.ClusterSetting, error) {
	var out []ecs.ClusterSetting
	for _, s := range in {
		if s.Name != types.ClusterSettingNameContainerInsights {
			return nil, fault.New(fault.InvalidParameter, "Setting name %q is not valid.", s.Name)
		}
		if len(out) > 0 {
			return nil, fault.New(fault.InvalidParameter, "Setting name %q is given more than once.", s.Name)
		}
		switch v := str(s.Value); v {
		case ecs.InsightsDisabled, ecs.InsightsEnabled, ecs.InsightsEnhanced:
			out = append(out, ecs.ClusterSetting{Name: ecs.SettingContainerInsights, Value: v})
		default:
			return nil, fault.New(fault.InvalidParameter, "Setting value %q is not valid for containerInsights.", v)
		}
	}
	return out, nil
}

// clusterConfiguration reads how commands are executed in a cluster and how its storage is encrypted; nil if not given.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterConfiguration.html
func clusterConfiguration(in *types.ClusterConfiguration) (*ecs.ClusterConfiguration, error) {
	if in == nil {
		return nil, nil
	}
	if e := in.ExecuteCommandConfiguration; e != nil {
		if err := checkExecuteCommand(e); err != nil {
			return nil, err
		}
	}
	if m := in.ManagedStorageConfiguration; m != nil {
		if err := checkKey("managedStorageConfiguration.kmsKeyId", str(m.KmsKeyId)); err != nil {
			return nil, err
		}
		if err := checkKey("managedStorageConfiguration.fargateEphemeralStorageKmsKeyId", str(m.FargateEphemeralStorageKmsKeyId)); err != nil {
			return nil, err
		}
	}
	out := mirror.Of[ecs.ClusterConfiguration](in)
	return &out, nil
}

// checkExecuteCommand holds a configuration against what its members say of each other.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommandConfiguration.html
func checkExecuteCommand(e *types.ExecuteCommandConfiguration) error {
	if e.Logging != "" && !known(e.Logging) {
		return fault.New(fault.InvalidParameter, "Invalid value for executeCommandConfiguration.logging: %q.", string(e.Logging))
	}
	if len(str(e.KmsKeyId)) > maxKeyID {
		return fault.New(fault.InvalidParameter, "Invalid value for executeCommandConfiguration.kmsKeyId.")
	}
	l := e.LogConfiguration
	if l == nil {
		if e.Logging == types.ExecuteCommandLoggingOverride {
			return fault.New(fault.InvalidParameter, "executeCommandConfiguration.logConfiguration is required when logging is OVERRIDE.")
		}
		return nil
	}
	switch {
	case e.Logging == types.ExecuteCommandLoggingOverride && str(l.CloudWatchLogGroupName) == "" && str(l.S3BucketName) == "":
		return fault.New(fault.InvalidParameter, "executeCommandConfiguration.logConfiguration must name a CloudWatch log group or an S3 bucket when logging is OVERRIDE.")
	case l.CloudWatchEncryptionEnabled && str(l.CloudWatchLogGroupName) == "":
		return fault.New(fault.InvalidParameter, "executeCommandConfiguration.logConfiguration: cloudWatchEncryptionEnabled needs cloudWatchLogGroupName.")
	case (l.S3EncryptionEnabled || str(l.S3KeyPrefix) != "") && str(l.S3BucketName) == "":
		return fault.New(fault.InvalidParameter, "executeCommandConfiguration.logConfiguration: s3EncryptionEnabled and s3KeyPrefix need s3BucketName.")
	}
	return nil
}

// maxKeyID is the longest id, ARN or alias of a key.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
const maxKeyID = 2048

// checkKey refuses what cannot be a key of managed storage: it must be of a single region.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedStorageConfiguration.html
func checkKey(field, id string) error {
	name := id[strings.LastIndexByte(id, '/')+1:]
	if len(id) > maxKeyID || strings.HasPrefix(name, "mrk-") {
		return fault.New(fault.InvalidParameter, "Invalid value for %s: the key must be a single Region key.", field)
	}
	return nil
}

// maxNamespace is the longest name of a namespace, in characters.
const maxNamespace = 1024

// checkNamespace refuses what is neither a namespace's name nor an ARN of one here. "" takes a cluster's default away.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterServiceConnectDefaultsRequest.html
func (a *API) checkNamespace(in *types.ClusterServiceConnectDefaultsRequest) error {
	if in == nil {
		return nil
	}
	if in.Namespace == nil {
		return fault.New(fault.InvalidParameter, "serviceConnectDefaults.namespace can not be null.")
	}
	s := *in.Namespace
	if isARN(s) {
		if !strings.HasPrefix(s, a.Place.NamespaceARN("")) {
			return fault.New(fault.InvalidParameter, "Invalid namespace: %s is not the ARN of a namespace of this account and region.", s)
		}
		return nil
	}
	if utf8.RuneCountInString(s) > maxNamespace || strings.ContainsAny(s, `<>"/`) || !utf8.ValidString(s) {
		return fault.New(fault.InvalidParameter, "Invalid namespace: a name has at most %d characters and none of < > \" /.", maxNamespace)
	}
	return nil
}

// namespace gives what a cluster keeps of a default namespace: ECS makes an HTTP namespace of a name that is new, so each
// name has its id here; an ARN must be that of a namespace that a cluster has. It is nil for "" and for nothing given.
func (a *API) namespace(t *state.Tables, in *types.ClusterServiceConnectDefaultsRequest) (*ecs.ClusterServiceConnectDefaults, error) {
	if in == nil || str(in.Namespace) == "" {
		return nil, nil
	}
	s := *in.Namespace
	if !isARN(s) {
		return &ecs.ClusterServiceConnectDefaults{Namespace: a.Place.NamespaceARN(a.namespaceID(s)), NamespaceName: s}, nil
	}
	for c := range t.Clusters.All() {
		if d := c.ServiceConnectDefaults; d != nil && d.Namespace == s {
			return d, nil
		}
	}
	return nil, fault.New(fault.NamespaceNotFound, "The specified namespace wasn't found: %s", s)
}

// namespaceID makes an id of a name, the same one each time: ns- and 16 letters and digits, as Cloud Map's are.
func (a *API) namespaceID(name string) string {
	sum := sha256.Sum256([]byte(a.Place.Account + "/" + a.Place.Region + "/" + name))
	return "ns-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// sameConfiguration compares configurations where one was given.
func sameConfiguration(given, has *ecs.ClusterConfiguration) bool {
	return given == nil || reflect.DeepEqual(given, has)
}
