package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

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
	if err := a.takeToken(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	arn, err := a.registerOnce(ctx)
	if (a.cfg.MakeCluster || a.cluster() == "default") && noCluster(err) {
		// As Amazon's agent does with the default one.
		if _, made := a.api.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String(a.cluster())}); made != nil {
			return fmt.Errorf("make cluster %s: %w", a.cluster(), errors.Join(made, err))
		}
		arn, err = a.registerOnce(ctx)
	}
	var invalid *types.InvalidParameterException
	var client *types.ClientException
	switch {
	case err == nil:
	case a.identity.InstanceARN != "" && (errors.As(err, &invalid) || errors.As(err, &client) || a.anothers(ctx, err)):
		a.cfg.Log.Warn("the server does not take this machine as the instance it was; it registers anew", "instance", a.identity.InstanceARN, "err", err)
		if err := a.setInstance(""); err != nil {
			return err
		}
		return a.register(ctx)
	case keyRefused(err):
		return fmt.Errorf("register: %w: %w", errKey, err)
	case errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", ErrFatal, err)
	default:
		return fmt.Errorf("register: %w", err)
	}
	a.cfg.Log.Info("registered", "instance", arn, "cluster", a.cluster())
	key, err := a.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("register: credentials: %w", err)
	}
	if arn == a.identity.InstanceARN && key.AccessKeyID == a.identity.AccessKeyID {
		return nil
	}
	a.identity.AccessKeyID = key.AccessKeyID
	return a.setInstance(arn)
}

// anothers tells whether the instance that the machine was is refused to it because that was registered with another access key.
func (a *Agent) anothers(ctx context.Context, err error) bool {
	var denied *types.AccessDeniedException
	if !errors.As(err, &denied) || a.identity.AccessKeyID == "" {
		return false
	}
	key, err := a.cfg.Credentials.Retrieve(ctx)
	return err == nil && key.AccessKeyID != a.identity.AccessKeyID
}

// errKey: the server does not know the machine's access key.
var errKey = errors.New("the server does not take this machine's access key, which was withdrawn or is another server's: " +
	"join again, with what `roadstead token create` prints on the server")

// keyRefused tells whether an answer of the API's is that the access key is not known.
func keyRefused(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "UnrecognizedClientException"
}

// registerOnce gives the ARN that the server has for the machine.
func (a *Agent) registerOnce(ctx context.Context) (string, error) {
	in, err := a.registration()
	if err != nil {
		return "", err
	}
	var options []func(*ecs.Options)
	if a.identity.Token != "" {
		options = append(options, withMember("clientToken", a.identity.Token))
	}
	out, err := a.api.RegisterContainerInstance(ctx, in, options...)
	if err != nil {
		return "", err
	}
	if out.ContainerInstance == nil || aws.ToString(out.ContainerInstance.ContainerInstanceArn) == "" {
		return "", errors.New("the server gave no instance")
	}
	return *out.ContainerInstance.ContainerInstanceArn, nil
}

// noCluster tells whether there is no such cluster, of which RegisterContainerInstance tells by a text.
func noCluster(err error) bool {
	var client *types.ClientException
	return errors.As(err, &client) && client.ErrorMessage() == "Cluster not found."
}

// withMember adds a member to a request that the SDK's struct lacks and Amazon's agent sends.
func withMember(name, value string) func(*ecs.Options) {
	return func(o *ecs.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Build.Add(middleware.BuildMiddlewareFunc("member "+name, func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
				req, ok := in.Request.(*smithyhttp.Request)
				if !ok {
					return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("a request is a %T", in.Request)
				}
				body, err := addMember(req.GetStream(), name, value)
				if err != nil {
					return middleware.BuildOutput{}, middleware.Metadata{}, err
				}
				if in.Request, err = req.SetStream(bytes.NewReader(body)); err != nil {
					return middleware.BuildOutput{}, middleware.Metadata{}, err
				}
				return next.HandleBuild(ctx, in)
			}), middleware.Before)
		})
	}
}

func addMember(object io.Reader, name, value string) ([]byte, error) {
	members := map[string]json.RawMessage{}
	if err := json.NewDecoder(object).Decode(&members); err != nil {
		return nil, fmt.Errorf("add %s to a request: %w", name, err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("add %s to a request: %w", name, err)
	}
	members[name] = text
	return json.Marshal(members)
}

// registration is what the server is told. Custom attributes and tags go with the first one alone: from then on they are
// the server's to change. The capacity provider goes with each: a machine that belongs to none may join one later.
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
		for _, at := range a.cfg.Attributes {
			if at.Name == domain.AttributeCapacityProvider {
				attributes = append(attributes, at)
			}
		}
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
