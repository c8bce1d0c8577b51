package netns

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// portPool gives out host ports. A port is kept by a bound socket that nobody listens on: so it is refused to, and known
// to, every program of the host and every other manager, and the kernel does not use it for an outgoing connection.
// Not safe for use by several goroutines.
type portPool struct {
	first, last, next uint16
	taken             map[portKey]bool
}

type portKey struct {
	protocol string
	port     uint16
}

// reservation is one host port that is kept.
type reservation struct {
	key portKey
	fd  int
}

func newPortPool(dynamic [2]uint16) (*portPool, error) {
	if dynamic == [2]uint16{} {
		dynamic = localPortRange()
	}
	if dynamic[0] == 0 || dynamic[1] < dynamic[0] {
		return nil, fmt.Errorf("dynamic ports %d to %d are no range", dynamic[0], dynamic[1])
	}
	return &portPool{first: dynamic[0], last: dynamic[1], next: dynamic[0], taken: map[portKey]bool{}}, nil
}

// localPortRange is where ECS takes dynamic host ports from: the kernel's ephemeral range.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html
func localPortRange() [2]uint16 {
	var first, last uint16
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(string(data), &first, &last)
	}
	if err != nil || first == 0 || last < first {
		return [2]uint16{32768, 60999}
	}
	return [2]uint16{first, last}
}

// reserve keeps one port, or says that it is taken.
func (p *portPool) reserve(protocol string, port uint16) (*reservation, error) {
	key := portKey{protocol, port}
	if p.taken[key] {
		return nil, bindError{port, ErrPortAllocated}
	}
	fd, err := holdPort(protocol, port)
	if errors.Is(err, unix.EADDRINUSE) {
		err = ErrPortAllocated
	}
	if err != nil {
		return nil, bindError{port, err}
	}
	p.taken[key] = true
	return &reservation{key: key, fd: fd}, nil
}

// bindError says in Docker's words why a container does not get a host port.
type bindError struct {
	port uint16
	err  error
}

func (e bindError) Error() string {
	return fmt.Sprintf("Bind for %s:%d failed: %v", bindIP, e.port, e.err)
}
func (e bindError) Unwrap() error { return e.err }

// reserveRange keeps count ports that follow one another, or none.
func (p *portPool) reserveRange(protocol string, first uint16, count int) ([]*reservation, error) {
	kept := make([]*reservation, 0, count)
	for i := range count {
		r, err := p.reserve(protocol, first+uint16(i))
		if err != nil {
			p.free(kept)
			return nil, err
		}
		kept = append(kept, r)
	}
	return kept, nil
}

// reserveAny keeps any count free ports of the dynamic range that follow one another, going round it, so that a port is used again
// as late as possible.
func (p *portPool) reserveAny(protocol string, count int) ([]*reservation, error) {
	size := int(p.last) - int(p.first) + 1
	for tried := 0; tried < size && count <= size; {
		first := p.next
		if int(first)+count-1 > int(p.last) { // the rest of the round is too short
			tried += int(p.last) - int(first) + 1
			p.next = p.first
			continue
		}
		kept, err := p.reserveRange(protocol, first, count)
		if err == nil {
			p.next = p.after(int(first) + count)
			return kept, nil
		}
		var taken bindError
		if !errors.Is(err, ErrPortAllocated) || !errors.As(err, &taken) {
			return nil, err
		}
		tried += int(taken.port) - int(first) + 1
		p.next = p.after(int(taken.port) + 1)
	}
	if count > 1 {
		// As ECS's agent words it.
		return nil, fmt.Errorf("%d contiguous host ports are unavailable: %w", count, ErrPortAllocated)
	}
	return nil, fmt.Errorf("no dynamic %s port is free between %d and %d: %w", protocol, p.first, p.last, ErrPortAllocated)
}

// after is a port of the dynamic range, or its first if it is behind it.
func (p *portPool) after(port int) uint16 {
	if port > int(p.last) {
		return p.first
	}
	return uint16(port)
}

func (p *portPool) free(rs []*reservation) {
	for _, r := range rs {
		delete(p.taken, r.key)
	}
	releaseAll(rs)
}

func releaseAll(rs []*reservation) {
	for _, r := range rs {
		if r.fd >= 0 {
			unix.Close(r.fd) // nothing was written that could be lost
			r.fd = -1
		}
	}
}

// holdPort binds a socket to the port. A TCP one is bound as a server would be, so that connections of an earlier server
// that linger in TIME_WAIT are no conflict, then asked to listen, which is refused if anybody else holds the port, and
// shut at once: from then on it only keeps the port.
func holdPort(protocol string, port uint16) (fd int, err error) {
	kind := unix.SOCK_STREAM
	if protocol == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := bindAndShut(fd, kind, port); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func bindAndShut(fd, kind int, port uint16) error {
	addr := &unix.SockaddrInet4{Port: int(port)}
	if kind == unix.SOCK_DGRAM {
		return os.NewSyscallError("bind", unix.Bind(fd, addr))
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, addr); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		return os.NewSyscallError("listen", err)
	}
	if err := unix.Shutdown(fd, unix.SHUT_RDWR); err != nil {
		return os.NewSyscallError("shutdown", err)
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0))
}

// protocolOf checks a request's protocol.
func protocolOf(s string) (string, error) {
	switch p := strings.ToLower(s); p {
	case "", "tcp":
		return "tcp", nil
	case "udp":
		return p, nil
	default:
		return "", fmt.Errorf("%w: protocol %q is neither tcp nor udp", ErrBadRequest, s)
	}
}
