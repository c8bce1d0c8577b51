package logstore

import (
	"encoding/hex"
	"testing"
)

// TestFormat pins what is on the disk: a change of it must still read what these are.
func TestFormat(t *testing.T) {
	p := Pos{Time: 1_700_000_000_000, Seq: 258}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"event key":  {appendEventKey(nil, 7, p), "6500000000000000070000018bcfe568000000000000000102"},
		"index key":  {appendIndexKey(nil, 7, 9, p), "78000000000000000700000000000000090000018bcfe568000000000000000102"},
		"stream key": {streamKey(7, "s"), "74000000000000000773"},
		"event":      {appendEvent(nil, 9, -5, "hi"), "09096869"},
		"stream":     {encodeStream(&Stream{ID: 9, Created: 1, First: 2, Last: 3, Ingested: 4, Bytes: 64, Count: 200}), "010902040608" + "8001" + "c801"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s is %s, was %s", name, got, c.want)
		}
	}
	g, err := decodeGroup("g", []byte(`{"id":3,"created":5,"retention":7,"class":"STANDARD","protected":true,"tags":{"a":"b"}}`))
	ok(t, err)
	if g.ID != 3 || g.Created != 5 || g.Retention != 7 || !g.Protected || g.Tags["a"] != "b" {
		t.Errorf("a group reads as %+v", g)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encodeStream(&Stream{ID: 9, Created: 1, Bytes: -64, Count: 200}))
	f.Add(appendEvent(nil, 9, -5, "hi"))
	f.Add([]byte(`{"id":3}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := decodeStream("s", b); err == nil {
			again, err := decodeStream("s", encodeStream(&st))
			if err != nil || again != st {
				t.Errorf("%x reads as %+v, then as %+v, %v", b, st, again, err)
			}
		}
		if stream, after, msg, err := decodeEvent(b); err == nil {
			s2, a2, m2, err := decodeEvent(appendEvent(nil, stream, after, string(msg)))
			if err != nil || s2 != stream || a2 != after || string(m2) != string(msg) {
				t.Errorf("%x reads differently the second time", b)
			}
		}
		if _, err := decodeGroup("g", b); err == nil && b[0] == 0 {
			t.Error("binary is taken as a group")
		}
		if p, valid := ParseID(string(b)); valid && p.ID() != string(b) {
			t.Errorf("id %q reads as %v", b, p)
		}
	})
}
