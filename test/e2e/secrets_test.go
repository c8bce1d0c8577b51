package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

const executionRole = "arn:aws:iam::000000000000:role/execution"

// TestSecrets: what Secrets Manager and the Parameter Store have comes into a container's environment, and lies nowhere.
func TestSecrets(t *testing.T) {
	in := up(t)
	const word, parameter = "correct-horse-battery", "staple-of-parameters"
	const whole = `{"user":"me","password":"` + word + `","port":5432}`
	arn := in.cli("secretsmanager", "create-secret", "--name", "web/db", "--secret-string", whole, "--query", "ARN", "--output", "text")
	in.cli("ssm", "put-parameter", "--name", "/web/p", "--type", "SecureString", "--value", parameter)
	run := func(role string, secrets ...types.Secret) types.Task {
		t.Helper()
		_, err := in.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
			Family: aws.String("s"), NetworkMode: types.NetworkModeNone, ExecutionRoleArn: aws.String(executionRole), TaskRoleArn: &role,
			ContainerDefinitions: []types.ContainerDefinition{{
				Name: aws.String("c"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32), Secrets: secrets,
				// Only digests are compared, so that the words themselves are in nothing but the secrets.
				Command: []string{"sh", "-c", `is() { test "$(echo -n "$1" | sha256sum)" = "$2  -"; }; is "$PASSWORD" ` + digest(word) + ` && test "$PORT" = 5432 && is "$P" ` + digest(parameter) + ` && is "$ALL" ` + digest(whole) + ` && exit 9`},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return in.wait(in.runTask("s"), "STOPPED")
	}
	secret := func(name, from string) types.Secret { return types.Secret{Name: &name, ValueFrom: &from} }
	task := run(webRole, secret("ALL", arn), secret("PASSWORD", arn+":password::"), secret("PORT", arn+":port:AWSCURRENT:"), secret("P", "/web/p"))
	if aws.ToInt32(task.Containers[0].ExitCode) != 9 {
		t.Errorf("the container did not see its secrets: %+v, %s", task.Containers[0].ExitCode, aws.ToString(task.Containers[0].Reason))
	}
	for name, c := range map[string]struct{ from, want string }{
		"a secret that is not there":    {strings.TrimSuffix(arn, arn[len(arn)-13:]) + "none-AbCdEf", "ResourceNotFoundException"},
		"a member that is not there":    {arn + ":nobody::", "did not contain json key nobody"},
		"a parameter that is not there": {"/web/none", "invalid parameters: /web/none"},
	} {
		task := run(webRole, secret("X", c.from))
		reason := aws.ToString(task.Containers[0].Reason)
		if task.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.HasPrefix(reason, "ResourceInitializationError: unable to pull secrets or registry auth") || !strings.Contains(reason, c.want) {
			t.Errorf("%s: %s, %s", name, task.StopCode, reason)
		}
	}
	in.stop()
	for _, secret := range []string{word, parameter} {
		if strings.Contains(in.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
		in.notStored(secret)
	}
}

func digest(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// notStored looks for a text in every file of the data directory but the images' layers.
func (in *installation) notStored(text string) {
	in.t.Helper()
	err := filepath.WalkDir(in.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "images" {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte(text)) {
			in.t.Errorf("%s has %q", path, text)
		}
		return nil
	})
	if err != nil {
		in.t.Error(err)
	}
}
