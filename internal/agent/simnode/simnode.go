// Package simnode is a container instance that runs nothing: the agent as it is, with its engine and its session, over
// containers, images, a network and logs that are made up. What containers do is asked for by their commands and by
// docker labels; see Behaviour.
package simnode

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"roadstead.dev/roadstead/internal/agent"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
	"roadstead.dev/roadstead/internal/agent/sdkhttp"
	"roadstead.dev/roadstead/internal/ecs"
)

type Config struct {
	// ServerURL is the endpoint of the API, as HTTPClient reaches it.
	ServerURL   string
	HTTPClient  *http.Client
	Credentials aws.CredentialsProvider
	Region      string
	Cluster     string
	// Index numbers the instances, and Zone the availability zones, from 0: names and ids come from them.
	Index, Zone int
	// CPU is in units, 1024 to a core.
	CPU, MemoryMiB int32
	Log            *slog.Logger
}

// instanceTypes are EC2's general purpose ones, by CPU units.
var instanceTypes = map[int32]string{
	1024: "m3.medium", 2048: "m5.large", 4096: "m5.xlarge", 8192: "m5.2xlarge", 16384: "m5.4xlarge", 32768: "m5.8xlarge", 49152: "m5.12xlarge", 65536: "m5.16xlarge", 98304: "m5.24xlarge",
}

// New makes the agent of an instance. Run it to have the instance register.
func New(cfg Config) (*agent.Agent, error) {
	client := cloudwatchlogs.New(cloudwatchlogs.Options{Region: cfg.Region, Credentials: cfg.Credentials, BaseEndpoint: &cfg.ServerURL, HTTPClient: sdkhttp.New(cfg.HTTPClient)})
	output := logs.NewDirect(logs.Config{Client: client, Log: cfg.Log})
	document, err := identity(cfg)
	if err != nil {
		return nil, err
	}
	return agent.New(agent.Config{
		ServerURL: cfg.ServerURL, HTTPClient: cfg.HTTPClient, Credentials: cfg.Credentials, Region: cfg.Region, Cluster: cfg.Cluster, MakeCluster: true,
		Simulated: true, IdentityDocument: document, Resources: &ecs.Resources{CPU: cfg.CPU, MemoryMiB: cfg.MemoryMiB, Ports: stockPorts()},
		Attributes: []ecs.Attribute{
			{Name: "ecs.vpc-id", Value: resourceID("vpc", 1)}, {Name: "ecs.subnet-id", Value: resourceID("subnet", cfg.Zone+1)},
		},
		Version: "1.100.0", Commit: "simulated", RuntimeVersion: "25.0.8",
		Images:  newImages(),
		Runtime: &fake.Runtime{Behave: Behaviour, BehaveExec: Exec, Output: output.Write},
		Network: newNetwork(), Logs: output, Log: cfg.Log.With("node", cfg.Index),
	})
}

// stockPorts are those that every ECS-optimised machine has in use: ssh, Docker and the agent.
func stockPorts() []ecs.Port {
	return []ecs.Port{{Number: 22}, {Number: 2375}, {Number: 2376}, {Number: 51678}, {Number: 51679}}
}

// identity is the instance's EC2 identity document.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
func identity(cfg Config) (string, error) {
	kind, ok := instanceTypes[cfg.CPU]
	if !ok {
		kind = "m5.xlarge"
	}
	b, err := json.Marshal(map[string]string{
		"instanceId": resourceID("i", cfg.Index+1), "instanceType": kind, "imageId": resourceID("ami", 1),
		"availabilityZone": Zone(cfg.Region, cfg.Zone), "architecture": "x86_64", "region": cfg.Region,
	})
	if err != nil {
		return "", fmt.Errorf("make the identity document: %w", err)
	}
	return string(b), nil
}

// resourceID is an id as EC2 writes them: a prefix and 17 hex digits.
func resourceID(prefix string, n int) string { return fmt.Sprintf("%s-%017x", prefix, n) }

// MaxZones is how many names of zones there are.
const MaxZones = 26

// Zone names an availability zone of a region: us-east-1a, us-east-1b...
func Zone(region string, n int) string { return region + string(rune('a'+n)) }
