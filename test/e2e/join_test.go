package e2e

import (
	"bufio"
	"bytes"
	"context"
	endian "encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// process is a program that runs beside the test, and is ended with it.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
}

func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), log: &tail{}, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(os.Environ(), env...), p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("roadstead %v:\n%s", args, p.log)
		}
	})
	return p
}

// end signals the process and waits for its end.
func (p *process) end(s os.Signal) {
	p.cmd.Process.Signal(s)
	<-p.done
}

// says waits until the process has said something, and gives the line.
func (p *process) says(what string) string {
	p.t.Helper()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		for scan := bufio.NewScanner(strings.NewReader(p.log.String())); scan.Scan(); {
			if strings.Contains(scan.Text(), what) {
				return scan.Text()
			}
		}
		select {
		case <-p.done:
			p.t.Fatalf("it ended before it said %q:\n%s", what, p.log)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("it does not say %q:\n%s", what, p.log)
		}
	}
}

// secured is a control plane with TLS at an address beyond the usual one, and a directory for a node.
type secured struct {
	*installation
	server *process
	node   string
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	t.Setenv("AWS_CA_BUNDLE", "") // the profile is to say it, and a shell's would win
	s := &secured{installation: &installation{t: t, dir: tempDir(t)}, node: tempDir(t)}
	s.server = launch(t, nil, "server", "--data-dir", s.dir, "--listen", "127.0.0.2:0", "--tls", "--log-level", "debug")
	s.addr = strings.TrimPrefix(s.server.says("Endpoint: "), "Endpoint: https://")
	s.clients()
	t.Cleanup(func() {
		if out, err := roadstead(t, "destroy", "--data-dir", s.node, "--yes"); err != nil {
			t.Errorf("destroy: %v\n%s", err, out)
		}
	})
	return s
}

// owner runs a command at the server's machine and gives what it says.
func (s *secured) owner(args ...string) string {
	s.t.Helper()
	out, err := roadstead(s.t, append(args, "--data-dir", s.dir)...)
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

// agent starts one in a data directory.
func (s *secured) agent(dir, server, token string) *process {
	s.t.Helper()
	args := []string{"agent", "--data-dir", dir, "--cluster", "edge", "--import", filepath.Join(images, "busybox.tar")}
	var env []string
	if token != "" {
		args = append(args, "--server", "https://"+server)
		env = append(env, "ROADSTEAD_JOIN_TOKEN="+token) // not in the list of processes
	}
	return launch(s.t, env, args...)
}

// refused starts an agent that is expected to end, and gives what it says.
func (s *secured) refused(server, token string) string {
	s.t.Helper()
	p := s.agent(tempDir(s.t), server, token)
	select {
	case <-p.done:
	case <-time.After(startTimeout):
		s.t.Fatalf("it goes on:\n%s", p.log)
	}
	if p.cmd.ProcessState.ExitCode() == 0 {
		s.t.Errorf("it ended well:\n%s", p.log)
	}
	return p.log.String()
}

// instances are the container instances of the cluster.
func (s *secured) instances() []types.ContainerInstance {
	list, err := s.ECS.ListContainerInstances(s.t.Context(), &ecs.ListContainerInstancesInput{Cluster: aws.String("edge")})
	if err != nil || len(list.ContainerInstanceArns) == 0 {
		return nil
	}
	out, err := s.ECS.DescribeContainerInstances(s.t.Context(), &ecs.DescribeContainerInstancesInput{Cluster: aws.String("edge"), ContainerInstances: list.ContainerInstanceArns})
	if err != nil {
		return nil
	}
	return out.ContainerInstances
}

func (s *secured) connected(want bool) types.ContainerInstance {
	s.t.Helper()
	var found types.ContainerInstance
	eventually(s.t, fmt.Sprintf("one instance, connected: %v", want), func() bool {
		list := s.instances()
		if len(list) == 1 {
			found = list[0]
		}
		return len(list) == 1 && list[0].AgentConnected == want
	})
	return found
}

func (s *secured) task(arn string) types.Task {
	s.t.Helper()
	out, err := s.ECS.DescribeTasks(s.t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("edge"), Tasks: []string{arn}})
	if err != nil || len(out.Tasks) != 1 {
		s.t.Fatalf("DescribeTasks: %v, %+v", err, out)
	}
	return out.Tasks[0]
}

// overTLS runs Debian's AWS CLI with the files that the server has written, and nothing else that it could know the server by.
func (s *secured) overTLS(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/aws", append([]string{"--endpoint-url", "https://" + s.addr, "--profile", "roadstead", "--no-cli-pager"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(s.dir, "aws", "credentials"), "AWS_CONFIG_FILE=" + filepath.Join(s.dir, "aws", "config")}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestJoin brings a machine in with a token over TLS, throws it out, and brings it in again.
func TestJoin(t *testing.T) {
	s := newSecured(t)
	token := s.owner("token", "create")
	parts := strings.Split(token, ".")
	other := strings.Split(strings.TrimSpace(s.owner("token", "create")), ".")

	// A token of another authority, and one with another's secret.
	wrongPin := strings.Join(append(parts[:3:3], other[2]), ".")
	if said := s.refused(s.addr, wrongPin); !strings.Contains(said, "certificate authority is another") {
		t.Errorf("another authority: %s", said)
	}
	if said := s.refused(s.addr, strings.Join([]string{parts[0], parts[1], other[2], parts[3]}, ".")); !strings.Contains(said, "not valid") {
		t.Errorf("another secret: %s", said)
	}
	s.killedWhileJoining(token)

	agent := s.agent(s.node, s.addr, token)
	agent.says("Joined https://" + s.addr)
	if list := s.owner("token", "list"); !strings.Contains(list, "1 of 1") || strings.Contains(list, parts[2]) {
		t.Errorf("token list:\n%s", list)
	}
	keys := strings.Split(s.owner("agent-key", "list"), "\n")
	if len(keys) != 2 {
		t.Fatalf("one agent has one key, the killed one's: %v", keys)
	}
	if said := s.refused(s.addr, token); !strings.Contains(said, "was used") || !strings.Contains(said, "roadstead token create") {
		t.Errorf("a used token: %s", said)
	}
	if out, err := s.overTLS("ecs", "describe-clusters", "--clusters", "edge", "--query", "clusters[0].registeredContainerInstancesCount"); err != nil || out != "1" {
		t.Errorf("AWS CLI: %v\n%s", err, out)
	}

	s.register("long", types.NetworkModeNone, types.ContainerDefinition{Name: aws.String("c"), Command: []string{"sleep", "600"}, StopTimeout: aws.Int32(2)})
	run, err := s.ECS.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("long"), Cluster: aws.String("edge")})
	if err != nil || len(run.Tasks) != 1 {
		t.Fatalf("RunTask: %v, %+v", err, run)
	}
	arn := *run.Tasks[0].TaskArn
	eventually(t, "the task runs", func() bool { return *s.task(arn).LastStatus == "RUNNING" })
	before, instance := s.task(arn), s.connected(true)

	// Withdrawn: the agent is out at once, its task is what it last was, as at ECS.
	s.owner("agent-key", "revoke", strings.Fields(keys[1])[0])
	s.connected(false)
	agent.says("roadstead token create")
	agent.end(syscall.SIGTERM)
	agent = s.agent(s.node, "", "")
	agent.says("roadstead token create")
	agent.end(syscall.SIGTERM)
	if task := s.task(arn); *task.LastStatus != "RUNNING" {
		t.Errorf("the task of the machine that was thrown out is %s", *task.LastStatus)
	}

	// In again, as the one that it was.
	agent = s.agent(s.node, s.addr, strings.Join(other, "."))
	agent.says("Joined")
	if now := s.connected(true); *now.ContainerInstanceArn != *instance.ContainerInstanceArn {
		t.Errorf("it was %s and is %s", *instance.ContainerInstanceArn, *now.ContainerInstanceArn)
	}
	if _, err := s.ECS.StopTask(t.Context(), &ecs.StopTaskInput{Cluster: aws.String("edge"), Task: &arn}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task is stopped", func() bool { return *s.task(arn).LastStatus == "STOPPED" })
	if after := s.task(arn); aws.ToString(after.Containers[0].RuntimeId) != aws.ToString(before.Containers[0].RuntimeId) {
		t.Error("it was another container")
	}
	for _, secret := range []string{parts[2], other[2]} {
		if strings.Contains(s.server.log.String()+agent.log.String(), secret) {
			t.Error("a log has a token's secret")
		}
		s.notStored(secret)
	}
}

// killedWhileJoining starts an agent and kills it when the server has answered and it has not seen the answer.
func (s *secured) killedWhileJoining(token string) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	go s.deaf(l)
	agent := s.agent(s.node, l.Addr().String(), token)
	eventually(s.t, "the server has answered", func() bool { return strings.Contains(s.owner("token", "list"), "1 of 1") })
	agent.end(syscall.SIGKILL)
	if strings.Contains(agent.log.String(), "Joined") {
		s.t.Error("it has seen the answer")
	}
}

// deaf passes connections on to the server, and of what the server says the handshake alone.
func (s *secured) deaf(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", s.addr)
		if err != nil {
			client.Close()
			return
		}
		var asked atomic.Bool
		go func() {
			defer server.Close()
			// The client's hello is one record of TLS (RFC 8446, 5.1); what comes after it follows the server's part of the handshake.
			head := make([]byte, 5)
			if _, err := io.ReadFull(client, head); err != nil {
				return
			}
			hello := io.LimitReader(client, int64(endian.BigEndian.Uint16(head[3:])))
			if _, err := io.Copy(server, io.MultiReader(bytes.NewReader(head), hello)); err != nil {
				return
			}
			first := make([]byte, 1)
			if _, err := io.ReadFull(client, first); err != nil {
				return
			}
			asked.Store(true)
			_, _ = io.Copy(server, io.MultiReader(bytes.NewReader(first), client)) // until the agent is gone
		}()
		go func() {
			defer client.Close()
			b := make([]byte, 64<<10)
			for {
				n, err := server.Read(b)
				if err != nil {
					return
				}
				if asked.Load() {
					continue
				}
				if _, err := client.Write(b[:n]); err != nil {
					return
				}
			}
		}()
	}
}
