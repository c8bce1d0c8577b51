package ecsapi

import (
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
)

// attachmentENI is the type of an attachment that is a network interface.
const attachmentENI = "ElasticNetworkInterface"

// wireAttachments is never nil. Before it is attached, an interface shows no more than its subnet.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attachment.html
func (a *API) wireAttachments(task *ecs.Task) []types.Attachment {
	i := task.Interface
	if i == nil {
		return []types.Attachment{}
	}
	details := []types.KeyValuePair{detail("subnetId", i.SubnetID)}
	if i.Status > ecs.AttachmentPrecreated {
		details = append(details, detail("networkInterfaceId", i.ID), detail("macAddress", i.MAC),
			detail("privateDnsName", a.Place.PrivateDNSName(i.Address)), detail("privateIPv4Address", i.Address.String()))
	}
	status, kind := i.Status.String(), attachmentENI
	return []types.Attachment{{Id: &i.AttachmentID, Type: &kind, Status: &status, Details: details}}
}

func detail(name, value string) types.KeyValuePair {
	return types.KeyValuePair{Name: &name, Value: &value}
}

// wireInterfaces is never nil; the containers of a task share one interface.
func wireInterfaces(task *ecs.Task) []types.NetworkInterface {
	i := task.Interface
	if i == nil || i.Status <= ecs.AttachmentPrecreated {
		return []types.NetworkInterface{}
	}
	address := i.Address.String()
	return []types.NetworkInterface{{AttachmentId: &i.AttachmentID, PrivateIpv4Address: &address}}
}

// wireManagedAgents is nil for none, as ECS leaves them out then.
func wireManagedAgents(in []ecs.ManagedAgent) []types.ManagedAgent {
	var out []types.ManagedAgent
	for _, m := range in {
		status := m.LastStatus.String()
		out = append(out, types.ManagedAgent{Name: types.ManagedAgentName(m.Name), LastStatus: &status, Reason: ptr(m.Reason),
			LastStartedAt: moment(m.LastStartedAt)})
	}
	return out
}

// defaultEphemeralStorage is what a Fargate task has, in GiB, that asks for no other.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html
const defaultEphemeralStorage = 20

// wireFargate adds what only Fargate tasks show. The definition may be nil.
func wireFargate(task *ecs.Task, d *ecs.TaskDefinition, out *types.Task) {
	if task.LaunchType != ecs.LaunchFargate {
		return
	}
	family, size := "Linux", int32(defaultEphemeralStorage)
	if d != nil {
		if p := d.RuntimePlatform; p != nil && p.OperatingSystemFamily != "" && p.OperatingSystemFamily != "LINUX" {
			family = p.OperatingSystemFamily
		}
		if d.EphemeralStorage != nil {
			size = d.EphemeralStorage.SizeInGiB
		}
	}
	if o := task.Overrides; o != nil && o.EphemeralStorage != nil {
		size = o.EphemeralStorage.SizeInGiB
	}
	out.PlatformFamily = &family
	if task.PlatformVersion != platformOlder {
		out.EphemeralStorage = &types.EphemeralStorage{SizeInGiB: size}
		out.FargateEphemeralStorage = &types.TaskEphemeralStorage{SizeInGiB: size}
	}
}
