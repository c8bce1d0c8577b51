package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// exitUpdate is how Amazon's agent ends to have ecs-init load what it has fetched.
const exitUpdate = 42

// newAgent serves what passes for a newer image of the agent, and gives the flags that offer it.
func newAgent(t *testing.T) (image string, flags []string) {
	t.Helper()
	image = "a newer agent, were it one\n"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(image)) }))
	t.Cleanup(s.Close)
	sum := sha256.Sum256([]byte(image))
	return image, []string{"--agent-update-url", s.URL + "/ecs-agent.tar", "--agent-update-sha256", hex.EncodeToString(sum[:])}
}

func (a *amazon) updates() string { return filepath.Join(a.dir, "updates") }

// isUpdated: the agent loads the release, checks it and ends for it. Nothing here loads it into Docker, as ecs-init would, so that the
// agent that comes back is the one that it was, and says so.
func (a *amazon) isUpdated(image string) func(*testing.T) {
	return func(t *testing.T) {
		arn := a.instance().ContainerInstanceArn
		if _, err := a.in.ECS.UpdateContainerAgent(t.Context(), &ecs.UpdateContainerAgentInput{ContainerInstance: arn}); err != nil {
			t.Fatal(err)
		}
		if err := a.cmd.Wait(); a.cmd.ProcessState.ExitCode() != exitUpdate {
			t.Fatalf("the agent ended with %v", err)
		}
		files, err := filepath.Glob(filepath.Join(a.updates(), "*.ecs-update.tar"))
		if err != nil || len(files) != 1 {
			t.Fatalf("what it fetched: %v, %v", files, err)
		}
		if b, err := os.ReadFile(files[0]); err != nil || string(b) != image {
			t.Errorf("it fetched %q, %v", b, err)
		}
		a.start()
		eventually(t, "the agent is back as what it was", func() bool { return a.instance().AgentUpdateStatus == types.AgentUpdateStatusFailed })
	}
}
