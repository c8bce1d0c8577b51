package logs

import (
	"cmp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// batch gathers events for one request.
type batch struct {
	events      []event
	bytes       int
	first, last int64 // of the events' times
}

// add takes an event if it fits.
func (b *batch) add(e event) bool {
	size := len(e.Text) + eventOverhead
	first, last := e.Millis, e.Millis
	if len(b.events) > 0 {
		first, last = min(b.first, first), max(b.last, last)
	}
	if len(b.events) >= batchEvents || b.bytes+size > batchBytes || last-first >= batchSpan.Milliseconds() {
		return false
	}
	b.events = append(b.events, e)
	b.bytes += size
	b.first, b.last = first, last
	return true
}

func (b *batch) reset() {
	clear(b.events) // their texts
	b.events, b.bytes = b.events[:0], 0
}

// input puts the events in order: the two streams of a container may be written a little out of it.
func (b *batch) input() []types.InputLogEvent {
	slices.SortStableFunc(b.events, func(x, y event) int { return cmp.Compare(x.Millis, y.Millis) })
	out := make([]types.InputLogEvent, len(b.events))
	for i := range b.events {
		out[i] = types.InputLogEvent{Message: &b.events[i].Text, Timestamp: &b.events[i].Millis}
	}
	return out
}
