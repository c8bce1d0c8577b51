package ssmsession

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// pluginFrame is an input_stream_data frame as session-manager-plugin 1.3.0 wrote it: number 3, the letter "x".
func pluginFrame() []byte {
	b := make([]byte, 0, 121)
	b = binary.BigEndian.AppendUint32(b, 116)
	b = append(b, "input_stream_data               "...)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint64(b, 1_700_000_000_000)
	b = binary.BigEndian.AppendUint64(b, 3)
	b = binary.BigEndian.AppendUint64(b, 0)
	b = append(b, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77)
	b = append(b, 0x2d, 0x71, 0x16, 0x42, 0xb7, 0x26, 0xb0, 0x44, 0x01, 0x62, 0x7c, 0xa9, 0xfb, 0xac, 0x32, 0xf5, 0xc8, 0x53, 0x0f, 0xb1, 0x90, 0x3c, 0xc4, 0xdb, 0x02, 0x25, 0x87, 0x17, 0x92, 0x1a, 0x48, 0x81)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 1)
	return append(b, 'x')
}

func TestFrameOfThePlugin(t *testing.T) {
	b := pluginFrame()
	f, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != TypeInput || f.Sequence != 3 || f.PayloadType != PayloadOutput || string(f.Payload) != "x" || f.Created != 1_700_000_000_000 {
		t.Errorf("%+v", f)
	}
	if f.ID.String() != "00112233-4455-4677-8899-aabbccddeeff" {
		t.Errorf("id %s", f.ID)
	}
	if again := f.Append(nil); !bytes.Equal(b, again) {
		t.Errorf("encoded again it is\n%x, not\n%x", again, b)
	}
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &Frame{
			Type:   rapid.SampledFrom([]string{TypeInput, TypeOutput, TypeAck, TypeClosed}).Draw(t, "type"),
			Schema: rapid.Uint32().Draw(t, "schema"), Created: rapid.Uint64().Draw(t, "created"), Sequence: rapid.Int64().Draw(t, "sequence"),
			Flags: rapid.Uint64().Draw(t, "flags"), ID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
			PayloadType: PayloadType(rapid.Uint32().Draw(t, "payload type")), Payload: append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "payload")...),
		}
		before := []byte("before")
		b := f.Append(before)
		got, err := Decode(b[len(before):])
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, got); d != "" || string(b[:len(before)]) != "before" {
			t.Errorf("(-want +got)\n%s", d)
		}
	})
}

func TestFramesRefused(t *testing.T) {
	good := pluginFrame()
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"a header cut":      good[:119],
		"no payload":        good[:120],
		"one byte more":     append(bytes.Clone(good), 'y'),
		"a longer header":   change(func(b []byte) []byte { b[3]++; return b }),
		"an endless header": change(func(b []byte) []byte { copy(b, "\xff\xff\xff\xff"); return b }),
		"a payload of 4 GB": change(func(b []byte) []byte { copy(b[116:], "\xff\xff\xff\xff"); return b }),
		"another payload":   change(func(b []byte) []byte { b[120]++; return b }),
		"too much":          (&Frame{Type: TypeInput, Payload: make([]byte, MaxFrame)}).Append(nil),
	} {
		if f, err := Decode(b); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func TestHandshakeResponses(t *testing.T) {
	for payload, ok := range map[string]bool{
		`{"ClientVersion":"1.3.0.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}`: true,
		`{"ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":2,"Error":"Unknown session type"}],"Errors":["Unknown session type"]}`:       false,
		`{"ProcessedClientActions":[]}`: false,
		`{}`:                            false,
		`[`:                             false,
	} {
		if _, err := ReadHandshakeResponse([]byte(payload)); (err == nil) != ok {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(pluginFrame())
	f.Add(NewAck(&Frame{Type: TypeInput, Sequence: 7}, time.UnixMilli(5)))
	f.Add(NewClosed("ecs-execute-command-0123456789abcdef0", "bye", time.UnixMilli(5)))
	f.Add((&Frame{Type: TypeInput, PayloadType: PayloadHandshakeResponse, Payload: []byte(`{"ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1}]}`)}).Append(nil))
	f.Add((&Frame{Type: TypeInput, PayloadType: PayloadSize, Payload: []byte(`{"cols":80,"rows":24}`)}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(frame.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(frame, again); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		// None of these may panic.
		_, _ = ReadAck(frame.Payload)
		_, _ = ReadHandshakeResponse(frame.Payload)
	})
}
