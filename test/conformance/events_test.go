package conformance

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

func (s *suite) events() *eventbridge.Client {
	s.Helper()
	var options []func(*config.LoadOptions) error
	if s.endpoint != "aws" {
		options = append(options, config.WithBaseEndpoint(s.endpoint))
	}
	cfg, err := config.LoadDefaultConfig(s.ctx, options...)
	if err != nil {
		s.Fatal(err)
	}
	return eventbridge.NewFromConfig(cfg)
}

// rule makes a rule, which is deleted after the test with its targets.
func (s *suite) rule(c *eventbridge.Client, in eventbridge.PutRuleInput) {
	s.Helper()
	in.Name = &s.name
	s.cleanup(func(ctx context.Context) error {
		list, err := c.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: &s.name})
		if err != nil {
			return err
		}
		for _, t := range list.Targets {
			if _, err := c.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &s.name, Ids: []string{*t.Id}}); err != nil {
				return err
			}
		}
		_, err = c.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &s.name})
		return err
	})
	must[eventbridge.PutRuleOutput](s)(c.PutRule(s.ctx, &in))
}

// TestTaskEvents: a rule's log group gets the states of a task, in the words of the developer's guide.
func TestTaskEvents(t *testing.T) {
	s := beginOnInstances(t)
	if s.endpoint == "aws" {
		t.Skip("needs a resource policy of the log group")
	}
	c, group := s.events(), s.newLogGroup()
	s.rule(c, eventbridge.PutRuleInput{EventPattern: aws.String(`{"source":["aws.ecs"],"detail-type":["ECS Task State Change"],"detail":{"startedBy":["` + s.name + `"]}}`)})
	put := must[eventbridge.PutTargetsOutput](s)(c.PutTargets(s.ctx, &eventbridge.PutTargetsInput{Rule: &s.name, Targets: []types.Target{
		{Id: aws.String("logs"), Arn: aws.String("arn:aws:logs:" + s.region + ":" + s.account + ":log-group:" + group)}}}))
	if put.FailedEntryCount != 0 {
		t.Fatalf("%+v", put.FailedEntries)
	}
	task := s.start(s.define(nil), nil).Tasks[0]
	s.wait("RUNNING", task)
	must[ecs.StopTaskOutput](s)(s.ecs.StopTask(s.ctx, &ecs.StopTaskInput{Cluster: &s.cluster, Task: task.TaskArn, Reason: aws.String("enough")}))
	seen := map[string]bool{}
	for deadline := time.Now().Add(time.Minute); !seen["STOPPED"]; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no event of the end: %v", seen)
		}
		out := must[cloudwatchlogs.FilterLogEventsOutput](s)(s.logs.FilterLogEvents(s.ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group}))
		for _, e := range out.Events {
			var event struct {
				Source, Account, Region string
				Resources               []string
				Detail                  struct{ TaskArn, LastStatus, ClusterArn, StoppedReason string }
			}
			if err := json.Unmarshal([]byte(*e.Message), &event); err != nil {
				t.Fatal(err)
			}
			if event.Source != "aws.ecs" || event.Account != s.account || event.Region != s.region || event.Resources[0] != *task.TaskArn || event.Detail.TaskArn != *task.TaskArn || event.Detail.ClusterArn != *task.ClusterArn {
				t.Errorf("%s", *e.Message)
			}
			seen[event.Detail.LastStatus] = true
		}
	}
	if !seen["RUNNING"] {
		t.Errorf("states %v", seen)
	}
}

// TestRulesByCLI makes and shows rules with the AWS CLI.
func TestRulesByCLI(t *testing.T) {
	s := begin(t)
	c := s.events()
	s.rule(c, eventbridge.PutRuleInput{ScheduleExpression: aws.String("cron(0 2 * * ? *)"), State: types.RuleStateDisabled})
	shown := s.cli("events", "describe-rule", "--name", s.name)
	if at(shown, "ScheduleExpression") != "cron(0 2 * * ? *)" || at(shown, "State") != "DISABLED" || at(shown, "EventBusName") != "default" {
		t.Errorf("describe-rule: %v", shown)
	}
	s.cli("events", "put-targets", "--rule", s.name, "--targets", `[{"Id":"t","Arn":"`+s.arn("cluster/"+s.cluster)+`","RoleArn":"arn:aws:iam::`+s.account+
		`:role/ecsEventsRole","EcsParameters":{"TaskDefinitionArn":"`+s.arn("task-definition/"+s.name)+`","TaskCount":1}}]`)
	if got := at(s.cli("events", "list-targets-by-rule", "--rule", s.name), "Targets", 0, "EcsParameters", "TaskCount"); got != 1.0 {
		t.Errorf("list-targets-by-rule: %v", got)
	}
	if _, stderr, err := s.tryCLI("events", "delete-rule", "--name", s.name); err == nil || !strings.Contains(string(stderr), "Rule can't be deleted since it has targets.") {
		t.Errorf("delete-rule: %s", stderr)
	}
	_, stderr, err := s.tryCLI("events", "put-rule", "--name", s.name, "--event-pattern", `{"source":"aws.ecs"}`)
	if err == nil || !strings.Contains(string(stderr), "InvalidEventPatternException") || !strings.Contains(string(stderr), "Event pattern is not valid. Reason: ") {
		t.Errorf("put-rule: %s", stderr)
	}
	if got := at(s.cli("events", "test-event-pattern", "--event-pattern", `{"source":["aws.ecs"]}`, "--event",
		`{"id":"1","account":"1","source":"aws.ecs","time":"2026-01-02T03:04:05Z","region":"r","resources":[],"detail-type":"d"}`), "Result"); got != true {
		t.Errorf("test-event-pattern: %v", got)
	}
}
