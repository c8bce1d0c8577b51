package agent

import "roadstead.dev/roadstead/internal/ecs"

// simulated are the capabilities of an agent that runs nothing: all that a valid Linux definition can ask for.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-capabilities.html
var simulated = []string{
	"com.amazonaws.ecs.capability.apparmor",
	"com.amazonaws.ecs.capability.ecr-auth",
	"com.amazonaws.ecs.capability.logging-driver.awsfirelens",
	"com.amazonaws.ecs.capability.logging-driver.awslogs",
	"com.amazonaws.ecs.capability.logging-driver.fluentd",
	"com.amazonaws.ecs.capability.logging-driver.gelf",
	"com.amazonaws.ecs.capability.logging-driver.journald",
	"com.amazonaws.ecs.capability.logging-driver.splunk",
	"com.amazonaws.ecs.capability.logging-driver.syslog",
	"com.amazonaws.ecs.capability.selinux",
	"com.amazonaws.ecs.capability.task-iam-role",
	"com.amazonaws.ecs.capability.task-iam-role-network-host",
	"ecs.capability.aws-appmesh",
	"ecs.capability.docker-plugin.local",
	"ecs.capability.efs",
	"ecs.capability.efsAuth",
	"ecs.capability.env-files.s3",
	"ecs.capability.execution-role-awslogs",
	"ecs.capability.execution-role-ecr-pull",
	"ecs.capability.fault-injection",
	"ecs.capability.firelens.fluentbit",
	"ecs.capability.firelens.fluentd",
	"ecs.capability.firelens.options.config.file",
	"ecs.capability.firelens.options.config.s3",
	"ecs.capability.fsxWindowsFileServer",
	"ecs.capability.gmsa",
	"ecs.capability.logging-driver.awsfirelens.log-driver-buffer-limit",
	"ecs.capability.network.container-port-range",
	"ecs.capability.private-registry-authentication.secretsmanager",
	"ecs.capability.secrets.asm.bootstrap.log-driver",
	"ecs.capability.secrets.asm.environment-variables",
	"ecs.capability.secrets.ssm.bootstrap.log-driver",
	"ecs.capability.secrets.ssm.environment-variables",
	"ecs.capability.storage.ebs-task-volume-attach",
	"ecs.capability.storage.s3-files",
	"ecs.capability.task-eia",
	"ecs.capability.task-eni",
	"roadstead.capability.fargate",
}

// SimulatedAttributes are those that an agent with Config.Simulated registers with.
func SimulatedAttributes() []ecs.Attribute { return (&Config{Simulated: true}).capabilities() }
