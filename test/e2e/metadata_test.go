package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

const webRole = "arn:aws:iam::000000000000:role/web"

// output is what a task of one container printed, by its json-file log in the data directory.
func (in *installation) output(task types.Task) string {
	in.t.Helper()
	arn := *task.TaskArn
	b, err := os.ReadFile(filepath.Join(in.dir, "node", "agent", "logs", arn[strings.LastIndexByte(arn, '/')+1:]+"."+*task.Containers[0].Name+".json"))
	if err != nil {
		in.t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(b)) {
		var l struct{ Log string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			in.t.Fatalf("%v: %s", err, line)
		}
		text.WriteString(l.Log)
	}
	return text.String()
}

// runOnce runs a task of one container to its end and gives it with its output.
func (in *installation) runOnce(family string, network types.NetworkMode, role string, c types.ContainerDefinition, volumes ...types.Volume) (types.Task, string) {
	in.t.Helper()
	c.Name, c.Image, c.Memory = aws.String("c"), aws.String("roadstead/busybox:latest"), aws.Int32(64)
	def := &ecs.RegisterTaskDefinitionInput{Family: &family, NetworkMode: network, ContainerDefinitions: []types.ContainerDefinition{c}, Volumes: volumes}
	if role != "" {
		def.TaskRoleArn = &role
	}
	if _, err := in.ECS.RegisterTaskDefinition(in.t.Context(), def); err != nil {
		in.t.Fatal(err)
	}
	task := in.wait(in.runTask(family), "STOPPED")
	return task, in.output(task)
}

// TestMetadata asks from inside of containers, on the bridge and on the host's network.
func TestMetadata(t *testing.T) {
	in := up(t)
	for _, network := range []types.NetworkMode{types.NetworkModeBridge, types.NetworkModeHost} {
		task, text := in.runOnce("ask-"+string(network), network, webRole, types.ContainerDefinition{
			Command: []string{"sh", "-c", `until wget -qO- $ECS_CONTAINER_METADATA_URI_V4 | grep -q '"KnownStatus":"RUNNING"'; do sleep 0.1; done
				wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task && echo && wget -qO- $ECS_CONTAINER_METADATA_URI_V4/stats && echo &&
				wget -qO- ${AWS_CONTAINER_CREDENTIALS_FULL_URI:-http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI} && echo &&
				wget -qO- $ECS_AGENT_URI/task-protection/v1/state`},
		})
		lines := strings.Split(text, "\n")
		if len(lines) != 4 || aws.ToInt32(task.Containers[0].ExitCode) != 0 {
			t.Errorf("%s: exit %v: %s", network, aws.ToInt32(task.Containers[0].ExitCode), text)
			continue
		}
		var doc struct {
			TaskARN    string
			Containers []struct {
				DockerID    string `json:"DockerId"`
				KnownStatus string
				Networks    []struct{ IPv4Addresses []string }
			}
		}
		decode(t, lines[0], &doc)
		if doc.TaskARN != *task.TaskArn || doc.Containers[0].DockerID != *task.Containers[0].RuntimeId || doc.Containers[0].KnownStatus != "RUNNING" ||
			(network == types.NetworkModeBridge) != (len(doc.Containers[0].Networks[0].IPv4Addresses) == 1) {
			t.Errorf("%s: %s", network, lines[0])
		}
		var stats struct {
			Memory struct{ Usage, Limit uint64 } `json:"memory_stats"`
		}
		decode(t, lines[1], &stats)
		if stats.Memory.Usage == 0 || stats.Memory.Limit != 64<<20 {
			t.Errorf("%s: %s", network, lines[1])
		}
		var credentials struct{ RoleArn, AccessKeyID, Token string }
		decode(t, lines[2], &credentials)
		if credentials.RoleArn != webRole || !strings.HasPrefix(credentials.AccessKeyID, "ASIA") || credentials.Token == "" {
			t.Errorf("%s: %s", network, lines[2])
		}
		var protection struct{ Failure struct{ Reason string } }
		decode(t, lines[3], &protection)
		if protection.Failure.Reason != "TASK_NOT_VALID" {
			t.Errorf("%s: a task of no service: %s", network, lines[3])
		}
	}
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Errorf("%v: %s", err, text)
	}
}

// TestTaskRole runs a program with an AWS SDK that is told nothing: it has its task's role, and no more than that.
func TestTaskRole(t *testing.T) {
	probe := filepath.Join(t.TempDir(), "probe")
	build := exec.Command("go", "build", "-o", probe, "./probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in := up(t)
	task, text := in.runOnce("probe", types.NetworkModeHost, webRole, types.ContainerDefinition{
		Command: []string{"/probe/probe"}, Environment: []types.KeyValuePair{{Name: aws.String("AWS_ENDPOINT_URL"), Value: aws.String("http://" + in.addr)}},
		MountPoints: []types.MountPoint{{SourceVolume: aws.String("probe"), ContainerPath: aws.String("/probe"), ReadOnly: aws.Bool(true)}},
	}, types.Volume{Name: aws.String("probe"), Host: &types.HostVolumeProperties{SourcePath: aws.String(filepath.Dir(probe))}})
	arn := *task.TaskArn
	session := "arn:aws:sts::000000000000:assumed-role/web/" + arn[strings.LastIndexByte(arn, '/')+1:]
	if !strings.Contains(text, "I am "+session+"\n") || !strings.Contains(text, "AccessDeniedException") || aws.ToInt32(task.Containers[0].ExitCode) != 0 {
		t.Errorf("exit %d: %s", aws.ToInt32(task.Containers[0].ExitCode), text)
	}
}
