package taskdef

import (
	"slices"
	"strconv"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

func validateContainers(d *ecs.TaskDefinition) error {
	names, essential := map[string]bool{}, false
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		switch {
		case c.Name == "":
			return refuse("Container.name should not be null or empty.")
		case len(c.Name) > maxFamily || !namePattern.MatchString(c.Name):
			return refuse("Container.name contains invalid characters.")
		case names[c.Name]:
			return refuse("Container names must be unique within a task definition.")
		case c.Image == "":
			return refuse("Container.image should not be null or empty.")
		case len(c.Image) > maxFamily || !imagePattern.MatchString(c.Image):
			return refuse("Container.image contains invalid characters.")
		}
		names[c.Name] = true
		essential = essential || c.Essential == nil || *c.Essential
		for _, check := range []func(*ecs.ContainerDefinition) error{validateEnvironment, validateHealth, validateLimits, validateLinux, validateLog} {
			if err := check(c); err != nil {
				return err
			}
		}
	}
	if !essential {
		return refuse("Task definition doesn't have any essential container")
	}
	return validateSecrets(d)
}

func validateEnvironment(c *ecs.ContainerDefinition) error {
	for _, e := range c.Environment {
		if e.Name == "" {
			return refuse("Container.environment.name should not be null or empty.")
		}
	}
	if len(c.EnvironmentFiles) > 10 {
		return refuse("The maximum number of environment files was exceeded.")
	}
	for _, f := range c.EnvironmentFiles {
		if !objectPattern.MatchString(f.Value) {
			return refuse("Invalid arn syntax.")
		}
		if f.Type != "s3" || !strings.HasSuffix(f.Value, ".env") {
			return refuse("Invalid 'environmentFiles' setting for container '%s'.", c.Name)
		}
	}
	if r := c.RepositoryCredentials; r != nil && r.CredentialsParameter == "" {
		return refuse("RepositoryCredentials.credentialsParameter should not be null or empty.")
	}
	for _, h := range c.ExtraHosts {
		if h.Hostname == "" || h.IpAddress == "" {
			return refuse("Invalid 'extraHosts' setting for container '%s'.", c.Name)
		}
	}
	return nil
}

func validateSecrets(d *ecs.TaskDefinition) error {
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		seen := map[string]bool{}
		for _, e := range c.Environment {
			seen[e.Name] = true
		}
		for _, s := range c.Secrets {
			switch {
			case s.Name == "" || s.ValueFrom == "":
				return refuse("Container.secrets.name and valueFrom should not be null or empty.")
			case seen[s.Name]:
				return refuse("The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '%s'.", s.Name)
			}
			seen[s.Name] = true
		}
		if len(c.Secrets) > 0 && d.ExecutionRoleArn == "" {
			return refuse("When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.")
		}
	}
	return nil
}

// validateHealth holds a health check against its bounds, in seconds.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
func validateHealth(c *ecs.ContainerDefinition) error {
	h := c.HealthCheck
	if h == nil {
		return nil
	}
	if len(h.Command) == 0 {
		return refuse("HealthCheck.command should not be null or empty.")
	}
	for _, b := range []struct {
		name     string
		value    *int32
		low, top int32
	}{{"interval", h.Interval, 5, 300}, {"timeout", h.Timeout, 2, 120}, {"retries", h.Retries, 1, 10}, {"startPeriod", h.StartPeriod, 0, 300}} {
		if b.value != nil && (*b.value < b.low || *b.value > b.top) {
			return refuse("Invalid 'healthCheck' setting for container '%s'. '%s' must be between %d and %d.", c.Name, b.name, b.low, b.top)
		}
	}
	return nil
}

var ulimitNames = []string{"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}

func validateLimits(c *ecs.ContainerDefinition) error {
	for _, u := range c.Ulimits {
		if !slices.Contains(ulimitNames, u.Name) {
			return refuse("Unrecognized ulimit name %s", u.Name)
		}
		if u.HardLimit != -1 && (u.SoftLimit > u.HardLimit || u.SoftLimit == -1) {
			return refuse("Soft limit exceeds hard limit for ulimit %s", u.Name)
		}
	}
	for _, s := range c.SystemControls {
		if s.Namespace == "" || s.Value == "" {
			return refuse("Invalid 'systemControls' setting for container '%s'.", c.Name)
		}
	}
	for name, t := range map[string]*int32{"startTimeout": c.StartTimeout, "stopTimeout": c.StopTimeout} {
		if t != nil && *t < 0 {
			return refuse("Invalid '%s' setting for container '%s'.", name, c.Name)
		}
	}
	for _, r := range c.ResourceRequirements {
		n, err := strconv.Atoi(r.Value)
		switch r.Type {
		case "GPU", "NeuronDevice":
			if err != nil || n < 1 {
				return refuse("Invalid 'resourceRequirements' setting for container '%s'.", c.Name)
			}
		case "InferenceAccelerator":
		default:
			return refuse("Invalid 'resourceRequirements' setting for container '%s'.", c.Name)
		}
	}
	if v := c.VersionConsistency; v != "" && v != "enabled" && v != "disabled" {
		return refuse("Invalid 'versionConsistency' setting for container '%s'.", c.Name)
	}
	return validateRestart(c)
}

// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerRestartPolicy.html
func validateRestart(c *ecs.ContainerDefinition) error {
	p := c.RestartPolicy
	switch {
	case p == nil:
		return nil
	case p.Enabled == nil:
		return refuse("Invalid 'restartPolicy' setting for container '%s'. 'enabled' must be specified.", c.Name)
	case len(p.IgnoredExitCodes) > 50:
		return refuse("Invalid 'restartPolicy' setting for container '%s'. At most 50 exit codes can be ignored.", c.Name)
	case p.RestartAttemptPeriod != nil && (*p.RestartAttemptPeriod < 60 || *p.RestartAttemptPeriod > 1800):
		return refuse("the 'restartAttemptPeriod' setting for container '%s' must be between 60 and 1800", c.Name)
	}
	return nil
}

var logDrivers = []string{"json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens", "none"}

func validateLog(c *ecs.ContainerDefinition) error {
	l := c.LogConfiguration
	if l == nil {
		return nil
	}
	if !slices.Contains(logDrivers, l.LogDriver) {
		return refuse("Invalid 'logDriver' setting for container '%s'.", c.Name)
	}
	if l.LogDriver == "awslogs" {
		var missing []string
		for _, o := range []string{"awslogs-region", "awslogs-group"} {
			if l.Options[o] == "" {
				missing = append(missing, o)
			}
		}
		if len(missing) > 0 {
			return refuse("Log driver awslogs requires options: %s", strings.Join(missing, ", "))
		}
	}
	for _, s := range l.SecretOptions {
		if s.Name == "" || s.ValueFrom == "" {
			return refuse("LogConfiguration.secretOptions.name and valueFrom should not be null or empty.")
		}
	}
	return nil
}
