package oci

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/runtimetest"
)

// hold starts what holds namespaces, as container 90.
func hold(t *testing.T, s *runtimetest.Subject) string {
	t.Helper()
	spec := &runtime.Spec{ID: runtimetest.ID(90), Hold: true, CgroupParent: "task-1", OCIRuntime: s.OCIRuntime, Linux: runtime.Linux{ShmSize: 5 << 20}}
	s.Start(t, spec)
	return spec.ID
}

// TestSharedPIDs: containers of one pid namespace see each other's processes and end by themselves; orphans are reaped.
func TestSharedPIDs(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		id := hold(t, s)
		long := s.Spec(0, []string{"sh", "-c", "sleep 1111 & sleep 1112"})
		long.PidNS = id
		s.Start(t, long)
		prints(t, s, `until ps | grep -q '[s]leep 1111'; do sleep 0.01; done; ps | grep -c '[s]leep 111[12]$'; ps | grep -c '/[p]ause$'; readlink /proc/1/exe`,
			"2\n1\n/pause\n", func(spec *runtime.Spec) {
				spec.ID, spec.PidNS, spec.CapAdd = runtimetest.ID(1), id, []string{"SYS_PTRACE"}
			})
		// A grandchild that nobody waits for is the holder's.
		prints(t, s, `sh -c 'sh -c "sleep 0.05; exit 3" & echo $! > /tmp/pid'; while test -d /proc/$(cat /tmp/pid); do sleep 0.01; done; echo reaped`,
			"reaped\n", func(spec *runtime.Spec) { spec.ID, spec.PidNS = runtimetest.ID(1), id })
		// What the first process leaves behind ends with it, and others do not.
		left := s.Spec(2, []string{"sh", "-c", "sleep 1113 & exit 5"})
		left.PidNS, left.Log.Path = id, filepath.Join(t.TempDir(), "log")
		s.Start(t, left)
		if got := s.Wait(t, left.ID); got.ExitCode != 5 {
			t.Errorf("exit code %d", got.ExitCode)
		}
		prints(t, s, `ps | grep -c '[s]leep 111[123]$'`, "2\n", func(spec *runtime.Spec) { spec.ID, spec.PidNS = runtimetest.ID(1), id })
		s.Delete(t, left.ID, false)
		// The holder is not to be ended from within; when it is, all end with it.
		prints(t, s, `kill -9 1; sleep 0.05; test -d /proc/1 && echo there`, "there\n", func(spec *runtime.Spec) { spec.ID, spec.PidNS = runtimetest.ID(1), id })
		s.Kill(t, id, syscall.SIGKILL, false)
		s.Wait(t, id)
		if got := s.Wait(t, long.ID); got.ExitCode != 137 {
			t.Errorf("exit code %d", got.ExitCode)
		}
		if status, err := s.Runtime.Start(context.Background(), left); err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("one in the namespace of a container that has ended: %+v, %v", status, err)
		}
	})
}

// TestSharedIPC: containers share memory and queues, over the monitor's death too; what is not shared is not seen.
func TestSharedIPC(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		id := hold(t, s)
		with := func(ns string) func(*runtime.Spec) {
			return func(spec *runtime.Spec) { spec.ID, spec.IpcNS = runtimetest.ID(1), ns }
		}
		prints(t, s, "echo mine > /dev/shm/a; readlink /proc/self/ns/ipc > /dev/shm/ns; dd if=/dev/zero of=/dev/shm/big bs=1M count=6 2> /dev/null || echo full", "full\n", with(id))
		killMonitor(t, s.Runtime.(*Runtime))
		prints(t, s, `cat /dev/shm/a; test "$(cat /dev/shm/ns)" = "$(readlink /proc/self/ns/ipc)" && echo same`, "mine\nsame\n", with(id))
		prints(t, s, "ls /dev/shm", "", with(""))
		host, err := os.Readlink("/proc/self/ns/ipc")
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("/dev/shm/roadstead-test-%d", os.Getpid())
		if err := os.WriteFile(name, []byte("host\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(name)
		prints(t, s, "readlink /proc/self/ns/ipc; cat "+name, host+"\nhost\n", with("host"))
		prints(t, s, "test -e /dev/shm || echo none", "none\n", func(spec *runtime.Spec) { spec.NoShm = true })
		s.Kill(t, id, syscall.SIGKILL, false)
		s.Wait(t, id)
	})
}

// TestHostPIDs: a container in the machine's pid namespace sees its processes, and ends whole.
func TestHostPIDs(t *testing.T) {
	eachRuntime(t, func(t *testing.T, s *runtimetest.Subject, m *machine) {
		host := func(spec *runtime.Spec) { spec.PidNS = "host" }
		prints(t, s, fmt.Sprintf("tr '\\0' ' ' < /proc/%d/cmdline | head -c 8; echo; sleep 1114 & exit 0", os.Getpid()), os.Args[0][:8]+"\n", host)
		for i, all := range []bool{true, false} {
			spec := s.Spec(i, []string{"sh", "-c", "sleep 1115 & sleep 1116"})
			host(spec)
			s.Start(t, spec)
			s.Kill(t, spec.ID, syscall.SIGKILL, all)
			if got := s.Wait(t, spec.ID); got.ExitCode != 137 {
				t.Errorf("exit code %d", got.ExitCode)
			}
			pids, err := s.Runtime.(*Runtime).groups.Processes(m.group + "/task-1/" + spec.ID)
			if err != nil || len(pids) != 0 {
				t.Errorf("left when it had ended: %v, %v", pids, err)
			}
		}
	})
}

// TestRestartShared: a container joins namespaces again when it is restarted.
func TestRestartShared(t *testing.T) {
	m := newMachine(t)
	s := m.subject(t, "crun")
	id := hold(t, s)
	spec := s.Spec(0, []string{"sh", "-c", "echo run >> /dev/shm/runs; wc -l < /dev/shm/runs; readlink /proc/1/exe"})
	spec.PidNS, spec.IpcNS, spec.Restartable, spec.CapAdd = id, id, true, []string{"SYS_PTRACE"}
	spec.Log.Path = filepath.Join(t.TempDir(), "log")
	s.Start(t, spec)
	s.Wait(t, spec.ID)
	again(t, s, spec.ID, 1)
	if got := text(readLog(t, spec.Log.Path), "stdout"); got != "1\n/pause\n2\n/pause\n" {
		t.Errorf("the log is %q", got)
	}
}

// TestPausePrograms: what holds namespaces is a program for each architecture.
func TestPausePrograms(t *testing.T) {
	for arch, p := range pauseCode {
		program, err := pause(arch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		segment := f.Progs[0]
		code := make([]byte, len(p.code))
		if _, err := segment.ReadAt(code, int64(f.Entry-segment.Vaddr)); err != nil || !bytes.Equal(code, p.code) || f.Machine != p.machine {
			t.Errorf("%s: %v, %x", arch, err, code)
		}
		if at := f.Entry - segment.Vaddr + uint64(len(code)); at%8 != 0 || at+32 != segment.Filesz {
			t.Errorf("%s: the struct is at %d of %d", arch, at, segment.Filesz)
		}
	}
}
