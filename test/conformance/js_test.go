package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestJavaScript runs the tests under js, which drive the AWS SDK for JavaScript, one file for each group of operations.
func TestJavaScript(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("js/node_modules/@aws-sdk/client-ecs"); err != nil {
		t.Fatal("the SDK for JavaScript is not installed: scripts/setup test does it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	files, err := filepath.Glob("js/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{"--test"}, files...)...)
	cmd.Env = append(os.Environ(), "ROADSTEAD_CONFORMANCE_CLUSTER="+the.cluster)
	if the.endpoint != "aws" {
		cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL="+the.endpoint)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
