package eventbridge

import (
	"context"
	"iter"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// mostBuses is a quota of EventBridge's.
const mostBuses = 100

// CreateEventBus makes a bus of one's own.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateEventBus.html
func (a *API) CreateEventBus(ctx context.Context, in *sdk.CreateEventBusInput) (*sdk.CreateEventBusOutput, error) {
	var c checks
	b := &state.EventBus{Name: c.Text(in.Name, "name", busNameForm), Description: c.Optional(in.Description, "description", descriptionForm), Created: a.now(), Modified: a.now()}
	err := first(c.err(), unsupported(in.EventSourceName != nil, "EventSourceName"), unsupported(in.DeadLetterConfig != nil, "DeadLetterConfig"),
		unsupported(in.KmsKeyIdentifier != nil, "KmsKeyIdentifier"), unsupported(in.LogConfig != nil, "LogConfig"))
	if err != nil {
		return nil, err
	}
	if b.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		switch {
		case b.Name == events.DefaultBus || tx.EventBuses.Get(b.Name) != nil:
			return fault.New(resourceExists, "Event bus %s already exists.", b.Name)
		case tx.EventBuses.Len() >= mostBuses:
			return fault.New(fault.LimitExceeded, "The requested resource exceeds the maximum number allowed.")
		}
		tx.EventBuses.Put(b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	arn := events.BusARN(a.Place, b.Name)
	return &sdk.CreateEventBusOutput{EventBusArn: &arn, Description: ptr(b.Description)}, nil
}

// UpdateEventBus changes a bus's description.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_UpdateEventBus.html
func (a *API) UpdateEventBus(ctx context.Context, in *sdk.UpdateEventBusInput) (*sdk.UpdateEventBusOutput, error) {
	var c checks
	name, description := a.busOf(&c, in.Name), c.Optional(in.Description, "description", descriptionForm)
	err := first(c.err(), unsupported(in.DeadLetterConfig != nil, "DeadLetterConfig"), unsupported(in.KmsKeyIdentifier != nil, "KmsKeyIdentifier"),
		unsupported(in.LogConfig != nil, "LogConfig"), unsupported(name == events.DefaultBus, "A change of the default event bus"))
	if err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		if err := checkBus(&tx.Tables, name); err != nil {
			return err
		}
		b := *tx.EventBuses.Get(name)
		b.Description, b.Modified = description, a.now()
		tx.EventBuses.Put(&b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	arn := events.BusARN(a.Place, name)
	return &sdk.UpdateEventBusOutput{Arn: &arn, Name: &name, Description: ptr(description)}, nil
}

// DescribeEventBus describes a bus, the default one if none is named.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeEventBus.html
func (a *API) DescribeEventBus(_ context.Context, in *sdk.DescribeEventBusInput) (*sdk.DescribeEventBusOutput, error) {
	var c checks
	name, t := a.busOf(&c, in.Name), a.tables()
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := checkBus(t, name); err != nil {
		return nil, err
	}
	b := t.EventBuses.Get(name)
	if b == nil {
		b = &state.EventBus{Name: events.DefaultBus}
	}
	w := a.wireBus(b)
	return &sdk.DescribeEventBusOutput{Arn: w.Arn, Name: w.Name, Description: w.Description, CreationTime: w.CreationTime, LastModifiedTime: w.LastModifiedTime}, nil
}

func (a *API) wireBus(b *state.EventBus) types.EventBus {
	arn := events.BusARN(a.Place, b.Name)
	return types.EventBus{Arn: &arn, Name: &b.Name, Description: ptr(b.Description), CreationTime: moment(b.Created), LastModifiedTime: moment(b.Modified)}
}

// ListEventBuses lists the buses by name.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListEventBuses.html
func (a *API) ListEventBuses(_ context.Context, in *sdk.ListEventBusesInput) (*sdk.ListEventBusesOutput, error) {
	var c checks
	prefix, p := c.Optional(in.NamePrefix, "namePrefix", busNameForm), pageOf(&c, in.Limit, in.NextToken)
	if err := c.err(); err != nil {
		return nil, err
	}
	out := &sdk.ListEventBusesOutput{}
	out.EventBuses, out.NextToken = cut(p, withDefault(a.tables()), func(b *state.EventBus) string { return b.Name },
		func(b *state.EventBus) bool { return strings.HasPrefix(b.Name, prefix) }, a.wireBus)
	return out, nil
}

// withDefault gives the buses by name with the default one in its place.
func withDefault(t *state.Tables) iter.Seq[*state.EventBus] {
	return func(yield func(*state.EventBus) bool) {
		given := false
		for b := range t.EventBuses.All() {
			if !given && b.Name > events.DefaultBus {
				if given = true; !yield(&state.EventBus{Name: events.DefaultBus}) {
					return
				}
			}
			if !yield(b) {
				return
			}
		}
		if !given {
			yield(&state.EventBus{Name: events.DefaultBus})
		}
	}
}

// DeleteEventBus deletes a bus of one's own that has no rules. One that is not there is deleted already.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeleteEventBus.html
func (a *API) DeleteEventBus(ctx context.Context, in *sdk.DeleteEventBusInput) (*sdk.DeleteEventBusOutput, error) {
	var c checks
	name := c.Text(in.Name, "name", busNameForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	if name == events.DefaultBus {
		return nil, fault.New(fault.Validation, "Cannot delete event bus default.")
	}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		for range tx.EventRules.Under(name) {
			return fault.New(fault.Validation, "Event bus %s can't be deleted since it has rules.", name)
		}
		tx.EventBuses.Delete(name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteEventBusOutput{}, nil
}
