package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// usedPorts are the ports that programs of the machine listen on, below the range that connections and dynamic host ports
// are given from: a task that asks for one of them cannot have it here.
func usedPorts() ([]ecs.Port, error) {
	ephemeral := uint16(32768)
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if fields := strings.Fields(string(b)); len(fields) == 2 {
			if n, err := strconv.ParseUint(fields[0], 10, 16); err == nil {
				ephemeral = uint16(n)
			}
		}
	}
	var ports []ecs.Port
	for _, table := range []struct {
		path, state string
		udp         bool
	}{
		// The states are TCP_LISTEN and, for a UDP socket without a peer, TCP_CLOSE.
		{"/proc/net/tcp", "0A", false}, {"/proc/net/tcp6", "0A", false}, {"/proc/net/udp", "07", true}, {"/proc/net/udp6", "07", true},
	} {
		f, err := os.Open(table.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("find out the ports in use: %w", err)
		}
		numbers, err := socketPorts(f, table.state)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("find out the ports in use: %s: %w", table.path, err)
		}
		for _, n := range numbers {
			if n < ephemeral {
				ports = append(ports, ecs.Port{Number: n, UDP: table.udp})
			}
		}
	}
	return ports, nil
}

// socketPorts reads the local ports of the sockets in a state from a table of /proc/net; see proc(5).
func socketPorts(table io.Reader, state string) ([]uint16, error) {
	var ports []uint16
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != state {
			continue
		}
		_, port, ok := strings.Cut(fields[1], ":")
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(port, 16, 16)
		if err != nil {
			return nil, err
		}
		if n != 0 {
			ports = append(ports, uint16(n))
		}
	}
	return ports, lines.Err()
}

// mergePorts gives each port once, in order.
func mergePorts(lists ...[]ecs.Port) []ecs.Port {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b ecs.Port) int {
		if a.UDP != b.UDP {
			if b.UDP {
				return -1
			}
			return 1
		}
		return int(a.Number) - int(b.Number)
	})
	return slices.Compact(all)
}
