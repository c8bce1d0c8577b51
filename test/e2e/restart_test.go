package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestRestartPolicy: an essential container that has run for the least time that ECS allows, over the agent's death, is
// started again as it was. It ends its task when it ends sooner. It takes a good minute, as that is the least time.
func TestRestartPolicy(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	in := up(t)
	in.register("again", types.NetworkModeBridge, types.ContainerDefinition{
		Name: aws.String("c"), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}},
		Command: []string{"sh", "-c", `echo run >> /runs; echo run $(wc -l < /runs) in $(ip -4 -o addr show eth0 | grep -o 'inet [0-9.]*')
			test $(wc -l < /runs) = 1 && sleep 61 && exit 3
			wget -qO- $ECS_CONTAINER_METADATA_URI_V4; exit 4`},
		RestartPolicy: &types.ContainerRestartPolicy{Enabled: aws.Bool(true), RestartAttemptPeriod: aws.Int32(60), IgnoredExitCodes: []int32{0}},
	})
	arn := in.runTask("again")
	before := in.wait(arn, "RUNNING")
	in.kill()
	in.start()
	within(t, 2*startTimeout, "the end of the task", func() bool { return *in.describe(arn).LastStatus == "STOPPED" })
	task := in.describe(arn)
	text := in.output(task)
	if c := task.Containers[0]; aws.ToInt32(c.ExitCode) != 4 || *c.RuntimeId != *before.Containers[0].RuntimeId || task.StopCode != types.TaskStopCodeEssentialContainerExited {
		t.Errorf("exit code %d, %s, %s: %s", aws.ToInt32(c.ExitCode), task.StopCode, *task.StoppedReason, text)
	}
	lines := strings.SplitN(text, "\n", 3)
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "run 1 in inet 1") || lines[1] != strings.Replace(lines[0], "run 1", "run 2", 1) || !strings.Contains(lines[2], `"RestartCount":1,`) {
		t.Errorf("the output is %s", text)
	}
}
