package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"golang.org/x/sync/errgroup"
)

// roadstead is the built binary, driven by the AWS SDK: one RunTask call a task, eight at a time.
type roadstead struct {
	dir      string
	cmd      *exec.Cmd
	client   *ecs.Client
	endpoint string
	tasks    []string
}

// startRoadstead starts `roadstead up` and waits until it is ready. What it gives is to be closed even on an error.
func startRoadstead(ctx context.Context) (*roadstead, error) {
	archives, err := filepath.Glob("bin/images/*.tar")
	if err != nil || len(archives) == 0 {
		return nil, errors.New("no bin/images: run make images")
	}
	dir, err := os.MkdirTemp("", "bench-rs")
	if err != nil {
		return nil, err
	}
	r := &roadstead{dir: dir}
	args := []string{"up", "--data-dir", dir, "--listen", "127.0.0.1:0"}
	for _, a := range archives {
		args = append(args, "--import", a)
	}
	r.cmd = exec.Command("bin/roadstead", args...)
	log, err := os.Create(filepath.Join(dir, "bench.log"))
	if err != nil {
		return r, err
	}
	defer log.Close()
	r.cmd.Stderr = log
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := r.cmd.Start(); err != nil {
		return r, err
	}
	scan := bufio.NewScanner(out)
	for r.endpoint == "" && scan.Scan() {
		_, r.endpoint, _ = strings.Cut(scan.Text(), "Endpoint: ")
	}
	if r.endpoint == "" {
		said, _ := os.ReadFile(log.Name())
		return r, fmt.Errorf("roadstead up did not become ready: %s", said)
	}
	go func() { // the rest must be read, or the process would block on a full pipe
		for scan.Scan() {
		}
	}()
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithSharedConfigProfile("roadstead"),
		config.WithSharedConfigFiles([]string{filepath.Join(r.dir, "aws", "config")}),
		config.WithSharedCredentialsFiles([]string{filepath.Join(r.dir, "aws", "credentials")}))
	if err != nil {
		return r, err
	}
	r.client = ecs.NewFromConfig(cfg, func(o *ecs.Options) { o.HTTPClient = &http.Client{Transport: wholeBodies{http.DefaultTransport}} })
	return r, nil
}

// wholeBodies hands net/http its own copy of a request's body. The SDK closes the body as soon as it has an answer; a server
// as near as this one answers while net/http still looks for the body's end, which then fails and takes the connection with
// it, in one call of a hundred, and the SDK tries again a second later. That is not what is measured here.
type wholeBodies struct{ next http.RoundTripper }

func (w wholeBodies) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	return w.next.RoundTrip(req)
}

func (r *roadstead) name() string { return "roadstead" }

func (r *roadstead) launch(ctx context.Context, n int, addr string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	// The address differs from round to round, so it is an override and the definition stays.
	over := &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: aws.String("c"), Command: connect(addr)}}}
	arns := make([]string, n)
	for i := range n {
		g.Go(func() error {
			out, err := r.client.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("bench"), Overrides: over})
			if err != nil {
				return err
			}
			if len(out.Tasks) != 1 {
				return fmt.Errorf("RunTask: %v", *out.Failures[0].Reason)
			}
			arns[i] = *out.Tasks[0].TaskArn
			return nil
		})
	}
	err := g.Wait()
	r.tasks = append(r.tasks, arns...)
	return err
}

func (r *roadstead) define(ctx context.Context) error {
	_, err := r.client.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("bench"), NetworkMode: types.NetworkModeHost,
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("c"), Image: aws.String(image), Memory: aws.Int32(16), StopTimeout: aws.Int32(2)}},
	})
	return err
}

func (r *roadstead) clear(ctx context.Context) error {
	for len(r.tasks) > 0 {
		out, err := r.client.DescribeTasks(ctx, &ecs.DescribeTasksInput{Tasks: r.tasks[:min(100, len(r.tasks))]})
		if err != nil {
			return err
		}
		stopped := 0
		for _, t := range out.Tasks {
			if *t.LastStatus == "STOPPED" {
				stopped++
			}
		}
		if stopped == len(out.Tasks) {
			r.tasks = r.tasks[min(100, len(r.tasks)):]
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	// The containers' directories are removed after the tasks are told as stopped; that must not fall on whom comes next.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(500 * time.Millisecond):
		return nil
	}
}

func (r *roadstead) close() {
	if r.cmd != nil && r.cmd.Process != nil {
		r.cmd.Process.Signal(os.Interrupt)
		r.cmd.Wait()
		if _, err := command(context.Background(), "bin/roadstead", "destroy", "--yes", "--data-dir", r.dir); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	os.RemoveAll(r.dir)
}

// prepare starts what is to be measured. What it started is among the subjects even when it fails.
func prepare(ctx context.Context, names []string) (subjects []subject, err error) {
	var d *dockerd
	for _, name := range names {
		switch name {
		case "roadstead":
			r, err := startRoadstead(ctx)
			if r != nil {
				subjects = append(subjects, r)
			}
			if err != nil {
				return subjects, err
			}
			if err := r.define(ctx); err != nil {
				return subjects, err
			}
		case "crun":
			c, err := startCrun()
			if c != nil {
				subjects = append(subjects, c)
			}
			if err != nil {
				return subjects, err
			}
		case "docker", "swarm":
			if d == nil {
				if d, err = startDockerd(ctx, "bin/images/busybox.tar"); err != nil {
					return subjects, err
				}
			}
			s, err := dockerSubject(ctx, d, name)
			subjects = append(subjects, s)
			if err != nil {
				return subjects, err
			}
		default:
			return subjects, fmt.Errorf("--only: nothing is called %q", name)
		}
	}
	return subjects, nil
}
