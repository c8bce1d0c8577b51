package link

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func frame(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func FuzzReadFrame(f *testing.F) {
	f.Add(frame(`{"id":1,"method":"list","body":{}}`))
	f.Add(frame(`{"id":1,"error":{"message":"x","notFound":true}}`))
	f.Add(frame(`null`))
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, '{'})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readFrame(bytes.NewReader(data))
		if (got == nil) == (err == nil) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestReadFrame(t *testing.T) {
	// What a newer peer says beside what is known is passed over.
	got, err := readFrame(bytes.NewReader(frame(`{"id":7,"method":"start","body":{"id":"a"},"later":[1,2]}`)))
	if err != nil || got.ID != 7 || got.Method != "start" || string(got.Body) != `{"id":"a"}` {
		t.Errorf("%+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing": {nil, io.EOF}, "half a head": {[]byte{0, 0}, io.ErrUnexpectedEOF}, "half a body": {frame(`{"id":1}`)[:6], io.ErrUnexpectedEOF},
		"too long": {[]byte{0x7f, 0, 0, 0}, ErrTooLong},
	} {
		if _, err := readFrame(bytes.NewReader(c.data)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWriteTooLong(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	body, err := json.Marshal(strings.Repeat("x", MaxFrame))
	if err != nil {
		t.Fatal(err)
	}
	if err := NewConn(a).Write(&Frame{Body: body}); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
}

// TestLost breaks the connection under requests and waits.
func TestLost(t *testing.T) {
	a, b := net.Pipe()
	s := newSession(a)
	go func() {
		peer := NewConn(b)
		for range 2 {
			if _, err := peer.Read(); err != nil {
				t.Error(err)
			}
		}
		peer.Close()
	}()
	errs := make(chan error, 2)
	go func() { errs <- s.call(t.Context(), MethodList, struct{}{}, nil) }()
	go func() {
		_, err := s.wait(t.Context(), "x")
		errs <- err
	}()
	for range 2 {
		select {
		case err := <-errs:
			if !errors.Is(err, ErrLost) {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a request hangs")
		}
	}
}
