// Package taskdef knows the rules of task definitions: what ECS refuses and in which words, what it fills in, which launch
// types a definition is compatible with, and which attributes an instance must have for its features.
//
// Most of ECS's rules are in the developer guide; the messages are those that its users report.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
package taskdef

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// Limits of a definition.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
const (
	maxContainers = 10
	maxBytes      = 64 << 10
	maxFamily     = 255
)

// refuse makes a ClientException, which is what ECS answers for a definition that it does not take.
func refuse(format string, args ...any) error { return fault.New(fault.Client, format, args...) }

var (
	namePattern  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	imagePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._:/@#+-]*$`)
	// objectPattern is an S3 object's ARN.
	objectPattern = regexp.MustCompile(`^arn:[a-z-]+:s3:::[^/]+/.+$`)
	rolePattern   = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/.+$`)
)

// Prepare validates a definition as it was sent, and fills in what ECS fills in. The definition is changed in place.
func Prepare(d *ecs.TaskDefinition) error {
	if err := validateSize(d); err != nil {
		return err
	}
	mirror.DropEmpty(d)
	for _, check := range []func(*ecs.TaskDefinition) error{
		validateTask, validateSizes, validateVolumes, validateContainers, validateFirelens, validateSystemControls, validateAccelerators,
		validateNetwork, validateDependencies, validateFargate,
	} {
		if err := check(d); err != nil {
			return err
		}
	}
	complete(d)
	d.Compatibilities = Compatibilities(d)
	d.RequiresAttributes = RequiresAttributes(d)
	return nil
}

func validateSize(d *ecs.TaskDefinition) error {
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("measure task definition: %w", err)
	}
	if len(body) > maxBytes {
		return refuse("Actual length: '%d'. Max allowed length is '%d' bytes.", len(body), maxBytes)
	}
	return nil
}

// complete fills in ECS's defaults. Clients that compare what they sent with what they get, such as Terraform, know these
// and no others.
func complete(d *ecs.TaskDefinition) {
	if n, ok := ecs.CPUUnits(d.Cpu); ok {
		d.Cpu = strconv.Itoa(int(n))
	}
	if n, ok := ecs.MemoryMiB(d.Memory); ok {
		d.Memory = strconv.Itoa(int(n))
	}
	for i := range d.ContainerDefinitions {
		completeContainer(&d.ContainerDefinitions[i], d.NetworkMode)
	}
}

func completeContainer(c *ecs.ContainerDefinition, mode string) {
	if c.Essential == nil {
		c.Essential = new(bool)
		*c.Essential = true
	}
	for i := range c.PortMappings {
		p := &c.PortMappings[i]
		if p.Protocol == "" {
			p.Protocol = "tcp"
		}
		if p.ContainerPort == nil || p.HostPort != nil && *p.HostPort != 0 {
			continue
		}
		p.HostPort = new(int32)
		if mode == ecs.NetworkAwsvpc || mode == ecs.NetworkHost {
			*p.HostPort = *p.ContainerPort
		}
	}
	if h := c.HealthCheck; h != nil {
		def(&h.Interval, 30)
		def(&h.Timeout, 5)
		def(&h.Retries, 3)
	}
}

func def(p **int32, v int32) {
	if *p == nil {
		*p = &v
	}
}

// Compatibilities are the launch types that a definition can run on, in ECS's order.
func Compatibilities(d *ecs.TaskDefinition) []string {
	var out []string
	if externalReason(d) == "" {
		out = append(out, ecs.LaunchExternal)
	}
	out = append(out, ecs.LaunchEC2)
	if fargateReason(d) == "" {
		out = append(out, ecs.LaunchFargate)
	}
	return out
}

// externalReason says why a definition cannot run on machines outside AWS; "" if it can.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-anywhere.html#ecs-anywhere-considerations
func externalReason(d *ecs.TaskDefinition) string {
	switch {
	case d.NetworkMode == ecs.NetworkAwsvpc:
		return "External launch type does not support network mode 'awsvpc'."
	case d.ProxyConfiguration != nil:
		return "External launch type does not support proxyConfiguration."
	case len(d.InferenceAccelerators) > 0:
		return "External launch type does not support inferenceAccelerators."
	}
	for i := range d.Volumes {
		if d.Volumes[i].EfsVolumeConfiguration != nil {
			return "External launch type does not support EFS volumes."
		}
	}
	return ""
}
