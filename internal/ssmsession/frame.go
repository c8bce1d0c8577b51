// Package ssmsession speaks the data channel of AWS Systems Manager's Session Manager from the end where the command runs: the
// other end is AWS's session-manager-plugin, or whoever speaks as it does. AWS describes the channel nowhere; what is here was
// read from the plugin (github.com/aws/session-manager-plugin) and tried with it.
//
// A channel is a websocket. Its client begins with a text message, OpenDataChannel, that has its token; all that follows are
// binary messages, one Frame each. Each direction numbers its frames, and the other end acknowledges each of them by its number;
// what is not acknowledged is sent again. Sender and Receiver are the two halves of that, as pure state without a goroutine or a
// clock of their own: they outlive a websocket, since a client that lost its connection goes on with the same numbers on the next.
package ssmsession

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Types of frames.
const (
	TypeInput  = "input_stream_data"  // from the client
	TypeOutput = "output_stream_data" // to the client
	TypeAck    = "acknowledge"
	TypeClosed = "channel_closed" // to the client, which ends by it
)

// PayloadType says what the payload of a frame of data is.
type PayloadType uint32

// The payload types that are used here; others are of encryption and of forwarded ports.
const (
	PayloadOutput            PayloadType = 1 // bytes of the terminal, in either direction
	PayloadSize              PayloadType = 3 // Size, from the client
	PayloadHandshakeRequest  PayloadType = 5
	PayloadHandshakeResponse PayloadType = 6
	PayloadHandshakeComplete PayloadType = 7
	PayloadFlag              PayloadType = 10 // from the client: a Flag, 32 bits
)

// Flag is what a client says with PayloadFlag.
type Flag uint32

// FlagTerminate ends the session.
const FlagTerminate Flag = 2

// Frame is one binary message.
type Frame struct {
	Type string
	// Schema is the version of the form, 1. Created is in milliseconds since 1970 and never 0: clients refuse a frame without.
	Schema  uint32
	Created uint64
	// Sequence numbers the frames of data of a direction from 0 on. Acknowledgements are not numbered.
	Sequence int64
	Flags    uint64
	// ID is random (RFC 9562, section 4).
	ID          uuid.UUID
	PayloadType PayloadType
	Payload     []byte
}

// Where the parts of a frame are. All numbers are big-endian.
const (
	atType        = 4
	atSchema      = atType + 32
	atCreated     = atSchema + 4
	atSequence    = atCreated + 8
	atFlags       = atSequence + 8
	atID          = atFlags + 8
	atDigest      = atID + 16
	atPayloadType = atDigest + sha256.Size
	// headerLength is what a frame says of itself: up to the payload's length, which it does not count.
	headerLength = atPayloadType + 4
	atPayload    = headerLength + 4
)

// MaxFrame bounds a frame in bytes, well above what clients send: theirs have 1,024 bytes of payload.
const MaxFrame = 64 << 10

// ErrFrame is wrapped by errors of Decode.
var ErrFrame = errors.New("not a frame of a data channel")

// Decode reads a frame, which shares its payload with b.
func Decode(b []byte) (*Frame, error) {
	switch {
	case len(b) < atPayload:
		return nil, fmt.Errorf("%w: %d bytes", ErrFrame, len(b))
	case len(b) > MaxFrame:
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrFrame, len(b))
	case binary.BigEndian.Uint32(b) != headerLength:
		return nil, fmt.Errorf("%w: a header of %d bytes", ErrFrame, binary.BigEndian.Uint32(b))
	case int64(binary.BigEndian.Uint32(b[headerLength:])) != int64(len(b)-atPayload):
		return nil, fmt.Errorf("%w: a payload of %d bytes where there are %d", ErrFrame, binary.BigEndian.Uint32(b[headerLength:]), len(b)-atPayload)
	}
	f := &Frame{
		Type:        string(bytes.Trim(b[atType:atSchema], " \x00")),
		Schema:      binary.BigEndian.Uint32(b[atSchema:]),
		Created:     binary.BigEndian.Uint64(b[atCreated:]),
		Sequence:    int64(binary.BigEndian.Uint64(b[atSequence:])),
		Flags:       binary.BigEndian.Uint64(b[atFlags:]),
		PayloadType: PayloadType(binary.BigEndian.Uint32(b[atPayloadType:])),
		Payload:     b[atPayload:],
	}
	// The halves of the id are swapped on the wire.
	copy(f.ID[8:], b[atID:])
	copy(f.ID[:8], b[atID+8:])
	if digest := sha256.Sum256(f.Payload); len(f.Payload) > 0 && !bytes.Equal(digest[:], b[atDigest:atPayloadType]) {
		return nil, fmt.Errorf("%w: the payload is not that of the digest", ErrFrame)
	}
	return f, nil
}

// Append encodes the frame behind b. A type of more than 32 bytes is cut.
func (f *Frame) Append(b []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, atPayload)...)
	h := b[at:]
	binary.BigEndian.PutUint32(h, headerLength)
	copy(h[atType:atSchema], bytes.Repeat([]byte{' '}, atSchema-atType))
	copy(h[atType:atSchema], f.Type)
	binary.BigEndian.PutUint32(h[atSchema:], f.Schema)
	binary.BigEndian.PutUint64(h[atCreated:], f.Created)
	binary.BigEndian.PutUint64(h[atSequence:], uint64(f.Sequence))
	binary.BigEndian.PutUint64(h[atFlags:], f.Flags)
	copy(h[atID:], f.ID[8:])
	copy(h[atID+8:], f.ID[:8])
	digest := sha256.Sum256(f.Payload)
	copy(h[atDigest:], digest[:])
	binary.BigEndian.PutUint32(h[atPayloadType:], uint32(f.PayloadType))
	binary.BigEndian.PutUint32(h[headerLength:], uint32(len(f.Payload)))
	return append(b, f.Payload...)
}
