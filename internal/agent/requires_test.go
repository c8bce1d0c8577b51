package agent

import (
	"encoding/json"
	"slices"
	"testing"

	"roadstead.dev/roadstead/internal/agent/engine"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/netns"
	"roadstead.dev/roadstead/internal/api/ecs/taskdef"
	"roadstead.dev/roadstead/internal/ecs"
)

// TestAttributesAgreeWithEngine: what the engine refuses, placement has refused before, because the agent lacks an attribute
// that the definition requires; what the engine does, the agent is chosen for. GPUs are left out: these are counted.
func TestAttributesAgreeWithEngine(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"cpu":"512","memory":"512"}`,
		`{"networkMode":"host"}`,
		`{"pidMode":"task"}`,
		`{"ipcMode":"host"}`,
		`{"proxyConfiguration":{"containerName":"a"}}`,
		`{"inferenceAccelerators":[{"deviceName":"d","deviceType":"t"}]}`,
		`{"enableFaultInjection":true}`,
		`{"volumes":[{"name":"v","host":{"sourcePath":"/x"}}]}`,
		`{"volumes":[{"name":"v","dockerVolumeConfiguration":{"scope":"task"}}]}`,
		`{"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1"}}]}`,
		`{"volumes":[{"name":"v","fsxWindowsFileServerVolumeConfiguration":{"fileSystemId":"fs-1"}}]}`,
		`{"volumes":[{"name":"v","s3filesVolumeConfiguration":{"fileSystemArn":"arn:x"}}]}`,
		`{"volumes":[{"name":"v","configuredAtLaunch":true}]}`,
		`C {"privileged":true,"ulimits":[{"name":"nofile","softLimit":1,"hardLimit":2}],"systemControls":[{"namespace":"net.x","value":"1"}]}`,
		`C {"dependsOn":[{"containerName":"b","condition":"START"}]}`,
		`C {"credentialSpecs":["credentialspec:x"]}`,
		`C {"dockerSecurityOptions":["no-new-privileges"]}`,
		`C {"dockerSecurityOptions":["apparmor:x"]}`,
		`C {"environmentFiles":[{"type":"s3","value":"arn:x"}]}`,
		`C {"firelensConfiguration":{"type":"fluentbit"}}`,
		`C {"firelensConfiguration":{"type":"fluentd","options":{"config-file-type":"file","config-file-value":"/x"}}}`,
		`C {"firelensConfiguration":{"type":"fluentd","options":{"config-file-type":"s3","config-file-value":"arn:aws:s3:::b/k"}}}`,
		`C {"logConfiguration":{"logDriver":"awsfirelens","options":{"log-driver-buffer-limit":"1"}}}`,
		`C {"healthCheck":{"command":["CMD","x"]}}`,
		`C {"healthCheck":{"command":["NONE"]}}`,
		`C {"links":["b"]}`,
		`C {"repositoryCredentials":{"credentialsParameter":"x"}}`,
		`C {"resourceRequirements":[{"type":"NeuronDevice","value":"1"}]}`,
		`C {"restartPolicy":{"enabled":true}}`,
		`C {"restartPolicy":{"enabled":false}}`,
		`C {"secrets":[{"name":"S","valueFrom":"x"}]}`,
		`C {"volumesFrom":[{"sourceContainer":"b"}]}`,
		`C {"portMappings":[{"containerPortRange":"1-2"}]}`,
		`C {"logConfiguration":{"logDriver":"json-file"}}`,
		`C {"logConfiguration":{"logDriver":"syslog"}}`,
		`C {"logConfiguration":{"logDriver":"fluentd"}}`,
		`C {"logConfiguration":{"logDriver":"gelf"}}`,
		`C {"logConfiguration":{"logDriver":"splunk"}}`,
		`C {"logConfiguration":{"logDriver":"journald"}}`,
		`C {"logConfiguration":{"logDriver":"awsfirelens"}}`,
		`C {"logConfiguration":{"logDriver":"json-file","secretOptions":[{"name":"S","valueFrom":"x"}]}}`,
		`C {"linuxParameters":{"initProcessEnabled":true,"capabilities":{"add":["NET_ADMIN"]}}}`,
		`C {"linuxParameters":{"devices":[{"hostPath":"/dev/null"}]}}`,
		`C {"linuxParameters":{"maxSwap":1}}`,
		`C {"linuxParameters":{"swappiness":1}}`,
		`C {"linuxParameters":{"sharedMemorySize":1}}`,
		`C {"linuxParameters":{"tmpfs":[{"containerPath":"/x","size":1}]}}`,
	} {
		d := sample(t, text)
		checkAgreement(t, text, d, nil)
	}
	files := &ecs.TaskOverride{ContainerOverrides: []ecs.ContainerOverride{{Name: "a", EnvironmentFiles: []ecs.EnvironmentFile{{Type: "s3"}}}}}
	checkAgreement(t, "environment files of an override", sample(t, `{}`), files)
}

// sample makes a definition of two containers; text with C before it is of the first.
func sample(t *testing.T, text string) *ecs.TaskDefinition {
	d := &ecs.TaskDefinition{ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a"}, {Name: "b"}}}
	var into any = d
	if text[0] == 'C' {
		text, into = text[2:], &d.ContainerDefinitions[0]
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func checkAgreement(t *testing.T, text string, d *ecs.TaskDefinition, o *ecs.TaskOverride) {
	has := (&Config{Network: new(netns.Manager), Logs: logs.New(logs.Config{})}).capabilities()
	var missing []string
	for _, a := range taskdef.RequiresAttributes(d) {
		if !advertises(has, a.Name) {
			missing = append(missing, a.Name)
		}
	}
	for _, name := range d.NativeRequirements(o) {
		if !advertises(has, name) {
			missing = append(missing, name)
		}
	}
	if err := engine.Supports(d, o); (err != nil) != (missing != nil) {
		t.Errorf("%s: the engine says %v, and the agent lacks %q", text, err, missing)
	}
}

func advertises(has []ecs.Attribute, name string) bool {
	return slices.ContainsFunc(has, func(a ecs.Attribute) bool { return a.Name == name })
}
