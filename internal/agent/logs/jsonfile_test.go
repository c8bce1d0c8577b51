package logs

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// appendRecord writes a record as Docker and the runtime do.
func appendRecord(b []byte, stream, text string, at time.Time) []byte {
	line, err := json.Marshal(struct {
		Log    string    `json:"log"`
		Stream string    `json:"stream"`
		Time   time.Time `json:"time"`
	}{text, stream, at})
	if err != nil {
		panic(err)
	}
	return append(append(b, line...), '\n')
}

// FuzzDecode: the direct decoder and encoding/json never disagree, and nothing makes either fail otherwise than by an error.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"log":"hello\n","stream":"stdout","time":"2024-01-02T03:04:05.678901234Z"}`,
		`{"log":"\u001b[1m<\u003cx\u0026\"\\\t é 漢 \ud83d\ude00","stream":"stderr","time":"2024-01-02T03:04:05+01:00"}`,
		`{"time":"2024-01-02T03:04:05Z","stream":"stdout","log":"other order","attrs":{"a":"b"}}`,
		`{"log":"no time","stream":"stdout"}`, `{"log":"","stream":"","time":"2024-01-02T03:04:05Z"}`,
		`{}`, ``, `null`, `{"log":null}`, `{"log":"a\`, "{\"log\":\"\xff\xfe\",\"stream\":\"stdout\",\"time\":\"2024-01-02T03:04:05Z\"}",
		"{\"log\":\"a\nb\",\"stream\":\"stdout\",\"time\":\"2024-01-02T03:04:05Z\"}", `{"log":"x","stream":"stdout","time":"9999-99-99"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d decoder
		got, err := d.decode(line)
		var want struct {
			Log    *string   `json:"log"`
			Stream string    `json:"stream"`
			Time   time.Time `json:"time"`
		}
		jsonErr := json.Unmarshal(line, &want)
		if jsonErr != nil || want.Log == nil {
			if err == nil {
				t.Fatalf("%q decoded, encoding/json says %v", line, jsonErr)
			}
			return
		}
		if err != nil || string(got.text) != *want.Log || got.stream != want.Stream || !got.time.Equal(want.Time) {
			t.Fatalf("%q: %q %q %v %v, want %+v", line, got.text, got.stream, got.time, err, want)
		}
	})
}

// TestDecodeFast: what the runtime writes is read without encoding/json.
func TestDecodeFast(t *testing.T) {
	var d decoder
	for _, text := range []string{"plain\n", "tab\tquote\" back\\slash\r\n", "\x1b[31mred<&>\x1b[0m\n", "é漢😀\n", ""} {
		line := bytes.TrimSuffix(appendRecord(nil, "stdout", text, time.Now()), []byte("\n"))
		if r, ok := d.fast(line); !ok || string(r.text) != text {
			t.Errorf("%s: %q %v", line, r.text, ok)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	line := bytes.TrimSuffix(appendRecord(nil, "stdout", `192.0.2.1 - - "GET /index.html HTTP/1.1" 200 1234 "Mozilla/5.0 (X11; Linux x86_64)"`+"\n", time.Now()), []byte("\n"))
	b.SetBytes(int64(len(line)))
	var d decoder
	for b.Loop() {
		if _, err := d.decode(line); err != nil {
			b.Fatal(err)
		}
	}
}
