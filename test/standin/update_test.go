package standin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/devcluster"
	domain "roadstead.dev/roadstead/internal/ecs"
)

// update is what is looked at of the messages of an update.
type update struct {
	MessageID, ClusterARN, ContainerInstanceARN string
	UpdateInfo                                  struct{ Location, Signature string }
}

func (a *agent) update(name string) (m update) {
	a.t.Helper()
	unmarshal(a.t, a.acs.expect(name, nil), &m)
	if m.ContainerInstanceARN != a.instance || m.ClusterARN == "" || m.UpdateInfo.Location != release.URL || m.UpdateInfo.Signature != release.SHA256 {
		a.t.Errorf("%s: %+v", name, m)
	}
	return m
}

func (a *agent) nack(messageID, reason string) {
	a.t.Helper()
	a.acs.send("NackRequest", `{"cluster":"`+a.cluster+`","containerInstance":"`+a.instance+`","messageId":"`+messageID+`","reason":"`+reason+`"}`)
}

var release = domain.AgentRelease{URL: "http://updates.example/ecs-agent.tar", SHA256: strings.Repeat("ab", 32), Version: "1.106.0"}

func (l *lab) askUpdate(a *agent) error {
	l.t.Helper()
	_, err := l.ecs.UpdateContainerAgent(l.t.Context(), &ecs.UpdateContainerAgentInput{ContainerInstance: &a.instance})
	return err
}

func (l *lab) updateIs(a *agent, status types.AgentUpdateStatus) {
	l.t.Helper()
	l.eventually("the update is "+string(status), func() bool { return l.describeInstance(a.instance).AgentUpdateStatus == status })
}

// TestUpdate: an agent is brought to the release that is offered, step by step, over whatever happens to its connections.
func TestUpdate(t *testing.T) {
	l := newLabWith(t, 0, devcluster.Settings{AgentRelease: &release})
	a := l.join()
	if err := l.askUpdate(a); !isA[*types.MissingVersionException](err) {
		t.Errorf("before the agent said what it is: %v", err)
	}
	a.openACS("true")
	if err := l.askUpdate(a); err != nil {
		t.Fatal(err)
	}
	if err := l.askUpdate(a); !isA[*types.UpdateInProgressException](err) {
		t.Errorf("twice: %v", err)
	}
	first := a.update("StageUpdateMessage")
	l.updateIs(a, types.AgentUpdateStatusStaging)
	// It loads while its connection is renewed: asked again, it says yes to both.
	a.openACS("false")
	second := a.update("StageUpdateMessage")
	a.ack(first.MessageID)
	a.ack("none")
	a.ack(second.MessageID)
	perform := a.update("PerformUpdateMessage")
	l.updateIs(a, types.AgentUpdateStatusUpdating)
	a.ack(second.MessageID)
	a.ack(perform.MessageID)
	a.acs.conn.CloseNow()
	a.version = release.Version
	a.openACS("true")
	l.updateIs(a, types.AgentUpdateStatusUpdated)
	if i := l.describeInstance(a.instance); *i.VersionInfo.AgentVersion != release.Version {
		t.Errorf("it is %s", *i.VersionInfo.AgentVersion)
	}
	if err := l.askUpdate(a); !isA[*types.NoUpdateAvailableException](err) {
		t.Errorf("of the newest agent: %v", err)
	}
}

// TestUpdateFails: agents refuse updates, and forget them.
func TestUpdateFails(t *testing.T) {
	l := newLabWith(t, 0, devcluster.Settings{AgentRelease: &release})
	a := l.join()
	a.openACS("true")
	ask := func() {
		t.Helper()
		if err := l.askUpdate(a); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	a.nack(a.update("StageUpdateMessage").MessageID, "Updates are disabled")
	l.updateIs(a, types.AgentUpdateStatusFailed)
	// It is restarted between the two steps: what it loaded is forgotten.
	ask()
	a.ack(a.update("StageUpdateMessage").MessageID)
	a.update("PerformUpdateMessage")
	a.openACS("false")
	a.nack(a.update("PerformUpdateMessage").MessageID, "Cannot perform update; update not downloaded")
	l.updateIs(a, types.AgentUpdateStatusFailed)
	// It goes over to the update, and is what it was.
	ask()
	a.ack(a.update("StageUpdateMessage").MessageID)
	a.ack(a.update("PerformUpdateMessage").MessageID)
	a.openACS("true")
	l.updateIs(a, types.AgentUpdateStatusFailed)
	// An agent that starts anew before it has said that it has the update is asked to load it again.
	ask()
	a.update("StageUpdateMessage")
	a.openACS("true")
	a.ack(a.update("StageUpdateMessage").MessageID)
	a.update("PerformUpdateMessage")
}

// TestNoUpdate: where the operator offers no release there is none, and agents are told nothing.
func TestNoUpdate(t *testing.T) {
	l := newLab(t, 0)
	a := l.join()
	a.openACS("true")
	if err := l.askUpdate(a); !isA[*types.NoUpdateAvailableException](err) {
		t.Error(err)
	}
	if i := l.describeInstance(a.instance); i.AgentUpdateStatus != "" || aws.ToString(i.VersionInfo.AgentVersion) != "1.105.1" {
		t.Errorf("%+v", i)
	}
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
