package logs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// picky refuses batches with the text "bad" in them.
type picky struct{ *server }

func (p picky) PutLogEvents(ctx context.Context, in *cwl.PutLogEventsInput, o ...func(*cwl.Options)) (*cwl.PutLogEventsOutput, error) {
	for _, e := range in.LogEvents {
		if *e.Message == "bad" {
			return nil, &types.InvalidParameterException{Message: aws.String("bad event")}
		}
	}
	return p.server.PutLogEvents(ctx, in, o...)
}

// TestDamagedFile: lines that are none, a torn end and a line without end are passed over.
func TestDamagedFile(t *testing.T) {
	srv, src := newServer("g"), source(t)
	w := newWriter(t, src.Path, 1<<30, 3)
	w.record("stdout", "one\n")
	for _, damage := range []string{"\x00\x00\x00\n", "{\"log\":\n", strings.Repeat("y", 10<<20) + "\n"} {
		_, err := w.file.WriteString(damage)
		must(t, err)
	}
	_, err := w.file.WriteString(`{"log":"without a time\n"}` + "\n")
	must(t, err)
	w.record("stdout", "two\n")
	_, err = w.file.WriteString(`{"log":"to`)
	must(t, err)
	w.rotate()
	w.record("stdout", "three\n")
	must(t, attach(t, shipper(t, srv), src).Drain(ctx))
	wantTexts(t, srv, "one", "without a time", "two", "three")
}

// TestTruncated: a writer that keeps one file empties it.
func TestTruncated(t *testing.T) {
	srv, src := newServer("g"), source(t)
	sh := attach(t, shipper(t, srv), src)
	w := newWriter(t, src.Path, 1<<20, 1)
	w.record("stdout", "one\n")
	<-srv.arrived
	must(t, os.Truncate(src.Path, 0))
	w.record("stdout", "two, which is longer than what was there before\n")
	must(t, sh.Drain(ctx))
	got := srv.texts("g", "p/web/task1")
	if len(got) != 3 || !strings.HasPrefix(got[1], "roadstead: output may have been lost") || !strings.HasPrefix(got[2], "two") {
		t.Error(got)
	}
}

// TestReusedInode: another file with the inode of the cursor's, after a restart, is read from its beginning.
func TestReusedInode(t *testing.T) {
	srv, src := newServer("g"), source(t)
	s := shipper(t, srv)
	w := newWriter(t, src.Path, 1<<20, 3)
	w.record("stdout", "one\n")
	sh := attach(t, s, src)
	<-srv.arrived
	sh.Close()
	must(t, os.Truncate(src.Path, 0)) // keeps the inode, as the kernel may for a new file
	w.record("stdout", "another, longer than the first one was\n")
	must(t, attach(t, s, src).Drain(ctx))
	got := srv.texts("g", "p/web/task1")
	if len(got) != 3 || !strings.HasPrefix(got[2], "another") {
		t.Error(got)
	}
}

// TestFullDisk: output goes on when the cursor cannot be written, and the cursor is written when it can.
func TestFullDisk(t *testing.T) {
	srv, src := newServer("g"), source(t)
	s := shipper(t, srv)
	sh := attach(t, s, src)
	blocked := filepath.Join(src.State, "awslogs.cursor.new")
	must(t, os.MkdirAll(blocked, 0o755)) // nothing can be written there
	w := newWriter(t, src.Path, 1<<20, 3)
	w.record("stdout", "one\n")
	<-srv.arrived
	w.record("stdout", "two\n")
	<-srv.arrived
	must(t, os.Remove(blocked))
	for {
		c, _, err := loadCursor(filepath.Join(src.State, "awslogs.cursor"))
		if err == nil && c.Position.Offset > 0 {
			break
		}
		runtime.Gosched()
	}
	sh.Close()
	must(t, attach(t, s, src).Drain(ctx))
	wantTexts(t, srv, "one", "two")
}

// TestNoLeaks: nothing runs and nothing is open once shipments are closed or drained.
func TestNoLeaks(t *testing.T) {
	count := func() (int, int) {
		files, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return runtime.NumGoroutine(), len(files)
	}
	srv := newServer("g")
	goroutines, files := count()
	s := shipper(t, srv)
	for i := range 50 {
		src := source(t)
		w := newWriter(t, src.Path, 1<<20, 3)
		w.record("stdout", "x\n")
		w.close()
		sh, err := s.Attach(ctx, src)
		must(t, err)
		if i%2 == 0 {
			must(t, sh.Drain(ctx))
		}
		sh.Close()
	}
	must(t, s.Close())
	deadline := time.Now().Add(5 * time.Second)
	for {
		g, f := count()
		if g <= goroutines && f <= files {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d files, before %d and %d", g, f, goroutines, files)
		}
		runtime.Gosched()
	}
}

func BenchmarkShip(b *testing.B) {
	srv, src := newServer("g"), source(b)
	const lines = 100_000
	var data []byte
	now := time.Now()
	for i := range lines {
		data = appendRecord(data, "stdout", fmt.Sprintf("192.0.2.1 - - \"GET /index.html?n=%d HTTP/1.1\" 200 1234\n", i), now)
	}
	must(b, os.WriteFile(src.Path, data, 0o644))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		src.State = b.TempDir()
		srv.groups["g"] = map[string][]event{}
		sh, err := shipper(b, srv).Attach(ctx, src)
		must(b, err)
		must(b, sh.Drain(ctx))
		sh.Close()
	}
	if n := len(srv.texts("g", "p/web/task1")); n != lines {
		b.Fatal(n)
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// TestNothingLost: a file that is removed after it was read, while its successors are there, is no loss.
func TestNothingLost(t *testing.T) {
	srv, src := newServer("g"), source(t)
	w := newWriter(t, src.Path, 1<<20, 3)
	sh := attach(t, shipper(t, srv, func(c *Config) { c.watch, c.Poll = silent{}, time.Hour }), src).(*shipment)
	var want []string
	for i := range 12 {
		want = append(want, fmt.Sprint(i))
		w.record("stdout", want[i]+"\n")
		w.rotate()
		sh.notify()
		for len(srv.texts("g", "p/web/task1")) <= i {
			<-srv.arrived
		}
	}
	must(t, sh.Drain(ctx))
	wantTexts(t, srv, want...)
}

// TestEntryTakenBack: half an entry, which a writer without room takes back, leaves no trace.
func TestEntryTakenBack(t *testing.T) {
	srv, src := newServer("g"), source(t)
	w := newWriter(t, src.Path, 1<<20, 3)
	w.record("stdout", "one\n")
	sh := attach(t, shipper(t, srv), src)
	<-srv.arrived
	info, err := w.file.Stat()
	must(t, err)
	_, err = w.file.WriteString(`{"log":"half of an entry`)
	must(t, err)
	sh.(*shipment).notify()
	must(t, w.file.Truncate(info.Size()))
	w.record("stdout", "two\n")
	must(t, sh.Drain(ctx))
	wantTexts(t, srv, "one", "two")
}
