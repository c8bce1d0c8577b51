package ecs

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"strings"
	"time"
)

// TaskID and InstanceID are 128 bits, written as the 32 hex digits that end ECS's ARNs. The zero value is no task and no
// instance.
type (
	TaskID     [16]byte
	InstanceID [16]byte
)

// NewTaskID makes a random id. Those made at the same time begin alike, in 16 bits that look random as well: tasks that start
// together change together, and are neighbours in whatever is sorted by id, where a batch of changes then touches a few places
// instead of as many as there are changes.
func NewTaskID() (id TaskID) {
	rand.Read(id[:])
	binary.BigEndian.PutUint16(id[:], uint16(maphash.Comparable(beginnings, time.Now().UnixNano()/int64(beginAlike))))
	return id
}

// beginAlike is for how long tasks' ids begin alike. At the highest rates these are as many tasks as a batch of changes has, few
// enough for the first 8 digits to tell them apart.
const beginAlike = 25 * time.Millisecond

var beginnings = maphash.MakeSeed()

// NewInstanceID makes a random id.
func NewInstanceID() (id InstanceID) { rand.Read(id[:]); return }

func (id TaskID) String() string     { return hex.EncodeToString(id[:]) }
func (id InstanceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero tells whether the id names nothing.
func (id TaskID) IsZero() bool { return id == TaskID{} }

// IsZero tells whether the id names nothing.
func (id InstanceID) IsZero() bool { return id == InstanceID{} }

// MarshalText gives the 32 hex digits, so that ids are readable in JSON.
func (id TaskID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText gives the 32 hex digits, so that ids are readable in JSON.
func (id InstanceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads 32 hex digits.
func (id *TaskID) UnmarshalText(b []byte) error { return unhex(id[:], string(b)) }

// UnmarshalText reads 32 hex digits.
func (id *InstanceID) UnmarshalText(b []byte) error { return unhex(id[:], string(b)) }

// ParseTaskID reads 32 hex digits.
func ParseTaskID(s string) (id TaskID, err error) { err = unhex(id[:], s); return }

// ParseInstanceID reads 32 hex digits.
func ParseInstanceID(s string) (id InstanceID, err error) { err = unhex(id[:], s); return }

func unhex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("%q is not an id of %d hex digits", s, 2*len(dst))
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}

// ARN is an Amazon Resource Name of the ECS service, taken apart.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html#ecs-resource-ids
type ARN struct {
	Partition, Service, Region, Account string
	// Type is the resource's kind: cluster, task, task-definition, container-instance, service...
	Type string
	// Cluster is set where the ARN names one: task/CLUSTER/ID, container-instance/CLUSTER/ID, service/CLUSTER/NAME.
	Cluster string
	// Resource is what is left: an id, a name or FAMILY:REVISION.
	Resource string
}

// ParseARN reads arn:PARTITION:SERVICE:REGION:ACCOUNT:TYPE/[CLUSTER/]RESOURCE.
func ParseARN(s string) (ARN, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[2] == "" {
		return ARN{}, fmt.Errorf("%q is not an ARN", s)
	}
	kind, rest, ok := strings.Cut(parts[5], "/")
	if !ok || kind == "" || rest == "" {
		return ARN{}, fmt.Errorf("%q names no resource", s)
	}
	a := ARN{Partition: parts[1], Service: parts[2], Region: parts[3], Account: parts[4], Type: kind, Resource: rest}
	if i := strings.LastIndexByte(rest, '/'); i >= 0 {
		a.Cluster, a.Resource = rest[:i], rest[i+1:]
	}
	return a, nil
}

// Place is the account and region whose names this installation uses in ARNs.
type Place struct{ Account, Region string }

func (p Place) arn(resource string) string {
	return "arn:aws:ecs:" + p.Region + ":" + p.Account + ":" + resource
}

// ClusterARN names a cluster.
func (p Place) ClusterARN(name string) string { return p.arn("cluster/" + name) }

// TaskARN names a task, in the long form.
func (p Place) TaskARN(cluster string, id TaskID) string {
	return p.arn("task/" + cluster + "/" + id.String())
}

// ContainerARN names a container of a task: container/CLUSTER/TASK/ID.
func (p Place) ContainerARN(cluster string, task TaskID, id string) string {
	return p.arn("container/" + cluster + "/" + task.String() + "/" + id)
}

// InstanceARN names a container instance, in the long form.
func (p Place) InstanceARN(cluster string, id InstanceID) string {
	return p.arn("container-instance/" + cluster + "/" + id.String())
}

// AttachmentARN names an attachment of a task.
func (p Place) AttachmentARN(id string) string { return p.arn("attachment/" + id) }

// PrivateDNSName is the name that a network interface's address has within its network.
// https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html
func (p Place) PrivateDNSName(a IPv4) string {
	domain := p.Region + ".compute.internal"
	if p.Region == "us-east-1" {
		domain = "ec2.internal"
	}
	return fmt.Sprintf("ip-%d-%d-%d-%d.%s", a[0], a[1], a[2], a[3], domain)
}

// DefinitionARN names a revision of a task definition, or of a daemon task definition.
func (p Place) DefinitionARN(id DefinitionID) string {
	if id.Daemon {
		return p.arn("daemon-task-definition/" + id.String())
	}
	return p.arn("task-definition/" + id.String())
}

// CapacityProviderARN names a capacity provider, FARGATE and FARGATE_SPOT included.
func (p Place) CapacityProviderARN(name string) string { return p.arn("capacity-provider/" + name) }

// NamespaceARN names a Cloud Map namespace by its id, ns- and 16 letters and digits.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudmap.html
func (p Place) NamespaceARN(id string) string {
	return "arn:aws:servicediscovery:" + p.Region + ":" + p.Account + ":namespace/" + id
}
