package logstore

import (
	"encoding/binary"
	"fmt"
	"math/big"
)

// The first byte of a key says what it holds. Numbers in keys are big-endian, so that Pebble's order is theirs.
const (
	tagMeta   = 'm' // m name                     -> a counter, or the format's version
	tagGroup  = 'g' // g group-name               -> group record
	tagBytes  = 'b' // b group-id                 -> bytes stored in the group
	tagStream = 't' // t group-id stream-name     -> stream record
	tagName   = 'n' // n group-id stream-id       -> stream name; absent once the stream is deleted
	tagDead   = 'd' // d group-id stream-id       -> a deleted stream whose events still wait for the sweep
	tagEvent  = 'e' // e group-id time seq        -> stream id, ingestion time, message
	tagIndex  = 'x' // x group-id stream-id time seq -> the message's length
)

const (
	eventKeyLen = 1 + 8 + 8 + 8
	indexKeyLen = 1 + 8 + 8 + 8 + 8
)

// Pos is where an event stands in the order of its stream and of its group: by time, then by arrival. Seq is unique in a store.
type Pos struct {
	Time int64 // milliseconds since 1970
	Seq  uint64
}

// Less tells whether p comes before q.
func (p Pos) Less(q Pos) bool {
	return p.Time < q.Time || p.Time == q.Time && p.Seq < q.Seq
}

// idShift makes ids of 56 digits for the times of our age, with the time in the upper bits as in AWS's.
const idShift = 144

// ID is the event's id: decimal digits, growing with time and then arrival.
func (p Pos) ID() string {
	n := big.NewInt(p.Time)
	n.Lsh(n, idShift)
	n.Add(n, new(big.Int).SetUint64(p.Seq))
	return fmt.Sprintf("%056s", n.String())
}

// ParseID is the inverse of ID. It refuses what ID would not have made.
func ParseID(id string) (Pos, bool) {
	if len(id) < 56 || len(id) > 64 {
		return Pos{}, false
	}
	for i := range len(id) {
		if id[i] < '0' || id[i] > '9' {
			return Pos{}, false
		}
	}
	n, ok := new(big.Int).SetString(id, 10)
	if !ok {
		return Pos{}, false
	}
	t := new(big.Int).Rsh(n, idShift)
	seq := n.Sub(n, new(big.Int).Lsh(t, idShift))
	if !t.IsInt64() || !seq.IsUint64() {
		return Pos{}, false
	}
	p := Pos{Time: t.Int64(), Seq: seq.Uint64()}
	return p, p.ID() == id
}

func metaKey(name string) []byte { return append([]byte{tagMeta}, name...) }

func groupKey(name string) []byte { return append([]byte{tagGroup}, name...) }

// prefixKey is a tag and numbers: the common start of what belongs to a group, or to a stream of it.
func prefixKey(tag byte, ids ...uint64) []byte {
	k := make([]byte, 1, indexKeyLen)
	k[0] = tag
	for _, id := range ids {
		k = binary.BigEndian.AppendUint64(k, id)
	}
	return k
}

func streamKey(group uint64, name string) []byte {
	return append(prefixKey(tagStream, group), name...)
}

func appendEventKey(k []byte, group uint64, p Pos) []byte {
	k = append(k, tagEvent)
	k = binary.BigEndian.AppendUint64(k, group)
	k = binary.BigEndian.AppendUint64(k, uint64(p.Time))
	return binary.BigEndian.AppendUint64(k, p.Seq)
}

func appendIndexKey(k []byte, group, stream uint64, p Pos) []byte {
	k = append(k, tagIndex)
	k = binary.BigEndian.AppendUint64(k, group)
	k = binary.BigEndian.AppendUint64(k, stream)
	k = binary.BigEndian.AppendUint64(k, uint64(p.Time))
	return binary.BigEndian.AppendUint64(k, p.Seq)
}

// keyPos reads the position that ends an event's or an index entry's key.
func keyPos(k []byte) Pos {
	n := len(k)
	return Pos{Time: int64(binary.BigEndian.Uint64(k[n-16:])), Seq: binary.BigEndian.Uint64(k[n-8:])}
}

// after is the first key that does not start with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
