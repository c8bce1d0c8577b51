package journal

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

func open(t *testing.T) (*Dir, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	dir := t.TempDir()
	d, err := Open(filepath.Join(dir, "tasks"), filepath.Join(dir, "aside"), slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return d, &logged
}

func record() *Record {
	def := &ecs.TaskDefinition{Family: "web", Revision: 3, ContainerDefinitions: []ecs.ContainerDefinition{{Name: "a", Image: "busybox"}}}
	code := int32(3)
	return &Record{
		Task:       acs.RunTask{ID: ecs.NewTaskID(), Cluster: "default", ARN: "arn", Definition: def.ID(), ContainerARNs: []string{"c"}},
		Definition: def,
		State: State{Stopping: true, Reason: "why", Containers: []Container{
			{Container: ecs.Container{Name: "a", RuntimeID: "1f", ExitCode: &code}, StopSignal: 3, Ran: true},
		}},
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	d, _ := open(t)
	a, b := record(), record()
	for _, r := range []*Record{a, b} {
		if err := d.Create(r); err != nil {
			t.Fatal(err)
		}
	}
	a.State.Finished = true
	if err := d.Update(a.Task.ID, &a.State); err != nil {
		t.Fatal(err)
	}
	got, err := d.Load()
	if err != nil || len(got) != 2 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	if got[0].Definition != got[1].Definition {
		t.Error("two tasks of one definition do not share it")
	}
	for _, r := range got {
		want := a
		if r.Task.ID == b.Task.ID {
			want = b
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Error(diff)
		}
	}
	if err := d.Remove(a.Task.ID); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.Load(); len(got) != 1 || got[0].Task.ID != b.Task.ID {
		t.Fatalf("after a removal: %d records", len(got))
	}
}

// TestForeignEntriesDoNotStopTheRest gives Load everything a bad day leaves behind.
func TestForeignEntriesDoNotStopTheRest(t *testing.T) {
	d, logged := open(t)
	good := record()
	if err := d.Create(good); err != nil {
		t.Fatal(err)
	}
	damage := func(name, file, content string) {
		t.Helper()
		r := record()
		if err := d.Create(r); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(d.TaskDir(r.Task.ID), file)
		if content == "" {
			content = "\x00"
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage("torn", "state.json", `{"version":1,"state":{"stopp`)
	damage("zeroes", "task.json", "")
	damage("newer", "state.json", `{"version":2,"state":{}}`)
	damage("empty", "task.json", `{}`)
	damage("another's", "task.json", `{"version":1,"task":{"id":"00000000000000000000000000000001"},"definition":{}}`)
	damage("no containers", "state.json", `{"version":1,"state":{"containers":[]}}`)
	missing := record()
	if err := d.Create(missing); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(d.TaskDir(missing.Task.ID), "state.json"))
	os.WriteFile(filepath.Join(d.path, "README"), []byte("mine"), 0o600)
	os.Mkdir(filepath.Join(d.path, ecs.NewTaskID().String()), 0o700) // half made: deleted

	got, err := d.Load()
	if err != nil || len(got) != 1 || got[0].Task.ID != good.Task.ID {
		t.Fatalf("%d records, %v", len(got), err)
	}
	aside, err := os.ReadDir(d.aside)
	if err != nil || len(aside) != 8 {
		t.Errorf("%d entries aside, want 8 (%v)", len(aside), err)
	}
	if n := strings.Count(logged.String(), "moved aside"); n != 8 {
		t.Errorf("%d lines of it in the log, want 8", n)
	}
	if left, _ := os.ReadDir(d.path); len(left) != 1 {
		t.Errorf("%d entries left, want 1", len(left))
	}
}

func TestEntriesAreTheirOwnersAlone(t *testing.T) {
	d, _ := open(t)
	r := record()
	if err := d.Create(r); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"", "task.json", "state.json"} {
		info, err := os.Stat(filepath.Join(d.TaskDir(r.Task.ID), p))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", p, info.Mode(), err)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	dir := b.TempDir()
	d, err := Open(filepath.Join(dir, "tasks"), filepath.Join(dir, "aside"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := d.Create(record()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	dir := b.TempDir()
	d, err := Open(filepath.Join(dir, "tasks"), filepath.Join(dir, "aside"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	r := record()
	d.Create(r)
	for b.Loop() {
		if err := d.Update(r.Task.ID, &r.State); err != nil {
			b.Fatal(err)
		}
	}
}
