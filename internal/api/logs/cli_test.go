package logs_test

import (
	"bufio"
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"roadstead.dev/roadstead/internal/logstore"
)

// awsCLI is Debian's AWS CLI, which knows --endpoint-url but not AWS_ENDPOINT_URL.
const awsCLI = "/usr/bin/aws"

func cli(ctx context.Context, t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, awsCLI, append([]string{"--endpoint-url", url, "--region", region, "--output", "text"}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "AWS_ACCESS_KEY_ID=" + keyID, "AWS_SECRET_ACCESS_KEY=" + secret,
		"AWS_EC2_METADATA_DISABLED=true", "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1"}
	return cmd
}

func runCLI(t *testing.T, url string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := cli(ctx, t, url, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestCLI(t *testing.T) {
	url := serve(t, newService(t, newStore(t, logstore.Config{}), nil))
	c := client(url)
	fill(t, c, 20)

	if out := runCLI(t, url, "logs", "tail", "/app/web", "--format", "short"); strings.Count(out, "\n") != 20 || !strings.HasSuffix(out, "event 000019\n") {
		t.Errorf("tail: %s", out)
	}
	out := runCLI(t, url, "logs", "filter-log-events", "--log-group-name", "/app/web", "--filter-pattern", "%00001[0-4]% -000012", "--query", "events[].message")
	if out != "event 000010\tevent 000011\tevent 000013\tevent 000014\n" {
		t.Errorf("filter-log-events: %q", out)
	}
	out = runCLI(t, url, "logs", "get-log-events", "--log-group-name", "/app/web", "--log-stream-name", "b", "--limit", "2", "--query", "events[].message")
	if out != "event 000017\tevent 000019\n" {
		t.Errorf("get-log-events: %q", out)
	}
	runCLI(t, url, "logs", "put-retention-policy", "--log-group-name", "/app/web", "--retention-in-days", "7")
	out = runCLI(t, url, "logs", "describe-log-groups", "--query", "logGroups[].[logGroupName,arn,retentionInDays]")
	if out != "/app/web\tarn:aws:logs:us-east-1:000000000000:log-group:/app/web:*\t7\n" {
		t.Errorf("describe-log-groups: %q", out)
	}
}

func TestCLITailFollow(t *testing.T) {
	url := serve(t, newService(t, newStore(t, logstore.Config{}), nil))
	c := client(url)
	fill(t, c, 4)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := cli(ctx, t, url, "logs", "tail", "/app/web", "--follow", "--format", "short", "--filter-pattern", "event")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	stdout, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{"000000", "000001", "000002", "000003"} {
		if !lines.Scan() || !strings.HasSuffix(lines.Text(), want) {
			t.Fatalf("line %q where %s should be", lines.Text(), want)
		}
	}
	_, err = c.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/app/web"), LogStreamName: aws.String("a"),
		LogEvents: []types.InputLogEvent{{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String("event at last")}}})
	ok(t, err)
	if !lines.Scan() || !strings.HasSuffix(lines.Text(), "event at last") {
		t.Errorf("line %q where the new event should be", lines.Text())
	}
	cancel()
	// Its exit status is that of an interrupted program.
	if err := cmd.Wait(); err != nil {
		t.Logf("tail ended: %v", err)
	}
}
