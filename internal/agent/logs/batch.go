package logs

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
