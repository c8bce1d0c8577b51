package oci

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func TestParseInterfaces(t *testing.T) {
	const dev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0
  eth0: 1234 5 6 7 0 0 0 0 8901 2 3 4 0 0 0 0
`
	got, err := parseInterfaces([]byte(dev))
	want := runtime.NetworkStats{"eth0": {RxBytes: 1234, RxPackets: 5, RxErrors: 6, RxDropped: 7, TxBytes: 8901, TxPackets: 2, TxErrors: 3, TxDropped: 4}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{"eth0: 1 2\n", "eth0: a b c d e f g h i j k l m n o p\n"} {
		if _, err := parseInterfaces([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSystemCPU(t *testing.T) {
	a, err := systemCPU()
	if err != nil || a == 0 {
		t.Errorf("%d, %v", a, err)
	}
}

func TestStatsOfNothing(t *testing.T) {
	r, err := New(Config{Dir: t.TempDir(), CgroupRoot: "/roadstead-none"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Stats(t.Context(), "none"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
