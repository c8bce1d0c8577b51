package ecsapi_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/ecs"
)

// lifecycles runs tasks on two instances with static and dynamic ports and GPUs.
type lifecycles struct {
	*fixture
	instances []string
	// bound are the dynamic ports that were reported, by task.
	bound map[string]string
	tasks []string
	next  int32
}

func newLifecycles(t *testing.T) *lifecycles {
	l := &lifecycles{fixture: newFixture(t), bound: map[string]string{}, next: 32768}
	l.cluster()
	for range 2 {
		in := &sdk.RegisterContainerInstanceInput{TotalResources: resources(2000, 2000),
			PlatformDevices: []types.PlatformDevice{{Id: aws.String("gpu-0"), Type: "GPU"}, {Id: aws.String("gpu-1"), Type: "GPU"}}}
		l.instances = append(l.instances, *must(l.RegisterContainerInstance(l.ctx, in)).ContainerInstance.ContainerInstanceArn)
	}
	port := func(host int32, protocol types.TransportProtocol) types.PortMapping {
		return types.PortMapping{ContainerPort: aws.Int32(80), HostPort: &host, Protocol: protocol}
	}
	for family, change := range map[string]func(*types.ContainerDefinition){
		"plain": func(c *types.ContainerDefinition) { c.Cpu = 300 },
		"static": func(c *types.ContainerDefinition) {
			c.PortMappings = []types.PortMapping{port(8080, "tcp"), port(5353, "udp")}
		},
		"dynamic": func(c *types.ContainerDefinition) { c.PortMappings = []types.PortMapping{port(0, "tcp")} },
		"gpu": func(c *types.ContainerDefinition) {
			c.ResourceRequirements = []types.ResourceRequirement{{Type: "GPU", Value: aws.String("1")}}
		},
	} {
		l.register(func(in *sdk.RegisterTaskDefinitionInput) {
			in.Family, in.NetworkMode = &family, "bridge"
			change(&in.ContainerDefinitions[0])
		})
	}
	return l
}

func (l *lifecycles) step(r *rapid.T) {
	pick := func() string { return l.tasks[rapid.IntRange(0, len(l.tasks)-1).Draw(r, "task")] }
	instance := rapid.SampledFrom(l.instances).Draw(r, "instance")
	switch what := rapid.IntRange(0, 7).Draw(r, "what"); {
	case what < 3 || len(l.tasks) == 0:
		family := rapid.SampledFrom([]string{"plain", "static", "dynamic", "gpu"}).Draw(r, "family")
		out := must(l.StartTask(l.ctx, &sdk.StartTaskInput{TaskDefinition: &family, ContainerInstances: []string{instance}}))
		for _, t := range out.Tasks {
			l.tasks = append(l.tasks, *t.TaskArn)
		}
	case what == 3:
		l.report(pick())
	case what == 4:
		l.submit(pick(), "STOPPED")
	case what == 5:
		must(l.StopTask(l.ctx, &sdk.StopTaskInput{Task: aws.String(pick())}))
	case what == 6:
		l.setState(rapid.SampledFrom([]types.ContainerInstanceStatus{"ACTIVE", "DRAINING"}).Draw(r, "status"), instance)
	default:
		cpu := rapid.Int32Range(2000, 3000).Draw(r, "cpu")
		must(l.RegisterContainerInstance(l.ctx, &sdk.RegisterContainerInstanceInput{ContainerInstanceArn: &instance, TotalResources: resources(cpu, 2000),
			PlatformDevices: []types.PlatformDevice{{Id: aws.String("gpu-0"), Type: "GPU"}, {Id: aws.String("gpu-1"), Type: "GPU"}}}))
	}
}

// report says that a task runs, with the port that its agent chose if it wants one.
func (l *lifecycles) report(task string) {
	in := &sdk.SubmitTaskStateChangeInput{Task: &task, Status: aws.String("RUNNING"), Containers: []types.ContainerStateChange{{
		ContainerName: aws.String("main"), Status: aws.String("RUNNING"), RuntimeId: aws.String("cafe")}}}
	t := l.describe(task)
	if must(ecs.ParseARN(*t.TaskDefinitionArn)).Resource == "dynamic:1" && l.bound[task] == "" && *t.LastStatus != "STOPPED" {
		port := l.next
		l.next++
		l.bound[task] = strconv.Itoa(int(port))
		for _, ip := range []string{"0.0.0.0", "::"} {
			in.Containers[0].NetworkBindings = append(in.Containers[0].NetworkBindings,
				types.NetworkBinding{BindIP: &ip, ContainerPort: aws.Int32(80), HostPort: &port, Protocol: "tcp"})
		}
	}
	must(l.SubmitTaskStateChange(l.ctx, in))
}

// taken adds up what the tasks on an instance take that have not stopped, as they and their definitions say.
type taken struct {
	cpu, memory int32
	gpus        int
	tcp, udp    []string
	counts      [2]int32
}

func (l *lifecycles) taken(instance string) (sum taken) {
	sum.tcp = []string{"22"}
	for _, arn := range l.tasks {
		t := l.describe(arn)
		if *t.ContainerInstanceArn != instance || *t.LastStatus == "STOPPED" {
			continue
		}
		family := must(ecs.ParseARN(*t.TaskDefinitionArn)).Resource
		sum.cpu += map[string]int32{"plain:1": 300}[family]
		if family != "plain:1" {
			sum.cpu += 128
		}
		sum.memory += 64
		switch family {
		case "static:1":
			sum.tcp, sum.udp = append(sum.tcp, "8080"), append(sum.udp, "5353")
		case "dynamic:1":
			if p := l.bound[arn]; p != "" {
				sum.tcp = append(sum.tcp, p)
			}
		case "gpu:1":
			sum.gpus++
		}
		switch {
		case *t.LastStatus == "RUNNING":
			sum.counts[0]++
		case *t.DesiredStatus == "RUNNING":
			sum.counts[1]++
		}
	}
	slices.Sort(sum.tcp)
	slices.Sort(sum.udp)
	return sum
}

func find(list []types.Resource, name string) types.Resource {
	return list[slices.IndexFunc(list, func(r types.Resource) bool { return *r.Name == name })]
}

func (l *lifecycles) check() error {
	for _, arn := range l.instances {
		i, sum := l.describeInstance(arn), l.taken(arn)
		tcp, udp := slices.Sorted(slices.Values(find(i.RemainingResources, "PORTS").StringSetValue)), slices.Sorted(slices.Values(find(i.RemainingResources, "PORTS_UDP").StringSetValue))
		got := taken{
			cpu:    find(i.RegisteredResources, "CPU").IntegerValue - find(i.RemainingResources, "CPU").IntegerValue,
			memory: find(i.RegisteredResources, "MEMORY").IntegerValue - find(i.RemainingResources, "MEMORY").IntegerValue,
			gpus:   len(find(i.RegisteredResources, "GPU").StringSetValue) - len(find(i.RemainingResources, "GPU").StringSetValue),
			tcp:    tcp, udp: udp, counts: [2]int32{i.RunningTasksCount, i.PendingTasksCount},
		}
		if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", sum); a != b {
			return fmt.Errorf("%s: the instance says that %s is taken, its tasks %s", arn, a, b)
		}
	}
	return nil
}

// TestResourcesAlwaysRight: whatever happens to tasks and instances, what remains and what tasks take is what is registered.
func TestResourcesAlwaysRight(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := newLifecycles(t)
		defer l.stop()
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			l.step(r)
			if err := l.check(); err != nil {
				r.Fatal(err)
			}
		}
	})
}
