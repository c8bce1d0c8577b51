package ecsapi

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Names of an instance's resources.
const (
	resourceCPU      = "CPU"
	resourceMemory   = "MEMORY"
	resourcePorts    = "PORTS"
	resourcePortsUDP = "PORTS_UDP"
	resourceGPU      = "GPU"
)

// What no machine has more of. Agents are believed in what they say of their machines up to here, since sums of it must not
// overflow and instances must fit into the store: 4,096 cores and 64 TiB.
const (
	mostCPU        = 4096 * 1024
	mostMemoryMiB  = 64 << 20
	mostPorts      = 10_000
	mostGPUs       = 256
	mostAttributes = 500
)

// attributeArch comes, like the zone, from an instance's identity document.
const attributeArch = "ecs.cpu-architecture"

// RegisterContainerInstance makes an instance, or brings one that is known up to date: by its ARN after a restart of the
// agent, by its client token when the agent has not seen the answer. The answer's attributes have all of the request's: agents
// end for good if one is not there.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterContainerInstance.html
func (a *API) RegisterContainerInstance(ctx context.Context, in *sdk.RegisterContainerInstanceInput) (*sdk.RegisterContainerInstanceOutput, error) {
	if err := a.allowed(ctx, callRegistration); err != nil {
		return nil, err
	}
	name, err := a.clusterRef(in.Cluster)
	if err != nil {
		return nil, err
	}
	r, err := a.readRegistration(ctx, in)
	if err != nil {
		return nil, err
	}
	var out types.ContainerInstance
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		c, err := cluster(&tx.Tables, name)
		if errors.Is(err, errNoCluster) {
			// This operation alone says it so, and Amazon's agent makes the cluster default on these words.
			return fault.New(fault.Client, "Cluster not found.")
		}
		if err != nil {
			return err
		}
		old, err := a.registered(&tx.Tables, in, r, name)
		if err != nil {
			return err
		}
		i := &ecs.Instance{ID: ecs.NewInstanceID(), Cluster: name, Status: ecs.InstanceActive, RegisteredAt: a.now(), AgentKey: a.Agent(ctx)}
		if old != nil {
			if err := a.speaksFor(ctx, old); err != nil {
				return err
			}
			copied := *old
			i = &copied
			r.joinLater(c, i)
		} else if err := r.join(c, i); err != nil {
			return err
		}
		r.apply(i)
		tx.Instances.Put(i)
		out = a.wireInstance(&tx.Tables, i, map[types.ContainerInstanceField]bool{types.ContainerInstanceFieldTags: true})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.RegisterContainerInstanceOutput{ContainerInstance: &out}, nil
}

// registered finds the instance that a registration is of; nil for a new one.
func (a *API) registered(t *state.Tables, in *sdk.RegisterContainerInstanceInput, r *registration, cluster string) (*ecs.Instance, error) {
	ref := str(in.ContainerInstanceArn)
	if ref == "" {
		if r.token == "" {
			return nil, nil
		}
		i := t.Instances.ByClientToken(cluster, r.token)
		if i != nil && i.Status == ecs.InstanceInactive {
			return nil, nil
		}
		return i, nil
	}
	i, err := a.instance(t, ref, cluster)
	switch {
	case err != nil:
		return nil, err
	case i == nil:
		return nil, fault.New(fault.Client, "The referenced container instance was not found.")
	case i.Status == ecs.InstanceInactive:
		return nil, fault.New(fault.Client, "The referenced container instance is inactive: %s.", a.Place.InstanceARN(i.Cluster, i.ID))
	}
	before, had := i.Attribute("ecs.instance-type")
	if now := r.attributes["ecs.instance-type"]; had && now != "" && now != before {
		return nil, fault.New(fault.Client, "Container instance type changes are not supported. Container instance %s was previously registered as %s.", i.ID, before)
	}
	return i, nil
}

// registration is what a request says of an instance, checked.
type registration struct {
	token      string
	host       string
	resources  ecs.Resources
	attributes map[string]string
	order      []string
	tags       []ecs.Tag
	version    *types.VersionInfo
}

func (a *API) readRegistration(ctx context.Context, in *sdk.RegisterContainerInstanceInput) (*registration, error) {
	r := &registration{attributes: map[string]string{}, version: in.VersionInfo}
	if a.ClientToken != nil {
		r.token = a.ClientToken(ctx)
	}
	var err error
	if r.tags, err = tags(in.Tags); err != nil {
		return nil, err
	}
	if r.resources, err = readResources(in.TotalResources); err != nil {
		return nil, err
	}
	if len(in.PlatformDevices) > mostGPUs || len(in.Attributes) > mostAttributes {
		return nil, fault.New(fault.InvalidParameter, "An instance has at most %d platformDevices and %d attributes.", mostGPUs, mostAttributes)
	}
	for _, d := range in.PlatformDevices {
		if d.Type != types.PlatformDeviceTypeGpu || str(d.Id) == "" {
			return nil, fault.New(fault.InvalidParameter, "platformDevices: devices of the type %q are not supported yet.", string(d.Type))
		}
		if slices.Contains(r.resources.GPUs, *d.Id) {
			return nil, fault.New(fault.InvalidParameter, "platformDevices: %s is there twice.", *d.Id)
		}
		r.resources.GPUs = append(r.resources.GPUs, *d.Id)
	}
	if err := r.readIdentity(str(in.InstanceIdentityDocument)); err != nil {
		return nil, err
	}
	for _, at := range in.Attributes {
		if str(at.Name) == "" || len(str(at.Name)) > 128 || len(str(at.Value)) > 1024 {
			return nil, fault.New(fault.InvalidParameter, "Invalid attribute: name must have 1 to 128 characters and value at most 1024.")
		}
		if err := checkInterface(*at.Name, str(at.Value)); err != nil {
			return nil, err
		}
		r.set(*at.Name, str(at.Value))
	}
	return r, nil
}

// checkInterface reads the attributes by which hosts offer network interfaces.
func checkInterface(name, value string) error {
	if !strings.HasPrefix(name, ecs.AttributeInterface) {
		return nil
	}
	if _, err := ecs.ParseSpareInterface(value); err != nil {
		return fault.New(fault.InvalidParameter, "Invalid attribute %s: %v.", name, err)
	}
	return nil
}

func (r *registration) set(name, value string) {
	if _, ok := r.attributes[name]; !ok {
		r.order = append(r.order, name)
	}
	r.attributes[name] = value
}

// readIdentity takes from an EC2 identity document what ECS takes from it. Its signature is AWS's and is not checked:
// who may register is decided by the request's own signature.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
func (r *registration) readIdentity(document string) error {
	if document == "" {
		return nil
	}
	var d struct {
		InstanceID       string `json:"instanceId"`
		InstanceType     string `json:"instanceType"`
		ImageID          string `json:"imageId"`
		AvailabilityZone string `json:"availabilityZone"`
		Architecture     string `json:"architecture"`
	}
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		return fault.Wrap(err, fault.InvalidParameter, "Invalid instance identity document.")
	}
	r.host = d.InstanceID
	for _, at := range []struct{ name, value string }{
		{ecs.AttributeZone, d.AvailabilityZone}, {"ecs.instance-type", d.InstanceType}, {"ecs.ami-id", d.ImageID}, {attributeArch, d.Architecture},
	} {
		if at.value != "" {
			r.set(at.name, at.value)
		}
	}
	return nil
}

func readResources(in []types.Resource) (ecs.Resources, error) {
	var out ecs.Resources
	bad := func(name string) (ecs.Resources, error) {
		return ecs.Resources{}, fault.New(fault.InvalidParameter, "Invalid resource: %s.", name)
	}
	seen := map[string]bool{}
	for _, r := range in {
		name := str(r.Name)
		if seen[name] {
			return bad(name)
		}
		seen[name] = true
		switch name {
		case resourceCPU, resourceMemory:
			if r.IntegerValue < 0 || name == resourceCPU && r.IntegerValue > mostCPU || r.IntegerValue > mostMemoryMiB {
				return bad(name)
			}
			if name == resourceCPU {
				out.CPU = r.IntegerValue
			} else {
				out.MemoryMiB = r.IntegerValue
			}
		case resourcePorts, resourcePortsUDP:
			if len(r.StringSetValue) > mostPorts {
				return bad(name)
			}
			for _, s := range r.StringSetValue {
				n, err := strconv.ParseUint(s, 10, 16)
				if err != nil {
					return bad(name)
				}
				out.Ports = append(out.Ports, ecs.Port{Number: uint16(n), UDP: name == resourcePortsUDP})
			}
		default:
			return bad(name)
		}
	}
	if !seen[resourceCPU] || !seen[resourceMemory] {
		return ecs.Resources{}, fault.New(fault.InvalidParameter, "Resources must contain CPU and MEMORY.")
	}
	return out, nil
}

// apply brings an instance up to date. Attributes that the agent does not repeat are kept: custom ones come with the
// first registration alone. Capabilities, which do come each time, are the agent's to withdraw.
func (r *registration) apply(i *ecs.Instance) {
	i.Version++
	i.Registered = r.resources
	i.ClientToken = r.token
	if r.host != "" {
		i.HostID = r.host
	}
	if v := r.version; v != nil {
		i.AgentHash, i.AgentVersion, i.RuntimeVersion = str(v.AgentHash), str(v.AgentVersion), str(v.DockerVersion)
	}
	kept := slices.Clone(i.Attributes)
	kept = slices.DeleteFunc(kept, func(at ecs.Attribute) bool {
		_, again := r.attributes[at.Name]
		return again || isCapability(at.Name)
	})
	for _, name := range r.order {
		kept = append(kept, ecs.Attribute{Name: name, Value: r.attributes[name]})
	}
	i.Attributes = kept
	_, i.Native = r.attributes[acs.CapabilityNative]
	i.Tags = mergeTags(i.Tags, r.tags)
	if len(i.Tags) == 0 {
		i.Tags = nil
	}
}

// join puts a new instance into the capacity provider that its agent names, which the cluster must have. Agents try again
// after this exception: the provider may be on its way.
func (r *registration) join(c *ecs.Cluster, i *ecs.Instance) error {
	name := r.attributes[ecs.AttributeCapacityProvider]
	if name == "" {
		return nil
	}
	if !hasInstances(c, name) {
		return fault.New(fault.Client, "The capacity provider %s, which the attribute %s names, is none of the cluster's that instances can belong to.",
			name, ecs.AttributeCapacityProvider)
	}
	i.CapacityProvider = name
	return nil
}

// joinLater puts an instance that belongs to no capacity provider into the one that its agent names when it registers again, if the cluster
// has that. One that belongs to one stays: its tasks were placed by it.
func (r *registration) joinLater(c *ecs.Cluster, i *ecs.Instance) {
	name := r.attributes[ecs.AttributeCapacityProvider]
	if i.CapacityProvider == "" && hasInstances(c, name) {
		i.CapacityProvider = name
	}
	if name != i.CapacityProvider {
		// The attribute says where the instance is.
		delete(r.attributes, ecs.AttributeCapacityProvider)
		r.order = slices.DeleteFunc(r.order, func(n string) bool { return n == ecs.AttributeCapacityProvider })
	}
}

// hasInstances tells whether a name is that of a cluster's capacity provider that instances can belong to.
func hasInstances(c *ecs.Cluster, name string) bool {
	return !ecs.IsFargateProvider(name) && slices.Contains(c.CapacityProviders, name)
}

func isCapability(name string) bool {
	for _, prefix := range []string{"ecs.capability.", "com.amazonaws.ecs.capability.", "roadstead.capability."} {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}
