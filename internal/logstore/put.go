package logstore

import (
	"context"
	"encoding/binary"
	"errors"

	"roadstead.dev/roadstead/internal/fault"
)

// Input is an event to be stored. Time is in milliseconds since 1970.
type Input struct {
	Time    int64
	Message string
}

// The limits of PutLogEvents.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
const (
	MaxBatchEvents = 10_000
	MaxBatchBytes  = 1_048_576
	// EventOverhead is what each event counts beside its message.
	EventOverhead = 26
	day           = 24 * 60 * 60 * 1000
	maxAge        = 14 * day
	maxAhead      = 2 * 60 * 60 * 1000
)

// PutResult tells what became of a batch: TooOld and Expired events at its start and TooNew ones at its end were not stored.
// Events that are both too old and past their group's retention count in both.
type PutResult struct {
	TooOld, Expired, TooNew int
	// Stored counts the events stored so far in the stream's life.
	Stored uint64
	Stream uint64
}

// Put stores events, which must be in the order of their times. It returns once they are durable.
func (s *Store) Put(ctx context.Context, group, stream string, events []Input) (PutResult, error) {
	now := s.now()
	var res PutResult
	size, err := checkBatch(events, now)
	if err != nil {
		return PutResult{}, err
	}
	err = s.do(ctx, &request{size: size, run: func(t *tx) error {
		g := s.group(group)
		if g == nil {
			return noGroup()
		}
		st, err := t.stream(g, stream)
		if err != nil {
			return err
		}
		res.TooOld, res.Expired, res.TooNew = rejected(events, now, g.Retention)
		if err := t.put(g, st, events[max(res.TooOld, res.Expired):len(events)-res.TooNew], now); err != nil {
			return err
		}
		res.Stored, res.Stream = st.Count, st.ID
		return nil
	}})
	if err != nil {
		return PutResult{}, err // the writer may still be filling in res for a caller that left
	}
	return res, nil
}

// checkBatch refuses what no stream would take, and gives about the bytes that the batch will need.
func checkBatch(events []Input, now int64) (int64, error) {
	var size, bytes int64
	var first, last int64
	valid := false
	for i, e := range events {
		bytes += int64(len(e.Message)) + EventOverhead
		size += int64(len(e.Message)) + eventKeyLen + indexKeyLen + 20
		if i > 0 && e.Time < events[i-1].Time {
			return 0, fault.New(fault.InvalidParameter, "Log events in a single PutLogEvents request must be in chronological order.")
		}
		if e.Time < now-maxAge || e.Time > now+maxAhead {
			continue
		}
		if !valid {
			first, valid = e.Time, true
		}
		last = e.Time
	}
	if bytes > MaxBatchBytes {
		return 0, fault.New(fault.InvalidParameter, "Upload too large: %d bytes exceeds limit of %d", bytes, MaxBatchBytes)
	}
	if last-first > day {
		return 0, fault.New(fault.InvalidParameter, "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return size, nil
}

// rejected counts the events at both ends of the batch that are not to be stored.
func rejected(events []Input, now int64, retention int) (tooOld, expired, tooNew int) {
	for _, e := range events {
		if e.Time < now-maxAge {
			tooOld++
		}
		if retention > 0 && e.Time < now-int64(retention)*day {
			expired++
		}
		if e.Time > now+maxAhead {
			tooNew++
		}
	}
	return tooOld, expired, tooNew
}

// put adds the events, the index entries and the new record of the stream to the batch.
func (t *tx) put(g *Group, st *Stream, events []Input, now int64) error {
	if len(events) == 0 {
		return nil
	}
	var bytes int64
	watched := t.s.tail.watched(g.ID)
	var kept []Event
	for _, e := range events {
		t.s.seq++
		p := Pos{Time: e.Time, Seq: t.s.seq}
		if err := t.event(g.ID, st.ID, p, now-e.Time, e.Message); err != nil {
			return err
		}
		bytes += int64(len(e.Message)) + EventOverhead
		if watched {
			kept = append(kept, Event{Pos: p, Stream: st.Name, Ingested: now, Message: e.Message})
		}
	}
	if st.Count == 0 || events[0].Time < st.First {
		st.First = events[0].Time
	}
	if st.Count == 0 || events[len(events)-1].Time > st.Last {
		st.Last = events[len(events)-1].Time
	}
	st.Ingested, st.Bytes, st.Count = now, st.Bytes+bytes, st.Count+uint64(len(events))
	t.addBytes(g, bytes)
	if watched {
		t.live = append(t.live, Arrival{Group: g.Name, group: g.ID, Stream: st.Name, Events: kept, bytes: bytes})
	}
	return t.setStream(g, st)
}

// event adds one event and its index entry, written straight into the batch.
func (t *tx) event(group, stream uint64, p Pos, ingestedAfter int64, message string) error {
	t.buf = appendEvent(t.buf[:0], stream, ingestedAfter, message)
	op := t.batch.SetDeferred(eventKeyLen, len(t.buf))
	appendEventKey(op.Key[:0], group, p)
	copy(op.Value, t.buf)
	err := op.Finish()
	t.buf = binary.AppendUvarint(t.buf[:0], uint64(len(message)))
	op = t.batch.SetDeferred(indexKeyLen, len(t.buf))
	appendIndexKey(op.Key[:0], group, stream, p)
	copy(op.Value, t.buf)
	return errors.Join(err, op.Finish())
}
