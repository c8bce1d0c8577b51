package agent

import (
	"net"
	"slices"
	"strings"
	"testing"

	"roadstead.dev/roadstead/internal/ecs"
)

func TestSocketPorts(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0 0 10 0
   2: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 15 1 0 100 0 0 10 0
`
	got, err := socketPorts(strings.NewReader(table), "0A")
	if err != nil || !slices.Equal(got, []uint16{22, 8080}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := socketPorts(strings.NewReader("0: a:zz b 0A"), "0A"); err == nil {
		t.Error("zz is a port")
	}
}

func TestUsedPorts(t *testing.T) {
	// Some free port below the ephemeral range.
	var l net.Listener
	port := uint16(0)
	for _, p := range []string{"17023", "17123", "17223", "17323"} {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:"+p); err == nil {
			port = uint16(l.Addr().(*net.TCPAddr).Port)
			break
		}
	}
	if l == nil {
		t.Fatal("no free port")
	}
	defer l.Close()
	got, err := usedPorts()
	if err != nil || !slices.Contains(got, ecs.Port{Number: port}) {
		t.Errorf("%d is not among %v, %v", port, got, err)
	}
}

func TestMergePorts(t *testing.T) {
	got := mergePorts([]ecs.Port{{Number: 80}, {Number: 53, UDP: true}}, []ecs.Port{{Number: 22}, {Number: 80}, {Number: 53}})
	want := []ecs.Port{{Number: 22}, {Number: 53}, {Number: 80}, {Number: 53, UDP: true}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestMachine(t *testing.T) {
	c := Config{ReservedMemoryMiB: 64}
	r, err := c.resources(nil)
	if err != nil || r.CPU < 1024 || r.MemoryMiB < 64 || !slices.Contains(r.Ports, ecs.Port{Number: 22}) {
		t.Errorf("%+v, %v", r, err)
	}
	c.ReservedMemoryMiB = 1 << 30
	if _, err := c.resources(nil); err == nil {
		t.Error("more memory is reserved than there is")
	}
}
