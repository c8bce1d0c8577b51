package conformance

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func (s *suite) newLogGroup() string {
	s.Helper()
	must[cloudwatchlogs.CreateLogGroupOutput](s)(s.logs.CreateLogGroup(s.ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &s.name}))
	s.cleanup(func(ctx context.Context) error {
		_, err := s.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &s.name})
		return err
	})
	return s.name
}

// TestTaskOutput: what a container writes is in the stream that the log driver's options name, in order.
func TestTaskOutput(t *testing.T) {
	s := beginOnInstances(t)
	group := s.newLogGroup()
	d := s.define(func(in *ecs.RegisterTaskDefinitionInput) {
		c := &in.ContainerDefinitions[0]
		c.Command = []string{"sh", "-c", "echo one; echo two"}
		c.LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": group, "awslogs-region": s.region, "awslogs-stream-prefix": "p"}}
	})
	task := s.start(d, nil).Tasks[0]
	s.wait("STOPPED", task)
	stream := "p/main/" + (*task.TaskArn)[strings.LastIndexByte(*task.TaskArn, '/')+1:]
	var lines []string
	for deadline := time.Now().Add(30 * time.Second); len(lines) < 2 && time.Now().Before(deadline); {
		out := must[cloudwatchlogs.GetLogEventsOutput](s)(s.logs.GetLogEvents(s.ctx, &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true)}))
		lines = nil
		for _, e := range out.Events {
			lines = append(lines, *e.Message)
		}
	}
	if strings.Join(lines, ",") != "one,two" {
		t.Errorf("output: %q", lines)
	}
}

func TestLogEvents(t *testing.T) {
	s := begin(t)
	group := s.newLogGroup()
	must[cloudwatchlogs.CreateLogStreamOutput](s)(s.logs.CreateLogStream(s.ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: aws.String("s")}))
	now := time.Now().UnixMilli()
	var events []logstypes.InputLogEvent
	for i, text := range []string{"GET /a", "GET /b", "POST /a"} {
		events = append(events, logstypes.InputLogEvent{Timestamp: aws.Int64(now + int64(i)), Message: aws.String(text)})
	}
	must[cloudwatchlogs.PutLogEventsOutput](s)(s.logs.PutLogEvents(s.ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: aws.String("s"), LogEvents: events}))
	var found []string
	for deadline := time.Now().Add(30 * time.Second); len(found) < 2 && time.Now().Before(deadline); {
		found = nil
		for pages := cloudwatchlogs.NewFilterLogEventsPaginator(s.logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, FilterPattern: aws.String("GET")}); pages.HasMorePages(); {
			for _, e := range must[cloudwatchlogs.FilterLogEventsOutput](s)(pages.NextPage(s.ctx)).Events {
				found = append(found, *e.Message)
			}
		}
	}
	if strings.Join(found, ",") != "GET /a,GET /b" {
		t.Errorf("found: %q", found)
	}
	_, err := s.logs.CreateLogGroup(s.ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group})
	refused[*logstypes.ResourceAlreadyExistsException](s, err, "The specified log group already exists")
	_, err = s.logs.GetLogEvents(s.ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: aws.String("none")})
	refused[*logstypes.ResourceNotFoundException](s, err, "The specified log stream does not exist.")
}
