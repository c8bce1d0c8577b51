package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// measureMillion fills five thousand nodes with a million tasks, reads among them, and starts the server anew over them.
func measureMillion(ctx context.Context, r *run) error {
	nodes, tasks := r.scaled(5000), r.scaled(1_000_000)
	return r.on(ctx, nodes, nil, func(c *cluster) error {
		with := fmt.Sprintf("%s tasks on %s nodes, the fleet on the same processors", number(float64(tasks)), number(float64(nodes)))
		stop := c.sample(with)
		begin := time.Now()
		if err := c.createServices(ctx, 0, tasks, min(tasks, 100), nil); err != nil {
			return err
		}
		if err := c.placed(ctx, tasks); err != nil {
			return err
		}
		if err := c.until(ctx, "tasks are with their agents", tasks, func() (int, error) { return int(c.fleet.Stats().Assigned), nil }); err != nil {
			return err
		}
		assigned := time.Since(begin)
		if err := c.runningAll(ctx, tasks); err != nil {
			return err
		}
		running := time.Since(begin)
		stop()
		r.figure(Figure{With: with + ", until all are with their agents", Value: assigned.Seconds(), Unit: "s", Goal: 40, AtMost: true})
		r.figure(Figure{With: with + ", until all are RUNNING, durably", Value: running.Seconds(), Unit: "s", Goal: 90, AtMost: true})
		if err := c.memoryFigure(with+", at the end of the burst", 0); err != nil {
			return err
		}
		if err := c.reads(ctx, with); err != nil {
			return err
		}
		if err := r.watch(ctx, rest, "at rest"); err != nil {
			return err
		}
		if err := c.memoryFigure(with+", at rest", 4); err != nil {
			return err
		}
		return c.startOver(ctx, tasks)
	})
}

// sample notes four times a second how the fleet stands, until it is stopped.
func (c *cluster) sample(name string) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	series := Series{Name: name}
	begin := time.Now()
	go func() {
		defer close(done)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			s := c.fleet.Stats()
			series.Samples = append(series.Samples, Sample{Seconds: time.Since(begin).Seconds(), Assigned: s.Assigned, Running: s.Running})
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(ended)
		<-done
		c.r.report.Series = append(c.r.report.Series, series)
	}
}

// reads times pages among all tasks, one after another.
func (c *cluster) reads(ctx context.Context, with string) error {
	const pages = 500
	var lists, describes []float64
	token := ""
	for i := range pages {
		arns, next, took, err := c.listTasks(ctx, token)
		if err != nil {
			return err
		}
		lists, token = append(lists, took), next
		if took, err = c.timed(ctx, "DescribeTasks", map[string]any{"tasks": arns}, nil); err != nil {
			return err
		}
		describes = append(describes, took)
		c.r.say("%d of %d pages", i, pages)
	}
	for name, times := range map[string][]float64{"ListTasks page": lists, "DescribeTasks of 100": describes} {
		c.r.figure(Figure{With: name + " among " + with + ", p99", Value: 1000 * quantile(times, 0.99), Unit: "ms", Goal: 10, AtMost: true})
	}
	return nil
}

// listTasks gives a page of ARNs, the token of the next, and how many seconds it took.
func (c *cluster) listTasks(ctx context.Context, token string) (arns []string, next string, took float64, err error) {
	in := map[string]any{}
	if token != "" {
		in["nextToken"] = token
	}
	var out struct {
		TaskARNs  []string `json:"taskArns"`
		NextToken string   `json:"nextToken"`
	}
	took, err = c.timed(ctx, "ListTasks", in, &out)
	return out.TaskARNs, out.NextToken, took, err
}

func (c *cluster) timed(ctx context.Context, operation string, in, out any) (float64, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	answer, err := c.caller.Do(ctx, operation, body)
	took := time.Since(begin).Seconds()
	if err != nil || out == nil {
		return took, err
	}
	return took, json.Unmarshal(answer, out)
}

// startOver kills the server, and times its start until it answers with all tasks.
func (c *cluster) startOver(ctx context.Context, tasks int) error {
	c.kill()
	c.r.say("starting over %d tasks", tasks)
	begin := time.Now()
	if err := c.start(ctx); err != nil {
		return err
	}
	n, err := c.counts(ctx)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	if n.Running != tasks {
		return fmt.Errorf("after a SIGKILL %d of %d tasks are running", n.Running, tasks)
	}
	c.r.figure(Figure{With: fmt.Sprintf("start with %s tasks stored, to the first answer", number(float64(tasks))), Value: took.Seconds(), Unit: "s", Goal: 15, AtMost: true})
	return nil
}
