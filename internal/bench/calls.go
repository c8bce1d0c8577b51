package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/agent/fleet"
	"roadstead.dev/roadstead/internal/ecs"
)

// repeat has callers make n calls in all, and gives how long each took, in seconds and sorted, and all of them together.
func repeat(callers, n int, call func() error) ([]float64, time.Duration, error) {
	times := make([]float64, n)
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	errs := make([]error, callers)
	begin := time.Now()
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
	took := time.Since(begin)
	slices.Sort(times)
	return times, took, errors.Join(errs...)
}

// at is a quantile of sorted values.
func at(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median(v []float64) float64 { return at(slices.Sorted(slices.Values(v)), 0.5) }

// runTask starts one task and gives its id.
func (c *cluster) runTask(ctx context.Context) (ecs.TaskID, error) {
	answer, err := c.caller.Do(ctx, "RunTask", []byte(`{"taskDefinition":"bench"}`))
	if err != nil {
		return ecs.TaskID{}, err
	}
	var out struct {
		Tasks []struct {
			TaskARN string `json:"taskArn"`
		} `json:"tasks"`
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return ecs.TaskID{}, err
	}
	if len(out.Tasks) != 1 {
		return ecs.TaskID{}, fmt.Errorf("RunTask: %s", answer)
	}
	arn := out.Tasks[0].TaskARN
	return ecs.ParseTaskID(arn[strings.LastIndexByte(arn, '/')+1:])
}

func measureRunTask(ctx context.Context, r *run) error {
	return r.on(ctx, r.scaled(1000), nil, func(c *cluster) error {
		nodes := number(float64(r.scaled(1000))) + " nodes"
		if err := c.alone(ctx, nodes); err != nil {
			return err
		}
		call := func() error {
			_, err := c.runTask(ctx)
			return err
		}
		if _, _, err := repeat(64, 500, call); err != nil { // connections, caches
			return err
		}
		n := r.scaled(30_000)
		var times []float64
		var took time.Duration
		err := c.spent(n, "call, the task's reports included", "64 callers", func() error {
			return c.profiled(ctx, "64-callers", func() (err error) {
				times, took, err = repeat(64, n, call)
				return err
			})
		})
		if err != nil {
			return err
		}
		with := fmt.Sprintf("64 callers, %s calls, %s, the callers on the same processors", number(float64(n)), nodes)
		r.figure(Figure{With: with, Value: float64(n) / took.Seconds(), Unit: "calls/s", Goal: 10_000})
		r.figure(Figure{With: with + ", p50", Value: 1000 * at(times, 0.5), Unit: "ms"})
		r.figure(Figure{With: with + ", p99", Value: 1000 * at(times, 0.99), Unit: "ms", Goal: 30, AtMost: true})
		return nil
	})
}

// alone times RunTask and DescribeTasks for a caller that has the server to itself.
func (c *cluster) alone(ctx context.Context, nodes string) error {
	times, _, err := repeat(1, 500, func() error {
		_, err := c.runTask(ctx)
		return err
	})
	if err != nil {
		return err
	}
	c.r.figure(Figure{With: "one caller, " + nodes + ", p50", Value: 1000 * at(times, 0.5), Unit: "ms", Goal: 3, AtMost: true})
	arns, _, _, err := c.listTasks(ctx, "")
	if err != nil {
		return err
	}
	times, _, err = repeat(1, 300, func() error {
		var out struct {
			Tasks []json.RawMessage `json:"tasks"`
		}
		_, err := c.timed(ctx, "DescribeTasks", map[string]any{"tasks": arns}, &out)
		if err == nil && len(out.Tasks) != len(arns) {
			err = fmt.Errorf("DescribeTasks: %d of %d tasks", len(out.Tasks), len(arns))
		}
		return err
	})
	if err != nil {
		return err
	}
	c.r.figure(Figure{With: fmt.Sprintf("one caller, DescribeTasks of %d, p50", len(arns)), Value: 1000 * at(times, 0.5), Unit: "ms", Goal: 5, AtMost: true})
	return nil
}

// measureAssignment times a call alone, from before it is sent until a node has heard of the task.
func measureAssignment(ctx context.Context, r *run) error {
	var mu sync.Mutex
	heard := map[ecs.TaskID]time.Time{}
	note := func(cfg *fleet.Config) {
		cfg.OnAssigned = func(id ecs.TaskID, at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			heard[id] = at
		}
	}
	return r.on(ctx, r.scaled(1000), note, func(c *cluster) error {
		const n = 1000
		began := map[ecs.TaskID]time.Time{}
		for i := range n {
			begin := time.Now()
			id, err := c.runTask(ctx)
			if err != nil {
				return err
			}
			began[id] = begin
			r.say("%d of %d calls", i, n)
			time.Sleep(2 * time.Millisecond) // one task at a time, as a person or a pipeline asks
		}
		if err := c.until(ctx, "tasks are assigned", n, func() (int, error) { return int(c.fleet.Stats().Assigned), nil }); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		var times []float64
		for id, begin := range began {
			times = append(times, heard[id].Sub(begin).Seconds())
		}
		slices.Sort(times)
		with := fmt.Sprintf("from before RunTask is sent until an agent has the task, one at a time, %s nodes", number(float64(r.scaled(1000))))
		r.figure(Figure{With: with + ", p50", Value: 1000 * at(times, 0.5), Unit: "ms", Goal: 1.5, AtMost: true})
		r.figure(Figure{With: with + ", p99", Value: 1000 * at(times, 0.99), Unit: "ms", Goal: 8, AtMost: true})
		return nil
	})
}
