package logs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"
)

func driverSource(t testing.TB, driver string, opts ...string) Source {
	src := forwardSource(t, "", opts...)
	if src.Options["fluentd-address"] == "" {
		delete(src.Options, "fluentd-address")
	}
	src.Driver = driver
	return src
}

func TestSyslogFormats(t *testing.T) {
	stamp := `[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d`
	for format, want := range map[string]string{
		"":             `^<27>` + stamp + ` web\[\d+\]: oh no\n$`,
		"rfc3164":      `^<27>` + stamp + ` \S+ web\[\d+\]: oh no\n$`,
		"rfc5424":      `^<27>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) \S+ web \d+ web - oh no\n$`,
		"rfc5424micro": `^<27>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d) \S+ web \d+ web - oh no\n$`,
	} {
		t.Run(format, func(t *testing.T) {
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			must(t, err)
			defer conn.Close()
			src := driverSource(t, "syslog", "syslog-address", "udp://"+conn.LocalAddr().String(), "tag", "web", "syslog-facility", "daemon")
			if format != "" {
				src.Options["syslog-format"] = format
			}
			ship(t, shipper(t, nil), src, "stderr:oh no", "fine")
			b := make([]byte, 4096)
			must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
			n, _, err := conn.ReadFrom(b)
			must(t, err)
			if !regexp.MustCompile(want).Match(b[:n]) {
				t.Errorf("%q, want %s", b[:n], want)
			}
			n, _, err = conn.ReadFrom(b)
			must(t, err)
			if !strings.HasPrefix(string(b[:n]), "<30>") {
				t.Errorf("%q", b[:n])
			}
		})
	}
}

// TestSyslogReset: what was written to a server that died before it read it is sent to the next one.
func TestSyslogReset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	must(t, err)
	defer ln.Close()
	got := make(chan string, 100)
	go func() {
		for n := 0; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			switch n {
			case 0:
				defer conn.Close() // only opened
			case 1: // reads the first byte, and dies
				_, _ = conn.Read(make([]byte, 1))
				conn.Close()
			default:
				go func() {
					lines := bufio.NewScanner(conn)
					for lines.Scan() {
						got <- lines.Text()
					}
				}()
			}
		}
	}()
	src := driverSource(t, "syslog", "syslog-address", "unix://"+path)
	s := shipper(t, nil)
	attach(t, s, src).Close() // opens the first connection
	ship(t, s, src, "a", "b")
	for _, want := range []string{": a", ": b"} {
		select {
		case l := <-got:
			if !strings.HasSuffix(l, want) {
				t.Errorf("%q, want %q", l, want)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was sent again")
		}
	}
}

func TestSyslogSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenPacket("unixgram", path)
	must(t, err)
	defer conn.Close()
	ship(t, shipper(t, nil), driverSource(t, "syslog", "syslog-address", "unix://"+path), strings.Repeat("x", 100<<10))
	b := make([]byte, 1<<20)
	total := 0
	for total < 100<<10 {
		must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		n, _, err := conn.ReadFrom(b)
		must(t, err)
		total += bytes.Count(b[:n], []byte("x"))
	}
}

func TestTargetOptions(t *testing.T) {
	s := shipper(t, nil)
	for _, c := range []struct {
		driver string
		opts   []string
		want   string
	}{
		{"syslog", []string{"syslog-address", "ftp://x"}, "unsupported scheme: 'ftp'"},
		{"syslog", []string{"syslog-address", "unix:///does/not/exist"}, "no such file or directory"},
		{"syslog", []string{"syslog-facility", "24"}, "invalid syslog facility"},
		{"syslog", []string{"syslog-format", "x"}, "invalid syslog format"},
		{"syslog", []string{"gelf-address", "x"}, "unknown log opt 'gelf-address' for syslog log driver"},
		{"gelf", nil, "gelf-address is a required parameter"},
		{"gelf", []string{"gelf-address", "http://x:1"}, "gelf: endpoint needs to be TCP or UDP"},
		{"gelf", []string{"gelf-address", "udp://x"}, "gelf: please provide gelf-address as proto://host:port"},
		{"gelf", []string{"gelf-address", "udp://x:1", "gelf-compression-type", "lzma"}, `unknown value "lzma" for log opt "gelf-compression-type"`},
		{"gelf", []string{"gelf-address", "tcp://127.0.0.1:1"}, "gelf: cannot connect to GELF endpoint: 127.0.0.1:1 dial tcp"},
		{"splunk", nil, "splunk: splunk-url is expected"},
		{"splunk", []string{"splunk-url", "http://x"}, "splunk: splunk-token is expected"},
		{"splunk", []string{"splunk-url", "http://x/y", "splunk-token", "t"}, "splunk: expected format scheme://dns_name_or_ip:port for splunk-url"},
		{"splunk", []string{"splunk-url", "http://x", "splunk-token", "t", "splunk-format", "xml"}, "supported formats are inline, json and raw"},
		{"splunk", []string{"splunk-url", "http://x", "splunk-token", "t", "splunk-gzip-level", "10"}, "not supported level '10'"},
		{"fluentd", []string{"fluentd-address", "udp://x"}, "unsupported scheme: 'udp'"},
		{"fluentd", []string{"fluentd-address", "x:y"}, "invalid fluentd-address"},
		{"fluentd", []string{"fluentd-address", "tcp://x/y"}, "should not contain a path element"},
		{"fluentd", []string{"fluentd-async", "maybe"}, "invalid value for log opt 'fluentd-async'"},
		{"fluentd", []string{"fluentd-async", "true", "fluentd-async-connect", "true"}, "conflicting options"},
		{"fluentd", []string{"fluentd-retry-wait", "1"}, "invalid value for log opt 'fluentd-retry-wait'"},
		{"fluentd", []string{"fluentd-async", "true", "tag", "{{.Nothing}}"}, "can't evaluate field Nothing"},
		{"fluentd", []string{"fluentd-async", "true", "tag", "{{.ID"}, "unclosed action"},
		{"fluentd", []string{"fluentd-async", "true", "tag", `{{pad "x" 9999 9999}}`}, "the tag is too long"},
		{"fluentd", []string{"fluentd-async", "true", "env-regex", "("}, "log opt 'env-regex'"},
		{"fluentd", []string{"mode", "sometimes"}, `logging mode "sometimes" not supported`},
	} {
		_, err := s.Attach(ctx, driverSource(t, c.driver, c.opts...))
		if err == nil || !strings.HasPrefix(err.Error(), "failed to initialize logging driver: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.driver, c.opts, err, c.want)
		}
	}
}

func TestFluentdAddress(t *testing.T) {
	for in, want := range map[string]string{
		"": "tcp 127.0.0.1:24224", "logs": "tcp logs:24224", "logs:1": "tcp logs:1", "tcp://logs": "tcp logs:24224", "unix:///run/x": "unix /run/x", "[::1]:5": "tcp [::1]:5",
	} {
		network, address, err := fluentdAddress(in)
		if must(t, err); network+" "+address != want {
			t.Errorf("%q: %s %s", in, network, address)
		}
	}
}

// ungelf puts datagrams together and decompresses them.
func ungelf(t *testing.T, conn net.PacketConn) map[string]any {
	t.Helper()
	parts := map[byte][]byte{}
	for {
		b := make([]byte, 2000)
		must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		n, _, err := conn.ReadFrom(b)
		must(t, err)
		if n > gelfChunk {
			t.Errorf("a datagram of %d bytes", n)
		}
		b = b[:n]
		if b[0] != 0x1e || b[1] != 0x0f {
			return gelfJSON(t, b)
		}
		parts[b[10]] = b[12:]
		if len(parts) == int(b[11]) {
			var whole []byte
			for i := range b[11] {
				whole = append(whole, parts[i]...)
			}
			return gelfJSON(t, whole)
		}
	}
}

func gelfJSON(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	var err error
	switch {
	case b[0] == 0x1f:
		r, err = gzip.NewReader(r)
	case b[0] == 0x78:
		r, err = zlib.NewReader(r)
	}
	must(t, err)
	var m map[string]any
	must(t, json.NewDecoder(r).Decode(&m))
	return m
}

func TestGELF(t *testing.T) {
	for _, compression := range []string{"", "gzip", "zlib", "none"} {
		t.Run(compression, func(t *testing.T) {
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			must(t, err)
			defer conn.Close()
			src := driverSource(t, "gelf", "gelf-address", "udp://"+conn.LocalAddr().String(), "labels", "team", "tag", "t")
			if compression != "" {
				src.Options["gelf-compression-type"] = compression
			}
			long := strings.Repeat("long ", 2000)
			ship(t, shipper(t, nil), src, "stderr:oh no", "", long)
			m := ungelf(t, conn)
			if m["version"] != "1.1" || m["short_message"] != "oh no" || m["level"] != 3.0 || m["_team"] != "blue" || m["_tag"] != "t" ||
				m["_container_name"] != "ecs-web" || m["_image_name"] != "busybox" || m["timestamp"].(float64) < 1e9 {
				t.Error(m)
			}
			if m := ungelf(t, conn); m["short_message"] != long || m["level"] != 6.0 {
				t.Error(m)
			}
		})
	}
}

func TestGELFOverTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	got := make(chan string, 100)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				in := bufio.NewReader(conn)
				for {
					m, err := in.ReadBytes(0)
					if err != nil {
						return
					}
					var v struct {
						Text string `json:"short_message"`
					}
					if json.Unmarshal(m[:len(m)-1], &v) == nil {
						got <- v.Text
					}
				}
			}()
		}
	}()
	ship(t, shipper(t, nil), driverSource(t, "gelf", "gelf-address", "tcp://"+ln.Addr().String()), "a", "b")
	for _, want := range []string{"a", "b"} {
		if text := <-got; text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

// collector is Splunk's. refuse, if set, gives the status of the n-th request, from 0, by its body; 0 keeps it.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	n      int
	events []map[string]any
	zipped bool
	refuse func(n int, body string) int
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.URL.Path != "/services/collector/event/1.0" {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodOptions {
		return
	}
	if r.Header.Get("Authorization") != "Splunk s3cret" {
		http.Error(w, `{"text":"Invalid token","code":4}`, http.StatusForbidden)
		return
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		c.zipped = true
		body, _ = gzip.NewReader(body)
	}
	text, _ := io.ReadAll(body)
	if c.refuse != nil {
		status := c.refuse(c.n, string(text))
		if c.n++; status != 0 {
			http.Error(w, "no", status)
			return
		}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	for {
		var m map[string]any
		if dec.Decode(&m) != nil {
			break
		}
		c.events = append(c.events, m)
	}
	fmt.Fprint(w, `{"text":"Success","code":0}`)
}

func TestSplunk(t *testing.T) {
	for format, want := range map[string][]any{
		"inline": {map[string]any{"line": `{"a":1}`, "source": "stderr", "tag": "t", "attrs": map[string]any{"team": "blue"}},
			map[string]any{"line": " ", "source": "stdout", "tag": "t", "attrs": map[string]any{"team": "blue"}}},
		"json": {map[string]any{"line": map[string]any{"a": 1.0}, "source": "stderr", "tag": "t", "attrs": map[string]any{"team": "blue"}},
			map[string]any{"line": " ", "source": "stdout", "tag": "t", "attrs": map[string]any{"team": "blue"}}},
		"raw": {`t team=blue {"a":1}`},
	} {
		t.Run(format, func(t *testing.T) {
			c := newCollector(t)
			src := driverSource(t, "splunk", "splunk-url", c.URL, "splunk-format", format, "splunk-gzip", "true", "splunk-index", "main",
				"splunk-source", "s", "splunk-sourcetype", "st", "tag", "t", "labels", "team")
			src.Secrets = map[string]string{"splunk-token": "s3cret"}
			ship(t, shipper(t, nil), src, `stderr:{"a":1}`, " ")
			var got []any
			for _, e := range c.events {
				got = append(got, e["event"])
				if e["index"] != "main" || e["source"] != "s" || e["sourcetype"] != "st" || e["host"] == "" || !strings.Contains(e["time"].(string), ".") {
					t.Error(e)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || !c.zipped {
				t.Error(diff, c.zipped)
			}
		})
	}
}

// TestSplunkTrouble: a busy collector is asked again, and only the line that it refuses is dropped.
func TestSplunkTrouble(t *testing.T) {
	c := newCollector(t)
	c.refuse = func(n int, body string) int {
		switch {
		case n < 3:
			return http.StatusServiceUnavailable
		case strings.Contains(body, "poison"):
			return http.StatusBadRequest
		}
		return 0
	}
	src := driverSource(t, "splunk", "splunk-url", c.URL, "splunk-token", "s3cret")
	ship(t, shipper(t, nil), src, "a", "b", "poison", "c", "d")
	var got []string
	for _, e := range c.events {
		got = append(got, e["event"].(map[string]any)["line"].(string))
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSplunkIsVerified(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	src := driverSource(t, "splunk", "splunk-url", srv.URL, "splunk-token", "s3cret")
	s := shipper(t, nil)
	_, err := s.Attach(ctx, src)
	if err == nil || !strings.Contains(err.Error(), "splunk: failed to verify connection - 404 Not Found") {
		t.Error(err)
	}
	src.Options["splunk-verify-connection"] = "false"
	attach(t, s, src).Close()
}

func TestJournald(t *testing.T) {
	src := driverSource(t, "journald", "labels", "app.x,team")
	j, err := newJournald(src)
	must(t, err)
	if j.enabled = func() bool { return false }; j.open(ctx) == nil {
		t.Error("opened without a journal")
	}
	var got []map[string]string
	full := true
	j.write = func(message string, p journal.Priority, vars map[string]string) error {
		if full = !full; full {
			return errors.New("full")
		}
		v := map[string]string{"MESSAGE": message, "PRIORITY": fmt.Sprint(int(p))}
		for name, value := range vars {
			v[name] = value
		}
		got = append(got, v)
		return nil
	}
	p := &patient{protocol: j, log: shipper(t, nil).cfg.Log, retryMin: time.Millisecond, retryMax: time.Millisecond}
	must(t, p.send(context.Background(), []event{{origin{Millis: 1500, Nanos: 7}, "a"}, {origin{Error: true}, "b"}}, func() {}))
	want := map[string]string{"MESSAGE": "a", "PRIORITY": "6", "CONTAINER_ID": "c0ffeec0ffee", "CONTAINER_ID_FULL": src.Info.ContainerID,
		"CONTAINER_NAME": "ecs-web", "CONTAINER_TAG": "c0ffeec0ffee", "IMAGE_NAME": "busybox", "SYSLOG_IDENTIFIER": "c0ffeec0ffee",
		"APP_X": "y", "TEAM": "blue", "SYSLOG_TIMESTAMP": "1970-01-01T00:00:01.500000007Z"}
	if len(got) != 2 || got[1]["MESSAGE"] != "b" || got[1]["PRIORITY"] != "3" {
		t.Fatal(got)
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
}
