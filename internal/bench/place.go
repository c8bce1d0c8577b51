package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// serviceTasks is how many tasks are placed at a time.
const serviceTasks = 10_000

// placing times how long it takes from the first CreateService until all tasks are durably placed, several times, and gives the
// median of the rates. look, if set, looks at each result.
func (r *run) placing(ctx context.Context, c *cluster, tasks, services int, more map[string]any, look func() error) (float64, error) {
	var rates []float64
	for round := range r.Rounds {
		begin := time.Now()
		if err := c.createServices(ctx, round, tasks, services, more); err != nil {
			return 0, err
		}
		if err := c.placed(ctx, tasks); err != nil {
			return 0, err
		}
		rates = append(rates, float64(tasks)/time.Since(begin).Seconds())
		if look != nil {
			if err := look(); err != nil {
				return 0, err
			}
		}
		if err := c.runningAll(ctx, tasks); err != nil {
			return 0, err
		}
		for i := range services {
			if err := c.deleteService(ctx, serviceName(round, i)); err != nil {
				return 0, err
			}
		}
		if err := c.empty(ctx); err != nil {
			return 0, err
		}
	}
	return median(rates), nil
}

func serviceName(round, i int) string { return fmt.Sprintf("bench-%d-%d", round, i) }

// createServices creates services of together so many tasks, sixteen at a time.
func (c *cluster) createServices(ctx context.Context, round, tasks, services int, more map[string]any) error {
	work := make(chan int, services)
	for i := range services {
		work <- i
	}
	close(work)
	errs := make([]error, min(services, 16))
	var all sync.WaitGroup
	for n := range errs {
		all.Go(func() {
			for i := range work {
				count := tasks / services
				if i < tasks%services {
					count++
				}
				if err := c.service(ctx, serviceName(round, i), count, more); err != nil {
					errs[n] = err
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// measurePlacements has a service come up on ever more nodes.
func measurePlacements(ctx context.Context, r *run) error {
	goals := map[int]float64{1000: 50_000, 5000: 50_000}
	var last float64
	for _, nodes := range []int{100, 1000, 5000, 10_000} {
		rate, err := r.placingOn(ctx, nodes, 1, nil, fmt.Sprintf("nodes-%d", nodes))
		if err != nil {
			return err
		}
		r.figure(Figure{With: fmt.Sprintf("one service of %s tasks, %s nodes", number(float64(r.scaled(serviceTasks))), number(float64(r.scaled(nodes)))), Value: rate, Unit: "tasks/s", Goal: goals[nodes]})
		if nodes != 5000 {
			if last != 0 {
				r.figure(Figure{With: fmt.Sprintf("lost as nodes grow from %s to %s", number(float64(r.scaled(nodes/10))), number(float64(r.scaled(nodes)))), Value: max(0, 100*(1-rate/last)), Unit: "%", Goal: 30, AtMost: true})
			}
			last = rate
		}
	}
	return nil
}

// placingOn is placing on a cluster of its own.
func (r *run) placingOn(ctx context.Context, nodes, services int, more map[string]any, profile string) (rate float64, err error) {
	err = r.on(ctx, r.scaled(nodes), nil, func(c *cluster) error {
		tasks := r.scaled(serviceTasks)
		return c.spent(tasks*r.Rounds, "task placed, reported running and stopped", number(float64(r.scaled(nodes)))+" nodes", func() error {
			return c.profiled(ctx, profile, func() error {
				rate, err = r.placing(ctx, c, tasks, services, more, nil)
				return err
			})
		})
	})
	return rate, err
}

// spreadThenPack is the strategy that ECS's console offers first.
var spreadThenPack = []any{
	map[string]any{"type": "spread", "field": "attribute:ecs.availability-zone"}, map[string]any{"type": "binpack", "field": "memory"},
}

func measureSpread(ctx context.Context, r *run) error {
	return r.on(ctx, r.scaled(1000), nil, func(c *cluster) error {
		tasks := r.scaled(serviceTasks)
		on := fmt.Sprintf("one service of %s tasks, %s nodes in %d zones, ", number(float64(tasks)), number(float64(r.scaled(1000))), zones)
		skew := 0
		rate, err := r.placing(ctx, c, tasks, 1, map[string]any{"placementStrategy": spreadThenPack}, func() error {
			n, err := c.skew(ctx)
			skew = max(skew, n)
			return err
		})
		if err != nil {
			return err
		}
		r.figure(Figure{With: on + "spread over zones then binpack by memory", Value: rate, Unit: "tasks/s", Goal: 40_000})
		r.figure(Figure{With: "most tasks in a zone beside the fewest", Value: float64(skew), Unit: "tasks", Goal: 1, AtMost: true})
		plain, err := r.placing(ctx, c, tasks, 1, nil, nil)
		if err != nil {
			return err
		}
		r.figure(Figure{With: on + "no strategy", Value: plain, Unit: "tasks/s", Goal: 50_000})
		member, err := r.placing(ctx, c, tasks, 1, map[string]any{"placementConstraints": []any{
			map[string]any{"type": "memberOf", "expression": "attribute:ecs.os-type == linux and not(task:group == service:absent) and runningTasksCount < 1000"},
		}}, nil)
		if err != nil {
			return err
		}
		r.figure(Figure{With: on + "memberOf with attributes, groups and counts", Value: member, Unit: "tasks/s", Goal: plain / 2, Note: "the goal is half of the rate without"})
		distinct := min(tasks, r.scaled(1000))
		rate, err = r.placing(ctx, c, distinct, 1, map[string]any{"placementConstraints": []any{map[string]any{"type": "distinctInstance"}}}, nil)
		if err != nil {
			return err
		}
		bare, err := r.placing(ctx, c, distinct, 1, nil, nil)
		if err != nil {
			return err
		}
		r.figure(Figure{With: fmt.Sprintf("one service of %s tasks, as many nodes, distinctInstance", number(float64(distinct))), Value: rate, Unit: "tasks/s", Goal: bare / 2, Note: "the goal is half of the rate of so few tasks without"})
		return nil
	})
}

// skew is by how many tasks the zones differ.
func (c *cluster) skew(ctx context.Context) (int, error) {
	inZone := map[string]int{}
	for i := range zones {
		inZone[string(rune('a'+i))] = 0
	}
	err := c.allTasks(ctx, func(arns []string) error {
		var out struct {
			Tasks []struct {
				Zone string `json:"availabilityZone"`
			} `json:"tasks"`
		}
		if err := c.caller.Call(ctx, "DescribeTasks", map[string]any{"tasks": arns}, &out); err != nil {
			return err
		}
		for _, t := range out.Tasks {
			if t.Zone == "" {
				return errors.New("a task without a zone")
			}
			inZone[t.Zone[len(t.Zone)-1:]]++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var sizes []int
	for _, n := range inZone {
		sizes = append(sizes, n)
	}
	return slices.Max(sizes) - slices.Min(sizes), nil
}

// allTasks calls page with the ARNs of all tasks that are to run, a hundred at a time.
func (c *cluster) allTasks(ctx context.Context, page func([]string) error) error {
	token := ""
	for {
		arns, next, _, err := c.listTasks(ctx, token)
		if err != nil {
			return err
		}
		if len(arns) > 0 {
			if err := page(arns); err != nil {
				return err
			}
		}
		if token = next; token == "" {
			return nil
		}
	}
}

func measureServices(ctx context.Context, r *run) error {
	const services = 100
	rate, err := r.placingOn(ctx, 1000, services, nil, "services")
	if err != nil {
		return err
	}
	r.figure(Figure{With: fmt.Sprintf("%d services of %s tasks, %s nodes", services, number(float64(r.scaled(serviceTasks)/services)), number(float64(r.scaled(1000)))), Value: rate, Unit: "tasks/s", Goal: 30_000})
	return nil
}
