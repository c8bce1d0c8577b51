package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	domain "roadstead.dev/roadstead/internal/ecs"
)

// callTimeout bounds one call of the API.
const callTimeout = 30 * time.Second

// register makes the machine known to the server: as the instance that it was before, if it was one.
func (a *Agent) register(ctx context.Context) error {
	if a.identity.InstanceARN != "" && a.identity.Cluster != a.cluster() {
		return fmt.Errorf("%w: the machine is registered in cluster %s and was asked to join %s; with another data directory it can be another instance",
			ErrFatal, a.identity.Cluster, a.cluster())
	}
	if err := a.findPorts(); err != nil {
		return err
	}
	in, err := a.registration()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := a.api.RegisterContainerInstance(ctx, in)
	var invalid *types.InvalidParameterException
	var client *types.ClientException
	switch {
	case err == nil:
	case in.ContainerInstanceArn != nil && (errors.As(err, &invalid) || errors.As(err, &client)):
		a.cfg.Log.Warn("the server does not take this machine as the instance it was; it registers anew", "instance", *in.ContainerInstanceArn, "err", err)
		if err := a.setInstance(""); err != nil {
			return err
		}
		return a.register(ctx)
	case errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", ErrFatal, err)
	case (a.cfg.MakeCluster || a.cluster() == "default") && noCluster(err):
		return a.makeCluster(ctx, err)
	default:
		return fmt.Errorf("register: %w", err)
	}
	if out.ContainerInstance == nil || aws.ToString(out.ContainerInstance.ContainerInstanceArn) == "" {
		return fmt.Errorf("register: the server gave no instance")
	}
	arn := *out.ContainerInstance.ContainerInstanceArn
	a.cfg.Log.Info("registered", "instance", arn, "cluster", a.cluster())
	if arn == a.identity.InstanceARN {
		return nil
	}
	return a.setInstance(arn)
}

func noCluster(err error) bool {
	var notFound *types.ClusterNotFoundException
	return errors.As(err, &notFound)
}

// makeCluster makes the cluster, as Amazon's agent does with the default one, and registers again.
func (a *Agent) makeCluster(ctx context.Context, cause error) error {
	if _, err := a.api.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String(a.cluster())}); err != nil {
		return fmt.Errorf("make cluster %s: %w", a.cluster(), errors.Join(err, cause))
	}
	in, err := a.registration()
	if err != nil {
		return err
	}
	out, err := a.api.RegisterContainerInstance(ctx, in)
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return a.setInstance(aws.ToString(out.ContainerInstance.ContainerInstanceArn))
}

// registration is what the server is told. Custom attributes and tags go with the first one alone: from then on they are
// the server's to change.
func (a *Agent) registration() (*ecs.RegisterContainerInstanceInput, error) {
	r, err := a.cfg.resources(a.identity.UsedPorts)
	if err != nil {
		return nil, err
	}
	in := &ecs.RegisterContainerInstanceInput{
		Cluster:        aws.String(a.cluster()),
		TotalResources: totalResources(r),
		VersionInfo: &types.VersionInfo{
			AgentVersion: aws.String(a.cfg.Version), AgentHash: aws.String(a.cfg.Commit), DockerVersion: aws.String(a.cfg.RuntimeVersion),
		},
	}
	if a.cfg.IdentityDocument != "" {
		in.InstanceIdentityDocument = aws.String(a.cfg.IdentityDocument)
	}
	attributes := a.cfg.capabilities()
	if a.identity.InstanceARN != "" {
		in.ContainerInstanceArn = aws.String(a.identity.InstanceARN)
	} else {
		attributes = append(attributes, a.cfg.Attributes...)
		for _, t := range a.cfg.Tags {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
		}
	}
	for _, at := range attributes {
		out := types.Attribute{Name: aws.String(at.Name)}
		if at.Value != "" {
			out.Value = aws.String(at.Value)
		}
		in.Attributes = append(in.Attributes, out)
	}
	return in, nil
}

// findPorts looks which ports are in use while no task is here: the ports of tasks on the host's network are the server's to
// count. With tasks, what was seen before them holds on.
func (a *Agent) findPorts() error {
	if a.cfg.Resources != nil || a.engine.Tasks() > 0 {
		return nil
	}
	used, err := usedPorts()
	if err != nil {
		return err
	}
	a.identity.UsedPorts = used
	return a.setInstance(a.identity.InstanceARN)
}

func totalResources(r domain.Resources) []types.Resource {
	integer := func(name string, n int32) types.Resource {
		return types.Resource{Name: aws.String(name), Type: aws.String("INTEGER"), IntegerValue: n}
	}
	set := func(name string, udp bool) types.Resource {
		list := []string{}
		for _, p := range r.Ports {
			if p.UDP == udp {
				list = append(list, strconv.Itoa(int(p.Number)))
			}
		}
		slices.Sort(list)
		return types.Resource{Name: aws.String(name), Type: aws.String("STRINGSET"), StringSetValue: list}
	}
	return []types.Resource{integer("CPU", r.CPU), integer("MEMORY", r.MemoryMiB), set("PORTS", false), set("PORTS_UDP", true)}
}
