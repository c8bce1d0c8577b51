package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"roadstead.dev/roadstead/internal/ecs"
)

// maxAnswer is the most that is read of an answer, in bytes.
const maxAnswer = 64 << 10

// request is what a target is told, in the words that AWS's functions get.
type request struct {
	ExecutionDetails details         `json:"executionDetails"`
	ExecutionID      string          `json:"executionId"`
	LifecycleStage   string          `json:"lifecycleStage"`
	ResourceARN      string          `json:"resourceArn"`
	HookDetails      json.RawMessage `json:"hookDetails,omitempty"`
}

type details struct {
	ServiceARN               string             `json:"serviceArn"`
	TargetServiceRevisionARN string             `json:"targetServiceRevisionArn"`
	TestTrafficWeights       map[string]float64 `json:"testTrafficWeights"`
	ProductionTrafficWeights map[string]float64 `json:"productionTrafficWeights"`
}

// reply is what a target answers. CallBackDelay is in seconds.
type reply struct {
	HookStatus    string          `json:"hookStatus"`
	CallBackDelay float64         `json:"callBackDelay"`
	HookDetails   json.RawMessage `json:"hookDetails"`
}

// wrongAnswer is one that calling again does not mend.
type wrongAnswer struct{ text string }

func (e *wrongAnswer) Error() string { return e.text }

// post calls the target of a run. The error is a wrongAnswer if it answered what it must not.
func (k *caller) post(ctx context.Context, d *ecs.ServiceDeployment, run *ecs.HookRun) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	hook := &d.Configuration.Hooks[run.Hook]
	body, err := json.Marshal(k.request(d, run, hook))
	if err != nil {
		return nil, &wrongAnswer{"The details of the hook are not JSON."}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.TargetARN, bytes.NewReader(body))
	if err != nil {
		return nil, &wrongAnswer{"The hook target is not a URL."}
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := k.Client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("call a lifecycle hook: %w", err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read a lifecycle hook's answer: %w", err)
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("the lifecycle hook answered %d", answer.StatusCode)
	case answer.StatusCode/100 != 2:
		return nil, &wrongAnswer{fmt.Sprintf("The hook target answered with the HTTP status %d.", answer.StatusCode)}
	}
	return readReply(raw)
}

// readReply reads a target's answer.
func readReply(raw []byte) (*reply, error) {
	var out reply
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, &wrongAnswer{"The hook target did not answer with a JSON object."}
	}
	switch out.HookStatus {
	case ecs.HookSucceeded, ecs.HookFailed, ecs.HookInProgress:
	default:
		return nil, &wrongAnswer{"The hook target did not answer with a valid hookStatus."}
	}
	if !(out.CallBackDelay >= 0 && out.CallBackDelay <= 24*3600) {
		return nil, &wrongAnswer{"The hook target answered with a callBackDelay that is not between 0 and a day."}
	}
	return &out, nil
}

func (k *caller) request(d *ecs.ServiceDeployment, run *ecs.HookRun, hook *ecs.LifecycleHook) *request {
	out := &request{
		ExecutionID: run.ID, LifecycleStage: run.Stage, ResourceARN: k.Place.ServiceDeploymentARN(d.Cluster, d.Service, d.ID),
		ExecutionDetails: details{
			ServiceARN: k.Place.ServiceARN(d.Cluster, d.Service), TargetServiceRevisionARN: k.Place.ServiceRevisionARN(d.Cluster, d.Service, d.Target.ID),
			TestTrafficWeights: map[string]float64{}, ProductionTrafficWeights: map[string]float64{},
		},
		HookDetails: json.RawMessage(hook.Details),
	}
	if run.Details != "" {
		out.HookDetails = json.RawMessage(run.Details)
	}
	return out
}
