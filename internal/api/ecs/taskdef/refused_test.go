package taskdef_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/api/ecs/taskdef"
	"roadstead.dev/roadstead/internal/fault"
)

const awsvpc = `{"networkMode":"awsvpc","containerDefinitions":[{"name":"a","image":"i","memory":4,%}]}`

// TestRefusedMore holds texts that ECS's users report, beside those of TestRefused.
func TestRefusedMore(t *testing.T) {
	efs := `{"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1",%}}]}`
	port := `{"containerDefinitions":[{"name":"a","image":"i","memory":4,"portMappings":[{"containerPortRange":"10-20"},%]}]}`
	for _, c := range []struct{ definition, want string }{
		{`{"ephemeralStorage":{"sizeInGiB":201}}`, "EphemeralStorage size should be at most 200."},
		{`{"requiresCompatibilities":["EC2"],"ephemeralStorage":{"sizeInGiB":30}}`, "Tasks using the EC2 launch type do not support EphemeralStorage."},
		{`{"runtimePlatform":{"operatingSystemFamily":"WINDOWS_SERVER_3000"}}`, "Invalid 'operatingSystemFamily' setting for runtimePlatform: WINDOWS_SERVER_3000."},
		{`{"networkMode":"awsvpc","proxyConfiguration":{"containerName":"p"}}`, "Proxy container [p] does not exist"},
		{in(efs, `"transitEncryptionPort":1`), "TransitEncryptionPort requires that TransitEncryption is enabled."},
		{in(efs, `"transitEncryption":"x"`), "Invalid 'transitEncryption' setting for EFSVolumeConfiguration: x."},
		{in(efs, `"transitEncryption":"ENABLED","transitEncryptionPort":65536`), "Invalid 'transitEncryptionPort' setting for EFSVolumeConfiguration."},
		{in(efs, `"authorizationConfig":{"iam":"ENABLED"}`), "EFS IAM authorization requires TransitEncryption to be enabled."},
		{in(efs, `"authorizationConfig":{"iam":"x"}`), "Invalid 'iam' setting for EFSAuthorizationConfig: x."},
		{in(efs, `"authorizationConfig":{"accessPointId":"fsap-1"}`), "EFS access points require TransitEncryption to be enabled."},
		{in(efs, `"transitEncryption":"ENABLED","rootDirectory":"/x","authorizationConfig":{"accessPointId":"fsap-1"}`),
			`When using an EFS access point, the root directory must either be set to "/" or be omitted.`},
		{`{"volumes":[{"name":"v","configuredAtLaunch":true}]}`, "Volumes [v] are not referenced by any of the containers"},
		{`{"volumes":[{"name":"v","configuredAtLaunch":true,"host":{"sourcePath":"/x"}}]}`, "Volume 'v' has more than one configuration."},
		{`C {"volumesFrom":[{"sourceContainer":"b"}]}`, "Invalid 'volumesFrom' setting. Unknown container: 'b'"},
		{in(port, `{"containerPortRange":"20-30"}`), "A container port is used multiple times in task."},
		{`C {"portMappings":[{"containerPortRange":"1-2","containerPort":1}]}`, "You cannot specify both single port and port range."},
		{`C {"portMappings":[{"containerPortRange":"9-9"}]}`, "Invalid 'containerPortRange' setting for container 'a'."},
		{`C {"portMappings":[{"containerPortRange":"1-65536"}]}`, "Invalid 'containerPortRange' setting for container 'a'."},
		{`C {"portMappings":[` + strings.Repeat(`{"containerPortRange":"1-2"},`, 100) + `{"containerPortRange":"1-2"}]}`, "at most 100 port ranges"},
		{`C {"portMappings":[{"containerPort":1,"hostPort":53,"protocol":"udp"},{"containerPort":2,"hostPort":53,"protocol":"udp"}]}`, "UDP host port '53' is mapped multiple times in task."},
		{in(awsvpc, `"portMappings":[{"containerPort":80},{"containerPort":80}]`), "TCP host port '80' is mapped multiple times in task."},
		{in(awsvpc, `"portMappings":[{"containerPort":80,"hostPort":0}]`), "When networkMode=awsvpc, the host ports and container ports in port mappings must match."},
		{in(awsvpc, `"disableNetworking":true`), "Disable Networking is not supported on container when networkMode=awsvpc."},
		{in(awsvpc, `"hostname":"h"`), "hostname is not supported on container when networkMode=awsvpc."},
		{in(awsvpc, `"extraHosts":[{"hostname":"h","ipAddress":"1.2.3.4"}]`), "Extra hosts are not supported on container when networkMode=awsvpc."},
		{`C {"ulimits":[{"name":"nofile","softLimit":2,"hardLimit":1}]}`, "Soft limit exceeds hard limit for ulimit nofile"},
		{`C {"ulimits":[{"name":"nofile","softLimit":-1,"hardLimit":1}]}`, "Soft limit exceeds hard limit for ulimit nofile"},
		{`C {"environmentFiles":[` + strings.Repeat(`{"type":"s3","value":"arn:aws:s3:::b/x.env"},`, 10) + `{"type":"s3"}]}`, "The maximum number of environment files was exceeded."},
		{`C {"linuxParameters":{"tmpfs":[{"containerPath":"/x","size":1,"mountOptions":["x"]}]}}`, "Invalid 'tmpfs' setting for container 'a'."},
		{`C {"linuxParameters":{"devices":[{"hostPath":"/x","permissions":["x"]}]}}`, "Invalid 'devices' setting for container 'a'."},
		{`C {"resourceRequirements":[{"type":"InferenceAccelerator","value":"d"}]}`, "Unknown inference accelerator: 'd'"},
		{`{"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":4,"systemControls":[{"namespace":"net.core.somaxconn","value":"1"}]}]}`,
			"'net.core.somaxconn' is not supported when networkMode=host."},
		{`{"ipcMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":4,"systemControls":[{"namespace":"kernel.shmmax","value":"1"}]}]}`,
			"'kernel.shmmax' is not supported when ipcMode=host."},
		{`{"containerDefinitions":[{"name":"a","image":"i","memory":4,"firelensConfiguration":{"type":"fluentbit","options":{"config-file-type":"s3","config-file-value":"s3://b/x"}},"logConfiguration":{"logDriver":"awsfirelens"}}]}`, "Invalid arn syntax."},
	} {
		refused(t, c.definition, c.want)
	}
}

// TestRefusedOnFargate holds what Fargate lacks.
func TestRefusedOnFargate(t *testing.T) {
	container := func(part string) string {
		return in(fargate, `"containerDefinitions":[{"name":"a","image":"i",`+part+`}]`)
	}
	const no = "Fargate compatible task definitions do not support "
	for _, c := range []struct{ definition, want string }{
		{in(fargate, `"pidMode":"host"`), "Tasks using the Fargate launch type do not support pidMode 'host'"},
		{in(fargate, `"ipcMode":"task"`), "Tasks using the Fargate launch type do not support ipcMode."},
		{in(fargate, `"placementConstraints":[{"type":"memberOf","expression":"attribute:a exists"}]`), no + "constraints"},
		{in(fargate, `"inferenceAccelerators":[{"deviceName":"d","deviceType":"t"}]`), no + "inferenceAccelerators"},
		{in(fargate, `"volumes":[{"name":"v","dockerVolumeConfiguration":{"scope":"task"}}]`), no + "dockerVolumeConfiguration"},
		{container(`"linuxParameters":{"devices":[{"hostPath":"/x"}]}`), no + "devices"},
		{container(`"linuxParameters":{"sharedMemorySize":1}`), no + "sharedMemorySize"},
		{container(`"linuxParameters":{"tmpfs":[{"containerPath":"/x","size":1}]}`), no + "tmpfs"},
		{container(`"linuxParameters":{"maxSwap":1}`), no + "maxSwap"},
		{container(`"linuxParameters":{"swappiness":1}`), no + "swappiness"},
		{container(`"linuxParameters":{"capabilities":{"add":["NET_ADMIN"]}}`), "NET_ADMIN is not allowed on Fargate."},
		{container(`"dockerSecurityOptions":["no-new-privileges"]`), no + "dockerSecurityOptions"},
		{container(`"resourceRequirements":[{"type":"GPU","value":"1"}]`), "Tasks using the Fargate launch type do not support GPU resource requirements"},
		{container(`"logConfiguration":{"logDriver":"json-file"}`), "json-file is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]"},
		{container(`"stopTimeout":121`), "Invalid 'stopTimeout' setting for container 'a'."},
		{container(`"startTimeout":1`), "Invalid 'startTimeout' setting for container 'a'."},
		{container(`"firelensConfiguration":{"type":"fluentbit","options":{"config-file-type":"s3","config-file-value":"arn:aws:s3:::b/x"}},"logConfiguration":{"logDriver":"awsfirelens"}`),
			"Fargate launch type does not support FirelensConfiguration config file from 's3'"},
	} {
		refused(t, c.definition, c.want)
	}
}

func refused(t *testing.T, definition, want string) {
	t.Helper()
	err := taskdef.Prepare(read(t, definition))
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.Client || !strings.Contains(e.Message, want) {
		t.Errorf("%.120s\n got %v\nwant %s", definition, err, want)
	}
}

// TestFargateSizes: the bounds of each cpu size, and what is beside them.
func TestFargateSizes(t *testing.T) {
	for _, c := range []struct {
		cpu, memory int32
		fits        bool
	}{
		{256, 512, true}, {256, 1024, true}, {256, 1536, false}, {256, 2048, true}, {256, 3072, false},
		{512, 512, false}, {512, 1024, true}, {512, 4096, true}, {512, 5120, false},
		{1024, 1024, false}, {1024, 2048, true}, {1024, 8192, true}, {1024, 9216, false},
		{2048, 4096, true}, {2048, 16384, true}, {2048, 16385, false},
		{4096, 8192, true}, {4096, 30720, true}, {4096, 31744, false},
		{8192, 16384, true}, {8192, 17408, false}, {8192, 20480, true}, {8192, 61440, true}, {8192, 65536, false},
		{16384, 32768, true}, {16384, 36864, false}, {16384, 122880, true}, {16384, 131072, false},
		{32768, 61440, true}, {32768, 122880, true}, {32768, 249856, true}, {32768, 65536, false},
		{128, 512, false}, {300, 512, false}, {65536, 249856, false},
	} {
		if got := taskdef.FitsFargate(c.cpu, c.memory); got != c.fits {
			t.Errorf("%d cpu units and %d MiB: fits is %t", c.cpu, c.memory, got)
		}
	}
}

// TestTaken: what looks odd and is right.
func TestTaken(t *testing.T) {
	for _, definition := range []string{
		`C {"portMappings":[{"containerPort":53,"hostPort":53},{"containerPort":53,"hostPort":53,"protocol":"udp"}]}`,
		in(awsvpc, `"portMappings":[{"containerPort":53,"name":"a"},{"containerPort":53,"name":"b","protocol":"udp"}]`),
		`C {"portMappings":[{"containerPortRange":"10-20"},{"containerPortRange":"10-20","protocol":"udp"}]}`,
		`C {"ulimits":[{"name":"memlock","softLimit":-1,"hardLimit":-1}]}`,
		`C {"linuxParameters":{"tmpfs":[{"containerPath":"/x","size":1,"mountOptions":["rw","mode=755"]}]}}`,
		`{"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":4,"portMappings":[{"containerPort":80,"hostPort":0}]}]}`,
		`{"volumes":[{"name":"v","configuredAtLaunch":true}],"containerDefinitions":[{"name":"a","image":"i","memory":4,"mountPoints":[{"sourceVolume":"v","containerPath":"/x"}]}]}`,
		in(fargate, `"cpu":"32 vCPU","memory":"244 GB","ephemeralStorage":{"sizeInGiB":200}`),
		in(fargate, `"containerDefinitions":[{"name":"a","image":"i","stopTimeout":120,"startTimeout":2,"linuxParameters":{"initProcessEnabled":true,"capabilities":{"add":["SYS_PTRACE"],"drop":["NET_RAW"]}}}]`),
	} {
		if err := taskdef.Prepare(read(t, definition)); err != nil {
			t.Errorf("%s: %v", definition, err)
		}
	}
}

// TestListed: a definition as ECS's console registers it requires what ECS describes of it.
// The list is that of a definition described by AWS in 2025.
func TestListed(t *testing.T) {
	d := read(t, in(fargate, `"executionRoleArn":"e","taskRoleArn":"r","runtimePlatform":{"cpuArchitecture":"X86_64","operatingSystemFamily":"LINUX"},
"containerDefinitions":[{"name":"a","image":"i","portMappings":[{"containerPort":80,"name":"a-80-tcp","appProtocol":"http"}],
"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"us-east-1","awslogs-create-group":"true"}}}]`))
	if err := taskdef.Prepare(d); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range taskdef.Listed(d.RequiresAttributes) {
		got = append(got, a.Name)
	}
	if diff := cmp.Diff([]string{
		"com.amazonaws.ecs.capability.docker-remote-api.1.18",
		"com.amazonaws.ecs.capability.docker-remote-api.1.19",
		"com.amazonaws.ecs.capability.docker-remote-api.1.29",
		"com.amazonaws.ecs.capability.logging-driver.awslogs",
		"com.amazonaws.ecs.capability.task-iam-role",
		"ecs.capability.execution-role-awslogs",
		"ecs.capability.task-eni",
	}, got); diff != "" {
		t.Error(diff)
	}
	if len(taskdef.Listed(nil)) != 0 {
		t.Error("there is something of nothing")
	}
}
