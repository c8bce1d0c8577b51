package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tinylib/msgp/msgp"
)

// receiver is a forward-protocol server that misbehaves as conduct says: what it does with the n-th message, from 0.
type receiver struct {
	t       testing.TB
	ln      net.Listener
	conduct func(n int) conduct

	mu      sync.Mutex
	n       int
	records []map[string]any
	tags    []string
	conns   map[net.Conn]bool
	arrived chan struct{}
}

type conduct int

const (
	// behave keeps a message and acknowledges it. forget keeps it and hangs up. hangUp does not keep it, and garble answers
	// with garbage. wrongAck acknowledges another. silence reads it and says nothing, until the connection ends.
	behave conduct = iota
	forget
	hangUp
	garble
	wrongAck
	silence
)

func newReceiver(t testing.TB, network, address string, c func(int) conduct) *receiver {
	ln, err := net.Listen(network, address)
	must(t, err)
	if c == nil {
		c = func(int) conduct { return behave }
	}
	r := &receiver{t: t, ln: ln, conduct: c, conns: map[net.Conn]bool{}, arrived: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns[conn] = true
			r.mu.Unlock()
			wg.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		r.mu.Lock()
		for c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		wg.Wait()
	})
	return r
}

func (r *receiver) serve(conn net.Conn) {
	defer conn.Close()
	in := msgp.NewReader(conn)
	for {
		var raw msgp.Raw
		if err := raw.DecodeMsg(in); err != nil {
			return
		}
		tag, records, chunk, err := decodeForward(raw)
		if err != nil {
			r.t.Error(err)
			return
		}
		r.mu.Lock()
		what := r.conduct(r.n)
		r.n++
		if what == behave || what == forget {
			r.records = append(r.records, records...)
			r.tags = append(r.tags, tag)
		}
		r.mu.Unlock()
		ring(r.arrived)
		switch what {
		case forget, hangUp:
			return
		case garble:
			conn.Write([]byte("\xc1 what?\r\n"))
			continue
		case silence:
			io.Copy(io.Discard, conn)
			return
		case wrongAck:
			chunk = "another"
		}
		if chunk != "" {
			conn.Write(msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "ack"), chunk))
		}
	}
}

// decodeForward reads [tag, [[time, record]...], option].
func decodeForward(raw []byte) (tag string, records []map[string]any, chunk string, err error) {
	v, rest, err := msgp.ReadIntfBytes(raw)
	if err != nil || len(rest) > 0 {
		return "", nil, "", fmt.Errorf("%d bytes are left: %w", len(rest), err)
	}
	message, ok := v.([]any)
	if !ok || len(message) != 3 {
		return "", nil, "", fmt.Errorf("a message of %v", v)
	}
	tag, _ = message[0].(string)
	entries, _ := message[1].([]any)
	for _, e := range entries {
		pair := e.([]any)
		record := pair[1].(map[string]any)
		record["@time"] = pair[0]
		records = append(records, record)
	}
	option, _ := message[2].(map[string]any)
	chunk, _ = option["chunk"].(string)
	if fmt.Sprint(option["size"]) != fmt.Sprint(len(entries)) {
		err = errors.New("a wrong size")
	}
	return tag, records, chunk, err
}

// lines are the texts that were kept, in order.
func (r *receiver) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, m := range r.records {
		out = append(out, m["log"].(string))
	}
	return out
}

func forwardSource(t testing.TB, address string, opts ...string) Source {
	src := source(t)
	src.Driver = "fluentd"
	src.Options = map[string]string{"fluentd-address": address}
	for i := 0; i < len(opts); i += 2 {
		src.Options[opts[i]] = opts[i+1]
	}
	src.Info = Info{
		ContainerID: strings.Repeat("c0ffee", 8), ContainerName: "/ecs-web", ContainerImageName: "busybox", DaemonName: "docker",
		ContainerEnv: []string{"MODE=fast", "OTHER=1"}, ContainerLabels: map[string]string{"team": "blue", "app.x": "y"},
	}
	return src
}

// ship writes lines, drains and closes.
func ship(t testing.TB, s *Shipper, src Source, lines ...string) {
	t.Helper()
	sh := attach(t, s, src)
	w := newWriter(t, src.Path, 1<<20, 3)
	for _, l := range lines {
		stream, text, ok := strings.Cut(l, ":")
		if !ok || stream != "stderr" {
			stream, text = "stdout", l
		}
		w.record(stream, text+"\n")
	}
	w.close()
	must(t, sh.Drain(ctx))
	sh.Close()
}

func TestFluentd(t *testing.T) {
	r := newReceiver(t, "tcp", "127.0.0.1:0", nil)
	src := forwardSource(t, r.ln.Addr().String(), "tag", "{{.DaemonName}}.{{.Name}}.{{.ID}}", "labels", "team", "env-regex", "^MO",
		"labels-regex", `^app\.`, "fluentd-sub-second-precision", "true", "fluentd-request-ack", "true")
	ship(t, shipper(t, nil), src, "one", "", "stderr:two")
	if diff := cmp.Diff([]string{"one", "", "two"}, r.lines()); diff != "" {
		t.Error(diff)
	}
	if want := "docker.ecs-web.c0ffeec0ffee"; r.tags[0] != want {
		t.Errorf("tag %s, want %s", r.tags[0], want)
	}
	last := maps.Clone(r.records[2])
	ext, ok := last["@time"].(*msgp.RawExtension)
	if !ok || ext.Type != 0 || len(ext.Data) != 8 || bytes.Equal(ext.Data[4:], make([]byte, 4)) {
		t.Errorf("time %#v", last["@time"])
	}
	delete(last, "@time")
	want := map[string]any{"container_id": src.Info.ContainerID, "container_name": "/ecs-web", "source": "stderr", "log": "two",
		"team": "blue", "app.x": "y", "MODE": "fast"}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Error(diff)
	}
}

// TestFluentdTrouble: whatever the receiver does, all that it acknowledged was kept, in order, and what it kept without saying
// so comes again.
func TestFluentdTrouble(t *testing.T) {
	for name, first := range map[string]conduct{"hangs up": hangUp, "garbage": garble, "another's acknowledgement": wrongAck, "kept and hung up": forget} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, "tcp", "127.0.0.1:0", func(n int) conduct {
				if n%2 == 0 {
					return first
				}
				return behave
			})
			src := forwardSource(t, r.ln.Addr().String(), "fluentd-request-ack", "true")
			ship(t, shipper(t, nil), src, "a", "b", "c")
			got := r.lines()
			if first == forget {
				got = slices.Compact(got)
				slices.Sort(got)
				got = slices.Compact(got)
			}
			if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFluentdSilent: a receiver that takes all and answers nothing holds the cursor where it is, and nothing else. Another process
// sends it all again.
func TestFluentdSilent(t *testing.T) {
	mute := newReceiver(t, "unix", filepath.Join(t.TempDir(), "s"), func(int) conduct { return silence })
	src := forwardSource(t, "unix://"+mute.ln.Addr().String(), "fluentd-request-ack", "true")
	sh := attach(t, shipper(t, nil), src)
	w := newWriter(t, src.Path, 1<<20, 3)
	w.record("stdout", "a\n")
	<-mute.arrived
	w.record("stdout", "b\n") // does not wait
	sh.Close()

	r := newReceiver(t, "tcp", "127.0.0.1:0", nil)
	src.Options["fluentd-address"] = "tcp://" + r.ln.Addr().String()
	sh = attach(t, shipper(t, nil), src)
	w.record("stdout", "c\n")
	w.close()
	must(t, sh.Drain(ctx))
	if diff := cmp.Diff([]string{"a", "b", "c"}, r.lines()); diff != "" {
		t.Error(diff)
	}
}

// TestFluentdAway: a container whose receiver is away starts only with fluentd-async, and what was rotated away meanwhile is told.
func TestFluentdAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fluent.sock")
	src := forwardSource(t, "unix://"+path)
	var log told
	s := shipper(t, nil, log.into)
	_, err := s.Attach(ctx, src)
	if err == nil || !strings.Contains(err.Error(), "failed to initialize logging driver: dial unix "+path) {
		t.Error(err)
	}
	src.Options["fluentd-async"] = "true"
	sh := attach(t, s, src)
	w := newWriter(t, src.Path, 1000, 2)
	for i := range 100 {
		w.record("stdout", fmt.Sprintf("line %d\n", i))
		if i == 0 {
			log.wait(t, "cannot send output")
		}
		if i%5 == 0 { // a file's inode is not given to another within the same tick of the file system's clock
			f, err := os.Open(src.Path)
			must(t, err)
			defer f.Close()
		}
	}
	w.close()
	r := newReceiver(t, "unix", path, nil)
	must(t, sh.Drain(ctx))
	got := r.lines()
	if len(got) == 0 || got[len(got)-1] != "line 99" || !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "roadstead: output") }) {
		t.Errorf("%q", got)
	}
}

// TestSecretOptions: a secret that is in every error is in none.
func TestSecretOptions(t *testing.T) {
	var log told
	s := shipper(t, nil, log.into)
	path := filepath.Join(t.TempDir(), "hush-hush")
	src := forwardSource(t, "", "fluentd-async", "true")
	delete(src.Options, "fluentd-address")
	src.Secrets = map[string]string{"fluentd-address": "unix://" + path}
	sh := attach(t, s, src)
	w := newWriter(t, src.Path, 1000, 2)
	w.record("stdout", "x\n")
	w.close()
	log.wait(t, "cannot send output")
	sh.Close()
	src.Secrets = map[string]string{"fluentd-address": "hush-hush://x"}
	_, err := s.Attach(ctx, src)
	if err == nil || strings.Contains(err.Error(), "hush-hush://x") {
		t.Error(err)
	}
	if strings.Contains(log.text(), "unix://"+path) {
		t.Error(log.text())
	}
	cursor, err := os.ReadFile(filepath.Join(src.State, "fluentd.cursor"))
	if must(t, err); bytes.Contains(cursor, []byte("hush")) {
		t.Error("the cursor holds the secret")
	}
}

// told keeps what is logged.
type told struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *told) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *told) into(c *Config) { c.Log = slog.New(slog.NewTextHandler(l, nil)) }

func (l *told) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *told) wait(t *testing.T, what string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(l.text(), what); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q was not logged", what)
		}
	}
}

func FuzzDecodeAck(f *testing.F) {
	f.Add([]byte("\x81\xa3ack\xa1x"))
	f.Add([]byte("\x82\xa1y\x93\x01\x02\x03\xa3ack\xd9\x01x"))
	f.Add([]byte("\xc1 what?"))
	f.Add([]byte("\xdf\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ack, err := decodeAck(b)
		if err == nil && len(ack) > len(b) {
			t.Error("more than there was")
		}
		// What was enough stays so with more behind it, and a beginning of it is short, not wrong.
		if err == nil {
			if again, err := decodeAck(append(slices.Clone(b), "more"...)); err != nil || again != ack {
				t.Errorf("%q, %v", again, err)
			}
		}
	})
}

// TestGivenUp: output for a router that is gone is given up some time after the container's end, and not before.
func TestGivenUp(t *testing.T) {
	src := forwardSource(t, "unix://"+filepath.Join(t.TempDir(), "gone"), "fluentd-async", "true")
	src.GiveUp = 20 * time.Millisecond
	var log told
	sh := attach(t, shipper(t, nil, log.into), src)
	w := newWriter(t, src.Path, 1<<20, 3)
	w.record("stdout", "x\n")
	w.close()
	log.wait(t, "cannot send output")
	if err := sh.Drain(ctx); !errors.Is(err, errGivenUp) {
		t.Error(err)
	}
}
