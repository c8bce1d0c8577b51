package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/events/pattern"
	"roadstead.dev/roadstead/internal/events/transform"
	"roadstead.dev/roadstead/internal/state"
)

// send makes one attempt. A *Permanent error says that there is no use in another.
func (k *courier) send(ctx context.Context, view *state.View, rule *state.EventRule, target *state.EventTarget, r *state.EventRetry) error {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	arn := events.RuleARN(k.Place, rule)
	text, err := input(arn, rule, target, r)
	if err != nil {
		return &Permanent{err}
	}
	kind, name := events.KindOf(k.Place, target.ARN)
	switch kind {
	case events.TargetLogs:
		at, message := logEvent(r, text)
		return k.WriteLog(ctx, name, uuid.NewSHA1(uuid.NameSpaceURL, []byte(arn)).String(), at, message)
	case events.TargetHTTP:
		d := events.DestinationOfARN(k.Place, &view.Tables, target.ARN)
		if d == nil {
			return &Permanent{fmt.Errorf("there is no API destination %s", target.ARN)}
		}
		return k.invoke(ctx, view, d, target, text)
	case events.TargetTask:
		sum := sha256.Sum256([]byte(r.EventID + "\n" + laneKey(r)))
		return k.RunTask(ctx, TaskCall{Cluster: name, Task: target.Task, Input: text, Token: hex.EncodeToString(sum[:]), StartedBy: "events-rule/" + rule.Name})
	}
	return &Permanent{fmt.Errorf("there is no target %s", target.ARN)}
}

// rateOf is how many invocations a second a target takes; 0 is any.
func (k *courier) rateOf(view *state.View, target *state.EventTarget) int32 {
	if kind, _ := events.KindOf(k.Place, target.ARN); kind != events.TargetHTTP {
		return 0
	}
	if d := events.DestinationOfARN(k.Place, &view.Tables, target.ARN); d != nil {
		return d.Rate
	}
	return 0
}

// input is what a target gets of an event.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
func input(arn string, rule *state.EventRule, target *state.EventTarget, r *state.EventRetry) (string, error) {
	switch {
	case target.Input != nil:
		return *target.Input, nil
	case target.InputPath == nil && target.Transformer == nil:
		return r.Event, nil
	}
	event, err := pattern.Decode(r.Event)
	if err != nil {
		return "", fmt.Errorf("read an event: %w", err)
	}
	if target.InputPath != nil {
		return part(*target.InputPath, event)
	}
	values := map[string]any{
		"aws.events.rule-arn": arn, "aws.events.rule-name": rule.Name, "aws.events.event": without(event, "detail"), "aws.events.event.json": event,
		"aws.events.event.ingestion-time": r.First.Time().UTC().Format("2006-01-02T15:04:05Z"),
	}
	for name, text := range target.Transformer.Paths {
		p, err := transform.ParsePath(text)
		if err != nil {
			return "", fmt.Errorf("input path %s: %w", name, err)
		}
		values[name], _ = p.Of(event)
	}
	return transform.Template(target.Transformer.Template, values)
}

func part(path string, event map[string]any) (string, error) {
	p, err := transform.ParsePath(path)
	if err != nil {
		return "", fmt.Errorf("input path: %w", err)
	}
	v, _ := p.Of(event)
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write a part of an event: %w", err)
	}
	return string(b), nil
}

func without(m map[string]any, name string) map[string]any {
	out := make(map[string]any, len(m))
	for key, v := range m {
		if key != name {
			out[key] = v
		}
	}
	return out
}

// logEvent is what a log group gets: the event at its time, or what a template for log groups says.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutTargets.html
func logEvent(r *state.EventRetry, text string) (time.Time, string) {
	at := r.First.Time()
	if text == r.Event {
		return at, text
	}
	var said struct {
		Timestamp json.RawMessage `json:"timestamp"`
		Message   json.RawMessage `json:"message"`
	}
	if json.Unmarshal([]byte(text), &said) != nil || said.Message == nil {
		return at, text
	}
	if ms, err := time.Parse(time.RFC3339, strings.Trim(string(said.Timestamp), `"`)); err == nil {
		at = ms
	}
	var message string
	if json.Unmarshal(said.Message, &message) != nil {
		message = string(said.Message)
	}
	return at, message
}
