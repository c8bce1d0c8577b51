package state

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"roadstead.dev/roadstead/internal/ecs"
)

// Stored values are one byte that says which encoding follows, and that. An older encoding stays readable for good:
// testdata/ keeps records of each.
const encodingCBOR = 1

// The codec's modes are immutable and safe for concurrent use.
var (
	encoding = must(cbor.EncOptions{
		// The same value is always the same bytes.
		Sort: cbor.SortBytewiseLexical,
		Time: cbor.TimeRFC3339NanoUTC,
	}.UserBufferEncMode())
	decoding = must(cbor.DecOptions{
		// What nests deeper than a definition does is no record of ours.
		MaxNestedLevels: 32,
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// encode appends the stored form of a row to buf.
func encode(buf *bytes.Buffer, row any) error {
	buf.WriteByte(encodingCBOR)
	if err := encoding.MarshalToBuffer(row, buf); err != nil {
		return fmt.Errorf("encode %T: %w", row, err)
	}
	return nil
}

// decode reads what encode wrote. Fields of a later version that this one does not know are skipped.
func decode[V any](value []byte) (*V, error) {
	v := new(V)
	if len(value) == 0 {
		return nil, fmt.Errorf("empty record")
	}
	if value[0] != encodingCBOR {
		return nil, fmt.Errorf("record in encoding %d; this version reads %d: was it written by a newer one?", value[0], encodingCBOR)
	}
	if err := decoding.Unmarshal(value[1:], v); err != nil {
		return nil, fmt.Errorf("decode %T: %w", v, err)
	}
	return v, nil
}

func decodeRow[V any](value []byte, key func(*V) string, share func(*V)) (any, string, error) {
	v, err := decode[V](value)
	if err != nil {
		return nil, "", err
	}
	if share != nil {
		share(v)
	}
	return v, key(v), nil
}

func yieldRows[K, V any](t table[K, V], key func(*V) string, yield func(string, any) bool) {
	for v := range t.all() {
		if !yield(key(v), v) {
			return
		}
	}
}

// interner makes equal strings of many records one: a million tasks name few clusters, families and images.
type interner struct{ known map[string]string }

// internMax bounds the strings remembered; beyond it they are kept apart, which costs memory only.
const internMax = 1 << 16

func newInterner() *interner { return &interner{known: map[string]string{}} }

func (in *interner) share(s *string) {
	if *s == "" {
		return
	}
	if k, ok := in.known[*s]; ok {
		*s = k
	} else if len(in.known) < internMax {
		in.known[*s] = *s
	}
}

func (in *interner) task(t *ecs.Task) {
	for _, s := range []*string{&t.Cluster, &t.Definition.Family, &t.Group, &t.StartedBy, &t.LaunchType, &t.StopCode, &t.StoppedReason,
		(*string)(&t.HealthStatus), &t.CapacityProvider} {
		in.share(s)
	}
	for i := range t.Containers {
		c := &t.Containers[i]
		for _, s := range []*string{&c.Name, &c.Reason, &c.ImageDigest, (*string)(&c.HealthStatus)} {
			in.share(s)
		}
	}
}
