package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/agent"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
	domain "roadstead.dev/roadstead/internal/ecs"
)

// apiCalls measures the control plane alone: a real `roadstead server` in a process of its own, and a node in this one whose
// containers are pretended. Every call is signed, goes over HTTP, and is durable when it is answered.
func apiCalls(ctx context.Context) error {
	r, err := launchRoadstead(ctx, "server")
	if r != nil {
		defer r.close()
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := joinFake(ctx, r); err != nil {
		return err
	}
	r.network = types.NetworkModeNone
	if err := r.define(ctx); err != nil {
		return err
	}
	var arns []string
	run := func() (string, error) {
		out, err := r.client.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("bench")})
		if err != nil {
			return "", err
		}
		if len(out.Tasks) != 1 {
			return "", fmt.Errorf("RunTask: %s", aws.ToString(out.Failures[0].Reason))
		}
		return *out.Tasks[0].TaskArn, nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprintln(w, "call\tcallers\tp50\tp99\tmax\ta second\t")
	for range 100 {
		arn, err := run()
		if err != nil {
			return err
		}
		arns = append(arns, arn)
	}
	times, took, err := repeat(1, 300, func() error {
		out, err := r.client.DescribeTasks(ctx, &ecs.DescribeTasksInput{Tasks: arns})
		if err == nil && len(out.Tasks) != len(arns) {
			err = fmt.Errorf("DescribeTasks: %d of %d tasks", len(out.Tasks), len(arns))
		}
		return err
	})
	if err != nil {
		return err
	}
	row(w, "DescribeTasks of 100", 1, times, took)
	for _, callers := range []int{1, 64} {
		times, took, err := repeat(callers, 500*callers/min(callers, 8), func() error {
			_, err := run()
			return err
		})
		if err != nil {
			return err
		}
		row(w, "RunTask", callers, times, took)
	}
	return nil
}

// joinFake makes this process a node with room for all tasks of the benchmark, and waits until it has joined.
func joinFake(ctx context.Context, r *roadstead) error {
	cfg, err := config.LoadDefaultConfig(ctx, r.profile()...)
	if err != nil {
		return err
	}
	joined := make(chan struct{}, 1)
	node, err := agent.New(agent.Config{
		ServerURL: r.endpoint, Region: cfg.Region, Credentials: cfg.Credentials,
		Resources: &domain.Resources{CPU: 1 << 30, MemoryMiB: 1 << 30},
		Images:    &fake.Images{}, Runtime: &fake.Runtime{}, Log: slog.New(slog.DiscardHandler),
		OnConnected: func() {
			select {
			case joined <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	select {
	case <-joined:
		return nil
	case err := <-ended:
		return errors.Join(errors.New("the node ended"), err)
	case <-time.After(30 * time.Second):
		return errors.New("the node has not joined after 30 s")
	}
}

// repeat has callers make n calls in all, and gives how long each took and all of them.
func repeat(callers, n int, call func() error) ([]float64, time.Duration, error) {
	times := make([]float64, n)
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	errs := make([]error, callers)
	start := time.Now()
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := range work {
				begin := time.Now()
				if err := call(); err != nil {
					errs[c] = err
					return
				}
				times[i] = time.Since(begin).Seconds()
			}
		})
	}
	all.Wait()
	return times, time.Since(start), errors.Join(errs...)
}

func row(w *tabwriter.Writer, call string, callers int, times []float64, took time.Duration) {
	slices.Sort(times)
	fmt.Fprintf(w, "%s\t%d\t%.2f ms\t%.2f ms\t%.2f ms\t%.0f\t\n", call, callers, 1000*times[len(times)/2], 1000*times[len(times)*99/100], 1000*times[len(times)-1], float64(len(times))/took.Seconds())
}
