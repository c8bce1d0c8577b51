package eventbridge

import (
	"context"
	"encoding/json"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/events/pattern"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// mostEventBytes is the most of all entries of a PutEvents together.
const mostEventBytes = 256 << 10

// TestEventPattern tells whether an event matches a pattern.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TestEventPattern.html
func (a *API) TestEventPattern(_ context.Context, in *sdk.TestEventPatternInput) (*sdk.TestEventPatternOutput, error) {
	var c checks
	text, event := c.Text(in.EventPattern, "eventPattern", patternForm), c.Text(in.Event, "event", constraint.Form{Max: 1 << 20})
	if err := c.err(); err != nil {
		return nil, err
	}
	p, err := parsePattern(text)
	if err != nil {
		return nil, err
	}
	e, err := pattern.Decode(event)
	if err != nil {
		return nil, fault.New(fault.Validation, "Parameter Event is not valid.")
	}
	for _, name := range []string{"id", "account", "source", "time", "region", "resources", "detail-type"} {
		if _, ok := e[name]; !ok {
			return nil, fault.New(fault.Validation, "Parameter Event is not valid. Reason: %s is a required field.", name)
		}
	}
	return &sdk.TestEventPatternOutput{Result: p.Match(e)}, nil
}

// PutEvents takes events of one's own. Each entry is taken or refused for itself.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
func (a *API) PutEvents(ctx context.Context, in *sdk.PutEventsInput) (*sdk.PutEventsOutput, error) {
	var c checks
	c.list(len(in.Entries), "entries", 1, 10)
	if err := first(c.err(), unsupported(in.EndpointId != nil, "EndpointId")); err != nil {
		return nil, err
	}
	size := 0
	for i := range in.Entries {
		size += sizeOf(&in.Entries[i])
	}
	if size > mostEventBytes {
		return nil, fault.New(fault.Validation, "Total size of the entries in the request is over the limit.")
	}
	out := &sdk.PutEventsOutput{Entries: make([]types.PutEventsResultEntry, len(in.Entries))}
	var changes []state.EventChange
	for i := range in.Entries {
		change, id, code, message := a.readEntry(&in.Entries[i])
		if code != "" {
			out.Entries[i] = types.PutEventsResultEntry{ErrorCode: &code, ErrorMessage: &message}
			out.FailedEntryCount++
			continue
		}
		out.Entries[i].EventId = &id
		if change != nil {
			changes = append(changes, *change)
		}
	}
	if len(changes) == 0 {
		return out, nil
	}
	return out, a.Store.Update(ctx, func(tx *state.Tx) error {
		a.Outbox.Put(tx, changes)
		return nil
	})
}

// sizeOf counts an entry as EventBridge does, in bytes.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
func sizeOf(e *types.PutEventsRequestEntry) int {
	n := len(str(e.Source)) + len(str(e.DetailType)) + len(str(e.Detail))
	if e.Time != nil {
		n += 14
	}
	for _, r := range e.Resources {
		n += len(r)
	}
	return n
}

// readEntry makes an event of an entry, or says why not. There is no change if no rule asks for it.
func (a *API) readEntry(in *types.PutEventsRequestEntry) (change *state.EventChange, id, code, message string) {
	const invalid = "InvalidArgument"
	for _, m := range []struct {
		name  string
		value *string
	}{{"Source", in.Source}, {"DetailType", in.DetailType}, {"Detail", in.Detail}} {
		if str(m.value) == "" {
			return nil, "", invalid, "Parameter " + m.name + " is not valid. Reason: " + m.name + " is a required argument."
		}
	}
	var c checks
	bus := a.busOf(&c, in.EventBusName)
	t := a.tables()
	switch {
	case strings.HasPrefix(*in.Source, "aws."):
		return nil, "", "NotAuthorizedForSourceException", "Not authorized for the source."
	case c.err() != nil || checkBus(t, bus) != nil:
		return nil, "", invalid, "Parameter EventBusName is not valid. Reason: EventBus does not exist."
	case in.TraceHeader != nil:
		return nil, "", invalid, "Parameter TraceHeader is not supported."
	}
	var detail map[string]json.RawMessage
	if json.Unmarshal([]byte(*in.Detail), &detail) != nil || detail == nil {
		return nil, "", "MalformedDetail", "Detail is malformed."
	}
	at := a.now()
	if in.Time != nil {
		at = ecs.MillisOf(*in.Time)
	}
	e := events.New(a.Place, uuid.NewString(), *in.Source, *in.DetailType, at, in.Resources...)
	e.Detail = json.RawMessage(*in.Detail)
	text, err := e.JSON()
	if err != nil {
		return nil, "", "MalformedDetail", "Detail is malformed."
	}
	// What no rule asks for is not written.
	if rules, err := a.patterns.Matching(t.EventRules, bus, text); err != nil || len(rules) == 0 {
		return nil, e.ID, "", ""
	}
	return &state.EventChange{Event: text, Bus: bus}, e.ID, "", ""
}
