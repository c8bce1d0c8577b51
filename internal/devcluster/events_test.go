package devcluster

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	domain "roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/keyring"
	"roadstead.dev/roadstead/internal/state"
)

func (s *simulation) events() *eventbridge.Client {
	return eventbridge.New(eventbridge.Options{
		Region: "us-east-1", BaseEndpoint: &s.info.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(s.info.Root.AccessKeyID, s.info.Root.SecretAccessKey, ""),
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestStoppedTaskIsTold: the event of a task that stops reaches an HTTP server and a log group.
func TestStoppedTaskIsTold(t *testing.T) {
	type request struct{ body, key, path string }
	got := make(chan request, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- request{string(body), r.Header.Get("X-Key"), r.URL.Path}
	}))
	defer hook.Close()
	s := simulate(t, nil)
	bridge, ctx := s.events(), t.Context()
	must(s.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/aws/events/tasks")}))
	c := must(bridge.CreateConnection(ctx, &eventbridge.CreateConnectionInput{Name: aws.String("c"), AuthorizationType: types.ConnectionAuthorizationTypeApiKey,
		AuthParameters: &types.CreateConnectionAuthRequestParameters{ApiKeyAuthParameters: &types.CreateConnectionApiKeyAuthRequestParameters{ApiKeyName: aws.String("X-Key"), ApiKeyValue: aws.String("s3cret")}}}))
	d := must(bridge.CreateApiDestination(ctx, &eventbridge.CreateApiDestinationInput{Name: aws.String("d"), ConnectionArn: c.ConnectionArn, HttpMethod: types.ApiDestinationHttpMethodPost,
		InvocationEndpoint: aws.String(hook.URL + "/hook/*")}))
	must(bridge.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("stopped"),
		EventPattern: aws.String(`{"source":["aws.ecs"],"detail-type":["ECS Task State Change"],"detail":{"lastStatus":["STOPPED"],"group":["family:f"]}}`)}))
	put := must(bridge.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("stopped"), Targets: []types.Target{
		{Id: aws.String("http"), Arn: d.ApiDestinationArn, HttpParameters: &types.HttpParameters{PathParameterValues: []string{"ecs"}}},
		{Id: aws.String("logs"), Arn: aws.String("arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/tasks")},
	}}))
	if put.FailedEntryCount != 0 {
		t.Fatalf("%+v", put.FailedEntries)
	}
	task := s.run(ecstypes.ContainerDefinition{}, "RUNNING")
	must(s.ecs.StopTask(ctx, &ecs.StopTaskInput{Task: task.TaskArn, Reason: aws.String("enough")}))
	var told request
	select {
	case told = <-got:
	case <-time.After(30 * time.Second):
		t.Fatal("no event reached the server")
	}
	var event struct {
		ID         string
		DetailType string `json:"detail-type"`
		Resources  []string
		Detail     struct{ LastStatus, StoppedReason, StopCode, ClusterArn string }
	}
	if err := json.Unmarshal([]byte(told.body), &event); err != nil {
		t.Fatal(err)
	}
	if told.key != "s3cret" || told.path != "/hook/ecs" || event.Detail.LastStatus != "STOPPED" || event.Detail.StopCode != "UserInitiated" || event.Resources[0] != *task.TaskArn {
		t.Errorf("%+v: %+v", told, event)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		out := must(s.logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/aws/events/tasks")}))
		if len(out.Events) > 0 {
			if *out.Events[0].Message != told.body {
				t.Errorf("the log has %s, the server %s", *out.Events[0].Message, told.body)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("no event reached the log group")
		}
	}
	view := must(bridge.DescribeConnection(ctx, &eventbridge.DescribeConnectionInput{Name: aws.String("c")}))
	if text := must(json.Marshal(view.AuthParameters)); strings.Contains(string(text), "s3cret") {
		t.Errorf("the key is shown: %s", text)
	}
}

// TestEventRunsTask: an event of one's own starts a task with what it says, by a rule's target.
func TestEventRunsTask(t *testing.T) {
	s := simulate(t, nil)
	bridge, ctx := s.events(), t.Context()
	s.run(ecstypes.ContainerDefinition{}, "RUNNING")
	must(bridge.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("go"), EventPattern: aws.String(`{"source":["my.app"]}`)}))
	must(bridge.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("go"), Targets: []types.Target{{
		Id: aws.String("t"), Arn: aws.String("arn:aws:ecs:us-east-1:123456789012:cluster/default"), RoleArn: aws.String("arn:aws:iam::123456789012:role/ecsEventsRole"),
		EcsParameters: &types.EcsParameters{TaskDefinitionArn: aws.String("arn:aws:ecs:us-east-1:123456789012:task-definition/f"), TaskCount: aws.Int32(2), ReferenceId: aws.String("ref"),
			Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}},
		InputTransformer: &types.InputTransformer{InputPathsMap: map[string]string{"w": "$.detail.what"},
			InputTemplate: aws.String(`{"containerOverrides":[{"name":"main","environment":[{"name":"WHAT","value":"<w>"}]}]}`)},
	}}}))
	out := must(bridge.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		{Source: aws.String("my.app"), DetailType: aws.String("x"), Detail: aws.String(`{"what":"this"}`)},
		{Source: aws.String("aws.ecs"), DetailType: aws.String("x"), Detail: aws.String(`{}`)},
		{Source: aws.String("my.app"), DetailType: aws.String("x"), Detail: aws.String(`{`)},
	}}))
	if out.FailedEntryCount != 2 || out.Entries[0].EventId == nil || *out.Entries[1].ErrorCode != "NotAuthorizedForSourceException" || *out.Entries[2].ErrorCode != "MalformedDetail" {
		t.Fatalf("%+v", out)
	}
	tasks := s.started("events-rule/go", 2)
	if o := tasks[0].Overrides.ContainerOverrides[0]; aws.ToString(o.Environment[0].Value) != "this" {
		t.Errorf("%+v", o)
	}
	if !strings.Contains(*tasks[0].TaskDefinitionArn, "task-definition/f:") || len(tasks[0].Tags) != 1 {
		t.Errorf("%+v", tasks[0])
	}
}

// started waits until there are n tasks that were started by someone.
func (s *simulation) started(by string, n int) []ecstypes.Task {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list := must(s.ecs.ListTasks(s.t.Context(), &ecs.ListTasksInput{StartedBy: &by}))
		if len(list.TaskArns) >= n {
			return must(s.ecs.DescribeTasks(s.t.Context(), &ecs.DescribeTasksInput{Tasks: list.TaskArns, Include: []ecstypes.TaskField{ecstypes.TaskFieldTags}})).Tasks
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d tasks were started by %s, not %d", len(list.TaskArns), by, n)
		}
	}
}

// TestScheduledTask: a rule that is due runs a task, and its event starts no second one.
func TestScheduledTask(t *testing.T) {
	ring, place := keyring.New("123456789012"), domain.Place{Account: "123456789012", Region: "us-east-1"}
	w, err := newWorld(t.Context(), DevConfig{Place: place, Nodes: 1, Zones: 1, CPU: 1024, MemoryMiB: 1024, Log: slog.New(slog.DiscardHandler)}, ring, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	store, ctx := w.plane.store, t.Context()
	feed := store.Watch()
	due := domain.MillisOf(time.Now().Add(-time.Second))
	err = store.Update(ctx, func(tx *state.Tx) error {
		tx.Definitions.Put(&domain.TaskDefinition{Family: "job", Revision: 1, Status: domain.DefinitionActive, Compatibilities: []string{"EC2"},
			ContainerDefinitions: []domain.ContainerDefinition{{Name: "main", Image: "example", Memory: aws.Int32(16)}}})
		tx.EventRules.Put(&state.EventRule{Bus: "default", Name: "hourly", State: state.RuleEnabled, Schedule: "rate(1 hour)", NextAt: due,
			Targets: []state.EventTarget{{ID: "t", ARN: place.ClusterARN("default"), Task: &state.EventTask{Definition: "job:1", Count: 1},
				Input: aws.String(`{"containerOverrides":[{"name":"main","command":["run"]}]}`)}}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var task *domain.Task
	for told := false; task == nil || !told; {
		commit, err := feed.Next(ctx)
		if err != nil {
			t.Fatalf("task %v: %v", task, err)
		}
		for _, ch := range commit.Tasks {
			if ch.Old == nil {
				if task != nil {
					t.Error("a second task")
				}
				task = ch.New
			}
		}
		// Once the outbox and the retries are empty behind the task, nothing more comes.
		told = task != nil && commit.View.EventOutbox.Len()+commit.View.EventRetries.Len() == 0
	}
	if task.StartedBy != "events-rule/hourly" || task.Overrides == nil || task.Overrides.ContainerOverrides[0].Command[0] != "run" {
		t.Errorf("%+v", task)
	}
	if next := store.View().EventRules.Get("default/hourly").NextAt; next != due+3600_000 {
		t.Errorf("due next at %d, %d after it was", next, next-due)
	}
}
