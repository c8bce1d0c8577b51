package monitor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/user"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, strings.Repeat("f", 64): true, "A-b_c.9": true,
		"": false, ".": false, "..": false, ".x": false, "-x": false, "a/b": false, "a b": false, "ä": false, "a\x00": false, strings.Repeat("a", 129): false,
	} {
		if got := validID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}

func TestReserve(t *testing.T) {
	m := &Monitor{containers: map[string]*container{}, parents: map[string]int{}}
	for name, req := range map[string]link.StartRequest{
		"id": {ID: "../x", Cgroup: "/r/t/x", CgroupRoot: "/r"}, "relative": {ID: "x", Cgroup: "r/t/x", CgroupRoot: "r"},
		"outside": {ID: "x", Cgroup: "/other/x", CgroupRoot: "/r"}, "upwards": {ID: "x", Cgroup: "/r/../x", CgroupRoot: "/r"},
	} {
		if _, err := m.reserve(&req, ociRuntime{name: "crun"}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	good := link.StartRequest{ID: "x", Cgroup: "/r/t/x", CgroupRoot: "/r"}
	if _, err := m.reserve(&good, ociRuntime{name: "crun"}); err != nil {
		t.Error(err)
	}
	if _, err := m.reserve(&good, ociRuntime{name: "crun"}); err == nil {
		t.Error("an id was given twice")
	}
	if diff := cmp.Diff(map[string]int{"/r/t": 1, "/r": 1}, m.parents); diff != "" {
		t.Error(diff)
	}
}

// TestReaper has processes that end before, while and after their end is asked for.
func TestReaper(t *testing.T) {
	r := newReaper()
	go func() {
		if err := r.run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for script, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137, "sleep 0.05; exit 1": 1} {
		begun := time.Now()
		_, done, err := r.start("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{Env: os.Environ()})
		if err != nil {
			t.Fatal(err)
		}
		if e := <-done; e.code != want || e.at.Before(begun) {
			t.Errorf("%s: %+v", script, e)
		}
	}
	begun := time.Now()
	r.deliver(99999999, exit{code: 3, at: time.Now()})
	if e := <-r.claim(99999999, begun); e.code != 3 {
		t.Errorf("claimed late: %+v", e)
	}
	// The end of an earlier process with the same pid is not its.
	r.deliver(99999999, exit{code: 3, at: begun.Add(-time.Second)})
	select {
	case e := <-r.claim(99999999, begun):
		t.Errorf("another's end: %+v", e)
	default:
	}
}

func TestProcessOfOurs(t *testing.T) {
	ticks, err := startTicks(os.Getpid())
	if err != nil || ticks == 0 {
		t.Fatal(ticks, err)
	}
	fd, err := openProcess(os.Getpid(), ticks)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	if _, err := openProcess(os.Getpid(), ticks+1); err != errGone {
		t.Errorf("another process with this pid: %v", err)
	}
}

func TestCompleteConfig(t *testing.T) {
	req := &link.StartRequest{
		Config:  json.RawMessage(`{"ociVersion":"1","later":{"x":1},"process":{"cwd":"/w","env":["A=b"],"newer":true,"capabilities":{"bounding":["CAP_KILL"],"effective":["CAP_KILL"],"permitted":["CAP_KILL"]}},"linux":{"y":2}}`),
		Seccomp: json.RawMessage(`{"defaultAction":"SCMP_ACT_ERRNO"}`),
	}
	got, cwd, err := completeConfig(req, &user.ExecUser{Uid: 5, Gid: 6, Sgids: []int{7}, Home: "/h"}, "Zm9v")
	if err != nil || cwd != "/w" {
		t.Fatal(cwd, err)
	}
	const want = `{"annotations":{"run.oci.seccomp_bpf_data":"Zm9v"},"later":{"x":1},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"},"y":2},"ociVersion":"1","process":{"capabilities":{"bounding":["CAP_KILL"]},"cwd":"/w","env":["A=b","HOME=/h"],"newer":true,"user":{"uid":5,"gid":6,"additionalGids":[7]}}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{`{}`, `[]`, `{"process":{"cwd":"w"}}`, `{"process":{"cwd":1}}`, `{"process":{"cwd":"/","env":1}}`} {
		if _, _, err := completeConfig(&link.StartRequest{Config: json.RawMessage(bad)}, &user.ExecUser{}, ""); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestRuntimeError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := `{"msg":"a warning","level":"warning"}` + "\n" + `{"msg":"no such file","level":"error","time":"x"}` + "\nnonsense\n"
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runtimeError(path, 1); err.Error() != "no such file" {
		t.Error(err)
	}
}

// TestFilters lets a burst wait for the first to have the filter compiled, and finds it again after a restart.
func TestFilters(t *testing.T) {
	dir := t.TempDir()
	crun := ociRuntime{name: "crun", version: "1"}
	compiled := filepath.Join(dir, "compiled")
	if err := os.WriteFile(compiled, []byte("8 bytes."), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFilters(filepath.Join(dir, "seccomp"))
	encoded, learned := f.get(crun, []byte("profile")).use()
	if encoded != "" {
		t.Fatalf("it knows %q", encoded)
	}
	got := make(chan string)
	for range 3 {
		go func() {
			encoded, _ := f.get(crun, []byte("profile")).use()
			got <- encoded
		}()
	}
	if err := learned(compiled); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if encoded := <-got; encoded != "OCBieXRlcy4=" {
			t.Errorf("%q", encoded)
		}
	}
	again := newFilters(filepath.Join(dir, "seccomp"))
	if encoded, _ := again.get(crun, []byte("profile")).use(); encoded != "OCBieXRlcy4=" {
		t.Errorf("after a restart: %q", encoded)
	}
	// Another profile or another crun compiles anew.
	encoded, learned = again.get(ociRuntime{name: "crun", version: "2"}, []byte("profile")).use()
	if encoded != "" {
		t.Errorf("of another crun: %q", encoded)
	}
	if err := learned(""); err != nil {
		t.Error(err)
	}
}
