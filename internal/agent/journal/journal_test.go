package journal

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/ecs"
)

func open(t testing.TB, path string) (*File, []*Record, string) {
	t.Helper()
	var logged bytes.Buffer
	j, records, err := Open(path, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, records, logged.String()
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
	path := filepath.Join(t.TempDir(), "journal")
	j, _, _ := open(t, path)
	a, b, c := record(), record(), record()
	for _, r := range []*Record{a, b, c} {
		if err := j.Create(r); err != nil {
			t.Fatal(err)
		}
	}
	a.State.Finished = true
	if err := j.Update(a.Task.ID, &a.State); err != nil {
		t.Fatal(err)
	}
	if err := j.Remove(b.Task.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what was made smaller at the first reading reads the same
		_, got, _ := open(t, path)
		if diff := cmp.Diff([]*Record{a, c}, got); diff != "" {
			t.Error(diff)
		}
		if got[0].Definition != got[1].Definition {
			t.Error("two tasks of one definition do not share it")
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestBadLinesDoNotStopTheRest gives Open what a bad day leaves behind.
func TestBadLinesDoNotStopTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, _ := open(t, path)
	good, late := record(), record()
	if err := j.Create(good); err != nil {
		t.Fatal(err)
	}
	r := record()
	whole, err := encode(&line{ID: r.Task.ID, Version: version, Task: &r.Task, Definition: r.Definition, State: &r.State})
	if err != nil {
		t.Fatal(err)
	}
	s := strings.TrimSuffix(string(whole), "\n")
	bad := []string{
		s[:len(s)/2], strings.Repeat("\x00", 100), "mine", "{}", "null", "[]",
		strings.Replace(s, `"version":1`, `"version":2`, 1),
		strings.Replace(s, `"definition":{`, `"undefined":{`, 1),
		strings.Replace(s, `"runtimeId":"1f"`, `"runtimeId":""`, 1),
		`{"id":"` + ecs.NewTaskID().String() + s[39:],
		`{"id":"` + ecs.NewTaskID().String() + `","state":{"containers":[]}}`,
		`{"id":"` + good.Task.ID.String() + `","state":{"containers":[]}}`,
		`{"id":"` + good.Task.ID.String() + `"}`,
		`{"id":"` + good.Task.ID.String() + `","state":{"cont`,
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(strings.Join(bad, "\n") + "\n")
	if err := j.Create(late); err != nil {
		t.Fatal(err)
	}
	f.WriteString(s[:10]) // and a torn last one
	f.Close()
	j, got, logged := open(t, path)
	if diff := cmp.Diff([]*Record{good, late}, got); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(logged, "set aside"); n != len(bad)+1 {
		t.Errorf("%d lines of it in the log, want %d", n, len(bad)+1)
	}
	if strings.Contains(logged, "busybox") {
		t.Error("a journal's content is in the log")
	}
	aside, err := os.ReadFile(path + ".aside")
	if err != nil || strings.Count(string(aside), "\n") != len(bad)+1 {
		t.Errorf("aside: %q, %v", aside, err)
	}
	if err := j.Update(late.Task.ID, &late.State); err != nil {
		t.Fatal(err)
	}
	if _, got, logged := open(t, path); len(got) != 2 || logged != "" {
		t.Errorf("%d records after it, %s", len(got), logged)
	}
}

// TestCompaction writes far more than it keeps, from several goroutines.
func TestCompaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, _ := open(t, path)
	kept := make([]*Record, 4)
	var all sync.WaitGroup
	for i := range kept {
		all.Go(func() {
			for range 3000 {
				r := record()
				r.State.Reason = strings.Repeat("x", 500)
				if kept[i] != nil {
					if err := j.Remove(kept[i].Task.ID); err != nil {
						t.Error(err)
					}
				}
				kept[i] = r
				if err := j.Create(r); err != nil {
					t.Error(err)
				}
				r.State.Reason = "kept"
				if err := j.Update(r.Task.ID, &r.State); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if info, err := os.Stat(path); err != nil || info.Size() > 2*compactAt {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	_, got, logged := open(t, path)
	sort := func(list []*Record) {
		slices.SortFunc(list, func(a, b *Record) int { return bytes.Compare(a.Task.ID[:], b.Task.ID[:]) })
	}
	sort(got)
	sort(kept)
	if diff := cmp.Diff(kept, got); diff != "" || logged != "" {
		t.Error(diff, logged)
	}
}

// TestAnyCutIsRead cuts a journal at any byte, as a machine that dies does: what was whole before it is read.
func TestAnyCutIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, _ := open(t, path)
	var ends []int64
	for range 5 {
		if err := j.Create(record()); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.size)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.IntRange(0, len(b)).Draw(t, "cut")
		want := 0
		for _, e := range ends {
			// A last line that lacks its newline alone is whole.
			if int64(cut) >= e-1 {
				want++
			}
		}
		if records, _ := parse(b[:cut]); len(records) != want {
			t.Errorf("%d records of the first %d bytes, want %d", len(records), cut, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	r := record()
	whole, _ := encode(&line{ID: r.Task.ID, Version: version, Task: &r.Task, Definition: r.Definition, State: &r.State})
	f.Add(whole)
	f.Add([]byte("{}\n{"))
	f.Add([]byte(`{"id":"00000000000000000000000000000001","gone":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, _ := parse(b)
		for _, r := range records {
			if len(r.Definition.ContainerDefinitions) != len(r.State.Containers) {
				t.Errorf("%+v", r)
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	j, _, _ := open(b, filepath.Join(b.TempDir(), "journal"))
	for b.Loop() {
		if err := j.Create(record()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	j, _, _ := open(b, filepath.Join(b.TempDir(), "journal"))
	r := record()
	for b.Loop() {
		if err := j.Update(r.Task.ID, &r.State); err != nil {
			b.Fatal(err)
		}
	}
}
