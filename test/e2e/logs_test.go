package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/test/forward"
)

// received is what came by the forward protocol.
type received struct {
	mu  sync.Mutex
	all []forward.Record
}

func (r *received) take(record forward.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, record)
}

func (r *received) lines() (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range r.all {
		lines = append(lines, record.Source+" "+record.Log)
	}
	return lines
}

// TestFluentd: what a container writes reaches a forward-protocol receiver whose address is a secret, over a SIGKILL of the agent
// and what is written meanwhile.
func TestFluentd(t *testing.T) {
	in := up(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var got received
	go forward.Serve(ln, got.take, func(err error) { t.Error(err) })
	address := ln.Addr().String()
	in.cli("ssm", "put-parameter", "--name", "/fluentd", "--type", "SecureString", "--value", address)
	secret := func(name, from string) types.Secret { return types.Secret{Name: &name, ValueFrom: &from} }
	_, err = in.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("f"), NetworkMode: types.NetworkModeNone, ExecutionRoleArn: aws.String(executionRole),
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("c"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32),
			Command: []string{"sh", "-c", "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done; echo last >&2"},
			LogConfiguration: &types.LogConfiguration{
				LogDriver: types.LogDriverFluentd, SecretOptions: []types.Secret{secret("fluentd-address", "/fluentd")},
				Options: map[string]string{"tag": "{{.DaemonName}}.{{.ImageName}}", "fluentd-request-ack": "true"},
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	task := in.runTask("f")
	eventually(t, "the first line", func() bool { return len(got.lines()) > 0 })
	in.kill()
	in.start()
	in.wait(task, "STOPPED")
	want := []string{"stdout line 1", "stdout line 2", "stdout line 3", "stdout line 4", "stdout line 5", "stdout line 6", "stderr last"}
	eventually(t, "all lines", func() bool { return slices.Equal(slices.Compact(got.lines()), want) })
	if tag := got.all[0].Tag; tag != "docker.roadstead/busybox:latest" {
		t.Errorf("tag %q", tag)
	}
	in.stop()
	in.notStored(address)
	if strings.Contains(in.log.String(), address) {
		t.Error("the secret address was logged")
	}
}

// TestFireLens: a container's output goes through its task's router, which starts before it and ends after it.
func TestFireLens(t *testing.T) {
	program := filepath.Join(t.TempDir(), "router")
	build := exec.Command("go", "build", "-o", program, "./router")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in := up(t)
	in.cli("ssm", "put-parameter", "--name", "/key", "--type", "SecureString", "--value", "s3cret")
	_, err := in.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("routed"), NetworkMode: types.NetworkModeBridge, ExecutionRoleArn: aws.String(executionRole),
		Volumes: []types.Volume{{Name: aws.String("router"), Host: &types.HostVolumeProperties{SourcePath: aws.String(filepath.Dir(program))}}},
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("router"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(64), Command: []string{"/router/router"},
			FirelensConfiguration: &types.FirelensConfiguration{Type: types.FirelensConfigurationTypeFluentbit},
			MountPoints:           []types.MountPoint{{SourceVolume: aws.String("router"), ContainerPath: aws.String("/router"), ReadOnly: aws.Bool(true)}},
			LogConfiguration:      awslogs("/router"),
		}, {
			Name: aws.String("app"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32),
			Command: []string{"sh", "-c", `echo from the app; echo oh no >&2
				for i in 1 2 3 4 5 6 7 8 9; do printf '\223\243tcp\221\222\000\202\246source\243tcp\243log\245hello\200' | nc $FLUENT_HOST $FLUENT_PORT && break; sleep 1; done
				echo the last line`},
			LogConfiguration: &types.LogConfiguration{
				LogDriver: types.LogDriverAwsfirelens, Options: map[string]string{"Name": "stdout"},
				SecretOptions: []types.Secret{{Name: aws.String("key"), ValueFrom: aws.String("/key")}},
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := in.runTask("routed")
	task := in.wait(arn, "STOPPED")
	id := arn[strings.LastIndex(arn, "/")+1:]
	var got string
	eventually(t, "the router's end", func() bool {
		got = in.events("/router")
		return strings.Contains(got, "router ends")
	})
	for _, want := range []string{
		"app-firelens-" + id + " stdout from the app", "app-firelens-" + id + " stderr oh no", "app-firelens-" + id + " stdout the last line",
		"tcp tcp hello", "secret s3cret", "    unix_path /var/run/fluent.sock", "    key ${key_1}", "    Record ecs_task_arn " + arn, "    Match app-firelens*",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the router does not have %q:\n%s", want, got)
		}
	}
	if strings.Index(got, "the last line") > strings.Index(got, "router ends") {
		t.Error("the router ended before the last line")
	}
	if reason := aws.ToString(task.StoppedReason); !strings.HasPrefix(reason, "Essential container in task exited") {
		t.Errorf("the task stopped: %s", reason)
	}
}
