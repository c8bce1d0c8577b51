package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// page registers a revision of a web server that answers with a word, on a port of the host's that the task chooses.
func (in *installation) page(family, word string) {
	in.t.Helper()
	in.register(family, types.NetworkModeBridge, types.ContainerDefinition{
		Name: aws.String("web"), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80)}}, StopTimeout: aws.Int32(5),
		// What is asked after SIGTERM is still answered for a moment.
		Command: []string{"sh", "-c", fmt.Sprintf(`mkdir /www && echo %s >/www/index.html && (trap 'sleep 1; exit 0' TERM; httpd -f -p 80 -h /www & wait)`, word)},
	})
}

// running gives the tasks of a service that run and are to go on.
func (in *installation) running(service string) []types.Task {
	in.t.Helper()
	list, err := in.ECS.ListTasks(in.t.Context(), &ecs.ListTasksInput{ServiceName: &service})
	if err != nil {
		in.t.Fatal(err)
	}
	if len(list.TaskArns) == 0 {
		return nil
	}
	out, err := in.ECS.DescribeTasks(in.t.Context(), &ecs.DescribeTasksInput{Tasks: list.TaskArns})
	if err != nil {
		in.t.Fatal(err)
	}
	return slices.DeleteFunc(out.Tasks, func(t types.Task) bool {
		return aws.ToString(t.LastStatus) != "RUNNING" || aws.ToString(t.DesiredStatus) != "RUNNING"
	})
}

// pageOf is where the first container of a task serves.
func pageOf(task types.Task) string {
	return fmt.Sprintf("http://127.0.0.1:%d/", *task.Containers[0].NetworkBindings[0].HostPort)
}

// addresses are where the running tasks of a service serve.
func (in *installation) addresses(service string) []string {
	in.t.Helper()
	var all []string
	for _, task := range in.running(service) {
		all = append(all, pageOf(task))
	}
	return all
}

func (in *installation) describeService(name string) types.Service {
	in.t.Helper()
	out, err := in.ECS.DescribeServices(in.t.Context(), &ecs.DescribeServicesInput{Services: []string{name}})
	if err != nil || len(out.Services) != 1 {
		in.t.Fatalf("DescribeServices: %v, %+v", err, out)
	}
	return out.Services[0]
}

func isStable(s types.Service) bool {
	return len(s.Deployments) == 1 && s.RunningCount == s.DesiredCount && s.Deployments[0].RolloutState == types.DeploymentRolloutStateCompleted
}

// stable waits for what the CLI's waiter waits for, without its fifteen seconds between two looks.
func (in *installation) stable(name string) {
	in.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		s := in.describeService(name)
		if isStable(s) {
			return
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("not stable: %+v", s)
		}
	}
}

func fetchPage(url string) (string, error) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return strings.TrimSpace(string(b)), err
}

// TestServiceRolls is a rolling update by the AWS CLI: the waiter comes back, the new pages are there, and somebody answered all the time.
func TestServiceRolls(t *testing.T) {
	in := up(t)
	in.page("page", "old")
	in.cli("ecs", "create-service", "--service-name", "site", "--task-definition", "page", "--desired-count", "3")
	in.stable("site")
	for _, url := range in.addresses("site") {
		if text, err := fetchPage(url); err != nil || text != "old" {
			t.Errorf("%s: %q, %v", url, text, err)
		}
	}
	in.page("page", "new")
	in.cli("ecs", "update-service", "--service", "site", "--task-definition", "page")
	down := 0
	for deadline := time.Now().Add(2 * time.Minute); !isStable(in.describeService("site")); {
		if !slices.ContainsFunc(in.addresses("site"), func(url string) bool { _, err := fetchPage(url); return err == nil }) {
			down++
		}
		if time.Now().After(deadline) {
			t.Fatalf("not stable: %+v", in.describeService("site"))
		}
	}
	if down > 0 {
		t.Errorf("nobody answered %d times", down)
	}
	in.cli("ecs", "wait", "services-stable", "--services", "site")
	urls := in.addresses("site")
	for _, url := range urls {
		if text, err := fetchPage(url); err != nil || text != "new" {
			t.Errorf("%s: %q, %v", url, text, err)
		}
	}
	got := in.cli("ecs", "describe-services", "--services", "site", "--query", "services[0].[runningCount,length(deployments),deployments[0].rolloutState,events[0].message]", "--output", "text")
	if want := "3\t1\tCOMPLETED\t(service site) has reached a steady state."; got != want || len(urls) != 3 {
		t.Errorf("%q, want %q; %d tasks", got, want, len(urls))
	}
}

// TestServiceOutlivesCrash kills everything under a service in the middle of a deployment, and starts it again, with a capacity provider that
// daemons can be for.
func TestServiceOutlivesCrash(t *testing.T) {
	in := up(t)
	in.page("page", "one")
	in.cli("ecs", "create-service", "--service-name", "site", "--task-definition", "page", "--desired-count", "4")
	in.stable("site")
	in.joinProvider()
	in.page("page", "two")
	in.cli("ecs", "update-service", "--service", "site", "--task-definition", "page", "--deployment-configuration", "maximumPercent=125,minimumHealthyPercent=75")
	in.kill()
	in.start()
	in.stable("site")
	urls := in.addresses("site")
	for _, url := range urls {
		if text, err := fetchPage(url); err != nil || text != "two" {
			t.Errorf("%s: %q, %v", url, text, err)
		}
	}
	if len(urls) != 4 {
		t.Errorf("%d tasks", len(urls))
	}
	in.cli("ecs", "delete-service", "--service", "site", "--force")
	for deadline := time.Now().Add(time.Minute); in.describeService("site").Status == nil || *in.describeService("site").Status != "INACTIVE"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not INACTIVE: %+v", in.describeService("site"))
		}
	}
	in.daemonComesAndGoes()
}

// TestBadImageIsRolledBack is what the circuit breaker is for.
func TestBadImageIsRolledBack(t *testing.T) {
	in := up(t)
	in.page("page", "good")
	in.cli("ecs", "create-service", "--service-name", "site", "--task-definition", "page", "--desired-count", "2",
		"--deployment-configuration", "deploymentCircuitBreaker={enable=true,rollback=true}")
	in.stable("site")
	in.register("page", types.NetworkModeBridge, types.ContainerDefinition{Name: aws.String("web"), Image: aws.String("127.0.0.1:9/none:latest")})
	in.cli("ecs", "update-service", "--service", "site", "--task-definition", "page")
	in.stable("site")
	got := in.cli("ecs", "describe-services", "--services", "site", "--query", "services[0].[taskDefinition,deployments[0].rolloutState]", "--output", "text")
	if !strings.HasSuffix(got, "task-definition/page:1\tCOMPLETED") {
		t.Errorf("%q", got)
	}
	events := in.cli("ecs", "describe-services", "--services", "site", "--query", "services[0].events[].message", "--output", "text")
	for _, want := range []string{"deployment failed: tasks failed to start.", "rolling back to deployment ecs-svc/"} {
		if !strings.Contains(events, want) {
			t.Errorf("no %q in %s", want, events)
		}
	}
	for _, url := range in.addresses("site") {
		if text, err := fetchPage(url); err != nil || text != "good" {
			t.Errorf("%s: %q, %v", url, text, err)
		}
	}
}
