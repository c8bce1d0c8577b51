package taskdef_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/api/ecs/taskdef"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
)

// read makes a definition of JSON in ECS's words. One that is not a whole definition has a valid container added, and one
// container alone is put into a definition.
func read(t testing.TB, text string) *ecs.TaskDefinition {
	t.Helper()
	d := &ecs.TaskDefinition{Family: "f"}
	if strings.HasPrefix(text, "C ") {
		c := ecs.ContainerDefinition{Name: "a", Image: "i", Memory: new(int32)}
		*c.Memory = 64
		if err := json.Unmarshal([]byte(text[2:]), &c); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		d.ContainerDefinitions = []ecs.ContainerDefinition{c}
		return d
	}
	if !strings.Contains(text, "containerDefinitions") {
		memory := int32(64)
		d.ContainerDefinitions = []ecs.ContainerDefinition{{Name: "a", Image: "i", Memory: &memory}}
	}
	if err := json.Unmarshal([]byte(text), d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

const (
	// two has a container b that is not essential, for dependencies.
	two     = `{"containerDefinitions":[{"name":"a","image":"i","memory":64,%},{"name":"b","image":"i","memory":64,"essential":false}]}`
	fargate = `{"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512",%}`
)

func in(frame, part string) string { return strings.Replace(frame, "%", part, 1) }

func TestRefused(t *testing.T) {
	for _, c := range []struct{ definition, want string }{
		{`{"family":""}`, "Family should not be null or empty."},
		{`{"family":"a b"}`, "Family contains invalid characters."},
		{`{"family":"` + strings.Repeat("a", 256) + `"}`, "Family is longer than 255."},
		{`{"containerDefinitions":[]}`, "Container list cannot be empty."},
		{`{"containerDefinitions":[` + strings.Repeat(`{"name":"a"},`, 10) + `{"name":"a"}]}`, "Too many containers."},
		{`C {"command":["` + strings.Repeat("x", 65536) + `"]}`, "Max allowed length is '65536' bytes."},
		{`{"networkMode":"x"}`, "Invalid 'networkMode' setting for task: x."},
		{`{"pidMode":"x"}`, "Invalid 'pidMode' setting for task: x."},
		{`{"requiresCompatibilities":["x"]}`, "Invalid 'requiresCompatibilities' setting for task: x."},
		{`{"taskRoleArn":"arn:x"}`, "Role is not valid"},
		{`{"cpu":"x"}`, "Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."},
		{`{"cpu":"64"}`, "Invalid 'cpu' setting for task."},
		{`{"memory":"-1"}`, "Invalid 'memory' setting for task."},
		{`{"memory":"32"}`, "Invalid setting for container 'a'. The 'memory' setting for container is greater than for the task."},
		{`{"cpu":"128","containerDefinitions":[{"name":"a","image":"i","memory":4,"cpu":129}]}`, "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."},
		{`{"memory":"100","containerDefinitions":[{"name":"a","image":"i","memory":60},{"name":"b","image":"i","memory":60}]}`, "The sum of all container 'memory' values"},
		{`{"ephemeralStorage":{"sizeInGiB":20}}`, "EphemeralStorage size should be at least 21."},
		{`{"runtimePlatform":{"cpuArchitecture":"x"}}`, "Invalid 'cpuArchitecture' setting"},
		{`{"placementConstraints":[{"type":"distinctInstance"}]}`, "constraint.type 'distinctInstance' is not supported."},
		{`{"placementConstraints":[{"type":"memberOf","expression":"attribute:a =="}]}`, "Invalid expression at offset 14: expected a value, found the end."},
		{`{"proxyConfiguration":{"containerName":"a"}}`, "Proxy configuration is only supported when networkMode=awsvpc."},
		{`{"volumes":[{"name":""}]}`, "Volume.name should not be null or empty."},
		{`{"volumes":[{"name":"v"},{"name":"v"}]}`, "Volume names must be unique within a Task Definition."},
		{`{"volumes":[{"name":"v","host":{},"efsVolumeConfiguration":{"fileSystemId":"x"}}]}`, "Volume 'v' has more than one configuration."},
		{`{"volumes":[{"name":"v","dockerVolumeConfiguration":{"autoprovision":true}}]}`, "Invalid 'autoprovision' setting for volume 'v'."},
		{`{"volumes":[{"name":"v","efsVolumeConfiguration":{}}]}`, "EFSVolumeConfiguration.fileSystemId should not be null or empty."},
		{`C {"name":""}`, "Container.name should not be null or empty."},
		{`C {"name":"a b"}`, "Container.name contains invalid characters."},
		{`{"containerDefinitions":[{"name":"a","image":"i","memory":4},{"name":"a","image":"i","memory":4}]}`, "Container names must be unique within a task definition."},
		{`C {"image":""}`, "Container.image should not be null or empty."},
		{`C {"image":"$IMAGE"}`, "Container.image contains invalid characters."},
		{`C {"memory":null}`, "Invalid setting for container 'a'. At least one of 'memory' or 'memoryReservation' must be specified."},
		{`C {"memory":0}`, "Invalid 'memory' setting for container 'a'."},
		{`C {"cpu":-1}`, "Invalid 'cpu' setting for container 'a'."},
		{`C {"memoryReservation":65}`, "Invalid setting for container 'a'. 'memory' must be greater than or equal to 'memoryReservation'."},
		{`C {"essential":false}`, "Task definition doesn't have any essential container"},
		{`C {"portMappings":[{}]}`, "Invalid 'containerPort' setting for container 'a'."},
		{`C {"portMappings":[{"containerPort":70000}]}`, "Invalid 'containerPort' setting for container 'a'."},
		{`C {"portMappings":[{"containerPort":1,"hostPort":-1}]}`, "Invalid 'hostPort' setting for container 'a'."},
		{`C {"portMappings":[{"containerPort":1,"protocol":"x"}]}`, "Invalid 'protocol' setting for container 'a'."},
		{`C {"portMappings":[{"containerPort":1,"hostPort":80},{"containerPort":2,"hostPort":80}]}`, "TCP host port '80' is mapped multiple times in task."},
		{`C {"portMappings":[{"containerPort":1,"name":"p"},{"containerPort":2,"name":"p"}]}`, "Port mapping names must be unique within a Task Definition."},
		{`C {"portMappings":[{"containerPortRange":"10-9"}]}`, "Invalid 'containerPortRange' setting for container 'a'."},
		{`{"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":4,"portMappings":[{"containerPort":1,"hostPort":2}]}]}`,
			"When networkMode=host, the host ports and container ports in port mappings must match."},
		{`{"networkMode":"awsvpc","containerDefinitions":[{"name":"a","image":"i","memory":4,"portMappings":[{"containerPort":1,"hostPort":2}]}]}`,
			"When networkMode=awsvpc, the host ports and container ports in port mappings must match."},
		{`{"networkMode":"none","containerDefinitions":[{"name":"a","image":"i","memory":4,"portMappings":[{"containerPort":1}]}]}`,
			"Port mappings are not supported when networkMode=none."},
		{`{"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":4,"links":["b"]}]}`, "Links are not supported when networkMode=host."},
		{`C {"links":["b"]}`, "Container 'b' does not exist."},
		{`C {"links":["a"]}`, "Container links should not have a cycle"},
		{`C {"mountPoints":[{"sourceVolume":"v","containerPath":"/x"}]}`, "Unknown volume 'v'."},
		{`C {"volumesFrom":[{"sourceContainer":"a"}]}`, "Invalid 'volumesFrom' setting for container 'a'."},
		{`C {"dependsOn":[{"containerName":"x","condition":"START"}]}`, "Cannot depend on container + 'x' because it does not exist"},
		{`C {"dependsOn":[{"containerName":"a","condition":"START"}]}`, "Container dependencies should not have a cycle"},
		{in(two, `"dependsOn":[{"containerName":"b","condition":"x"}]`), "Invalid 'condition' setting for container 'a'."},
		{in(two, `"dependsOn":[{"containerName":"b","condition":"HEALTHY"}]`), "A dependency container with HEALTHY condition must have health check configured"},
		{`{"containerDefinitions":[{"name":"a","image":"i","memory":4,"dependsOn":[{"containerName":"b","condition":"SUCCESS"}]},{"name":"b","image":"i","memory":4}]}`,
			"A dependency container with SUCCESS or COMPLETE condition cannot be an essential container"},
		{`C {"healthCheck":{}}`, "HealthCheck.command should not be null or empty."},
		{`C {"healthCheck":{"command":["CMD"],"interval":1}}`, "'interval' must be between 5 and 300."},
		{`C {"ulimits":[{"name":"x"}]}`, "Unrecognized ulimit name x"},
		{`C {"stopTimeout":-1}`, "Invalid 'stopTimeout' setting for container 'a'."},
		{`C {"resourceRequirements":[{"type":"GPU","value":"x"}]}`, "Invalid 'resourceRequirements' setting for container 'a'."},
		{`C {"restartPolicy":{}}`, "'enabled' must be specified."},
		{`C {"restartPolicy":{"enabled":true,"restartAttemptPeriod":1}}`, "the 'restartAttemptPeriod' setting for container 'a' must be between 60 and 1800"},
		{`C {"linuxParameters":{"tmpfs":[{"containerPath":"/x"}]}}`, "Invalid 'tmpfs' setting for container 'a'."},
		{`C {"linuxParameters":{"swappiness":101}}`, "Invalid 'swappiness' setting for container 'a'."},
		{`C {"logConfiguration":{"logDriver":"x"}}`, "Invalid 'logDriver' setting for container 'a'."},
		{`C {"logConfiguration":{"logDriver":"awslogs"}}`, "Log driver awslogs requires options: awslogs-region, awslogs-group"},
		{`C {"logConfiguration":{"logDriver":"awsfirelens"}}`, "When awsfirelens log driver is specified in log configuration, a firelens configuration object must be configured in one of the containers."},
		{`C {"firelensConfiguration":{"type":"fluentbit"}}`, "When a firelensConfiguration object is specified, at least one container has to be configured with the awsfirelens log driver."},
		{`C {"firelensConfiguration":{"type":"x"}}`, "Invalid 'firelensConfiguration' setting for container 'a'."},
		{`{"containerDefinitions":[{"name":"a","image":"i","memory":4,"firelensConfiguration":{"type":"fluentd"},"logConfiguration":{"logDriver":"awsfirelens"}},{"name":"b","image":"i","memory":4,"firelensConfiguration":{"type":"fluentd"}}]}`,
			"Only one container can have a firelensConfiguration object."},
		{`C {"linuxParameters":{"capabilities":{"add":["NET_X"]}}}`, "Invalid 'capabilities' setting for container 'a': NET_X."},
		{`C {"linuxParameters":{"capabilities":{"drop":["CAP_KILL"]}}}`, "Invalid 'capabilities' setting for container 'a': CAP_KILL."},
		{`C {"environmentFiles":[{"type":"s3","value":"arn:aws:s3:::b/x.txt"}]}`, "Invalid 'environmentFiles' setting for container 'a'."},
		{in(fargate, `"ipcMode":"task"`), "Tasks using the Fargate launch type do not support ipcMode."},
		{in(fargate, `"runtimePlatform":{"operatingSystemFamily":"WINDOWS_SERVER_2022_CORE"}`), "No Fargate configuration exists for given values: 256 CPU, 512 memory."},
		{in(fargate, `"containerDefinitions":[{"name":"a","image":"i","linuxParameters":{"capabilities":{"add":["SYS_PTRACE","NET_ADMIN"]}}}]`), "NET_ADMIN is not allowed on Fargate."},
		{`C {"secrets":[{"name":"S","valueFrom":"x"}]}`, "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."},
		{`C {"environment":[{"name":"S"}],"secrets":[{"name":"S","valueFrom":"x"}]}`, "The secret name must be unique"},
		{`C {"environmentFiles":[{"type":"s3","value":"y"}]}`, "Invalid arn syntax."},
		{`C {"environmentFiles":[{"type":"x","value":"arn:aws:s3:::b/x.env"}]}`, "Invalid 'environmentFiles' setting for container 'a'."},
		{`{"requiresCompatibilities":["FARGATE"]}`, "Fargate only supports network mode ‘awsvpc’."},
		{`{"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc"}`, "Fargate requires that 'cpu' be defined at the task level."},
		{`{"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"256"}`,
			"No Fargate configuration exists for given values: 256 CPU, 256 memory. See the Amazon ECS documentation for the valid values."},
		{in(fargate, `"containerDefinitions":[{"name":"a","image":"i","privileged":true}]`), "Fargate requires that the 'privileged' setting be 'false'"},
		{in(fargate, `"volumes":[{"name":"v","host":{"sourcePath":"/x"}}]`), "Fargate compatible task definitions do not support sourcePath"},
		{`{"requiresCompatibilities":["EXTERNAL"],"networkMode":"awsvpc"}`, "External launch type does not support network mode 'awsvpc'."},
	} {
		err := taskdef.Prepare(read(t, c.definition))
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != fault.Client || !strings.Contains(e.Message, c.want) {
			t.Errorf("%.80s\n got %v\nwant %s", c.definition, err, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, c := range []struct{ definition, want string }{
		{`C {}`, `{"essential":true,"image":"i","memory":64,"name":"a"}`},
		{`C {"portMappings":[{"containerPort":80}],"dnsServers":[]}`,
			`{"essential":true,"image":"i","memory":64,"name":"a","portMappings":[{"containerPort":80,"hostPort":0,"protocol":"tcp"}]}`},
		{`{"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":64,"portMappings":[{"containerPort":80}]}]}`,
			`{"essential":true,"image":"i","memory":64,"name":"a","portMappings":[{"containerPort":80,"hostPort":80,"protocol":"tcp"}]}`},
		{`C {"healthCheck":{"command":["CMD","x"]},"essential":true,"portMappings":[{"containerPortRange":"1-2"}]}`,
			`{"essential":true,"healthCheck":{"command":["CMD","x"],"interval":30,"retries":3,"timeout":5},"image":"i","memory":64,"name":"a","portMappings":[{"containerPortRange":"1-2","protocol":"tcp"}]}`},
	} {
		d := read(t, c.definition)
		if err := taskdef.Prepare(d); err != nil {
			t.Errorf("%s: %v", c.definition, err)
			continue
		}
		got, err := json.Marshal(d.ContainerDefinitions[0])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s: %s", c.definition, diff)
		}
		again, before := *d, *d
		if err := taskdef.Prepare(&again); err != nil {
			t.Errorf("%s, prepared twice: %v", c.definition, err)
		}
		if diff := cmp.Diff(before, again); diff != "" {
			t.Errorf("%s changes when it is prepared again: %s", c.definition, diff)
		}
	}
	d := read(t, `{"cpu":"1 vCPU","memory":"2GB"}`)
	if err := taskdef.Prepare(d); err != nil || d.Cpu != "1024" || d.Memory != "2048" {
		t.Errorf("%v: cpu %s, memory %s", err, d.Cpu, d.Memory)
	}
}

func TestCompatibilities(t *testing.T) {
	for _, c := range []struct {
		definition string
		want       []string
	}{
		{`{}`, []string{"EXTERNAL", "EC2"}},
		{`{"networkMode":"awsvpc"}`, []string{"EC2"}},
		{`{"networkMode":"awsvpc","cpu":"1 vCPU","memory":"2GB"}`, []string{"EC2", "FARGATE"}},
	} {
		if got := taskdef.Compatibilities(read(t, c.definition)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.definition, got, c.want)
		}
	}
}

func TestRequiresAttributes(t *testing.T) {
	const docker, capability = "com.amazonaws.ecs.capability.", "ecs.capability."
	for _, c := range []struct {
		definition string
		want       []string
	}{
		{`{}`, nil},
		{`C {"memoryReservation":10}`, []string{docker + "docker-remote-api.1.21"}},
		{`C {"privileged":true}`, []string{docker + "privileged-container"}},
		{`C {"healthCheck":{"command":["CMD"]}}`, []string{docker + "docker-remote-api.1.24", capability + "container-health-check"}},
		{`C {"healthCheck":{"command":["NONE"]}}`, nil},
		{`C {"logConfiguration":{"logDriver":"awslogs"}}`, []string{docker + "docker-remote-api.1.18", docker + "docker-remote-api.1.19", docker + "logging-driver.awslogs"}},
		{`C {"secrets":[{"name":"a","valueFrom":"arn:aws:secretsmanager:x"},{"name":"b","valueFrom":"b"}]}`,
			[]string{capability + "secrets.asm.environment-variables", capability + "secrets.ssm.environment-variables"}},
		{`C {"image":"000000000000.dkr.ecr.us-east-1.amazonaws.com/x"}`, []string{docker + "ecr-auth"}},
		{`C {"logConfiguration":{"logDriver":"awslogs","options":{"mode":"non-blocking","awslogs-create-group":"true"}}}`, []string{docker + "docker-remote-api.1.18",
			docker + "docker-remote-api.1.19", docker + "docker-remote-api.1.28", docker + "docker-remote-api.1.29", docker + "logging-driver.awslogs"}},
		{`C {"firelensConfiguration":{"type":"fluentbit","options":{"config-file-type":"s3"}}}`, []string{capability + "firelens.fluentbit", capability + "firelens.options.config.s3"}},
		{`C {"restartPolicy":{"enabled":true}}`, []string{capability + "container-restart-policy"}},
		{`C {"dependsOn":[{"containerName":"a"}]}`, []string{capability + "container-ordering"}},
		{`{"networkMode":"awsvpc"}`, []string{docker + "docker-remote-api.1.18", capability + "task-eni"}},
		{`{"cpu":"16 vCPU"}`, []string{capability + "increased-task-cpu-limit", capability + "task-cpu-mem-limit"}},
		{`{"networkMode":"host","taskRoleArn":"x"}`, []string{docker + "docker-remote-api.1.17", docker + "task-iam-role", docker + "task-iam-role-network-host"}},
		{`{"pidMode":"task"}`, []string{capability + "pid-ipc-namespace-sharing"}},
		{`{"volumes":[{"name":"v","dockerVolumeConfiguration":{"driver":"x:y"}},{"name":"w","efsVolumeConfiguration":{"transitEncryption":"ENABLED"}}]}`,
			[]string{capability + "docker-plugin.x.y", capability + "efs", capability + "efsAuth"}},
		{`{"runtimePlatform":{"cpuArchitecture":"ARM64","operatingSystemFamily":"LINUX"}}`, []string{"ecs.cpu-architecture=arm64", "ecs.os-family=LINUX"}},
	} {
		var got []string
		for _, a := range taskdef.RequiresAttributes(read(t, c.definition)) {
			name := a.Name
			if a.Value != "" {
				name += "=" + a.Value
			}
			got = append(got, name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.definition, diff)
		}
	}
}

// FuzzPrepare: no definition makes it panic, and what is taken once is taken again, unchanged.
func FuzzPrepare(f *testing.F) {
	f.Add(`{"family":"f","networkMode":"host","cpu":"1 vCPU","containerDefinitions":[{"name":"a","image":"i","memory":64,"portMappings":[{"containerPort":1}],"links":["b"],"dependsOn":[{"containerName":"a","condition":"START"}]}]}`)
	f.Add(in(two, `"dependsOn":[{"containerName":"b","condition":"SUCCESS"}],"mountPoints":[{"sourceVolume":"v"}]`))
	f.Add(in(fargate, `"family":"x","containerDefinitions":[{"name":"a","image":"i","logConfiguration":{"logDriver":"awslogs"}}]`))
	f.Fuzz(func(t *testing.T, text string) {
		d := &ecs.TaskDefinition{}
		if json.Unmarshal([]byte(text), d) != nil || taskdef.Prepare(d) != nil {
			return
		}
		once, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := taskdef.Prepare(d); err != nil {
			t.Fatalf("%s is refused the second time: %v", once, err)
		}
		twice, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if string(once) != string(twice) {
			t.Fatalf("%s becomes %s", once, twice)
		}
	})
}
