package taskdef

import "roadstead.dev/roadstead/internal/ecs"

// validateFirelens holds log routers against the containers whose logs they route; the texts about both are ECS's own.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_firelens.html
func validateFirelens(d *ecs.TaskDefinition) error {
	routed, router := false, false
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		routed = routed || c.LogConfiguration != nil && c.LogConfiguration.LogDriver == "awsfirelens"
		f := c.FirelensConfiguration
		if f == nil {
			continue
		}
		kind := f.Options["config-file-type"]
		switch {
		case f.Type != "fluentd" && f.Type != "fluentbit":
			return refuse("Invalid 'firelensConfiguration' setting for container '%s'.", c.Name)
		case router:
			return refuse("Only one container can have a firelensConfiguration object.")
		case kind != "" && kind != "file" && kind != "s3":
			return refuse("Invalid 'config-file-type' option for container '%s'. It must be file or s3.", c.Name)
		case kind == "s3" && !objectPattern.MatchString(f.Options["config-file-value"]):
			return refuse("Invalid arn syntax.")
		}
		router = true
	}
	if routed && !router {
		return refuse("When awsfirelens log driver is specified in log configuration, a firelens configuration object must be configured in one of the containers.")
	}
	if router && !routed {
		return refuse("When a firelensConfiguration object is specified, at least one container has to be configured with the awsfirelens log driver.")
	}
	return nil
}
