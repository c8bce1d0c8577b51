package netns

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var ctx = context.Background()

// uplink gives the tests' namespace a second namespace to talk to, as the world outside: 192.0.2.1 here, 192.0.2.2
// there, with a default route to it.
type uplink struct{ path string }

func newUplink(t testing.TB) uplink {
	t.Helper()
	must(t, setLoopbackUp())
	u := uplink{path: t.TempDir() + "/outside"}
	must(t, makeNamespace(u.path, func(ns *os.File) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "outer"
		return hostHandle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "inner", PeerNamespace: netlink.NsFd(int(ns.Fd()))})
	}))
	must(t, configure("outer", "192.0.2.1/24", "192.0.2.2"))
	must(t, inNamespace(u.path, func() error {
		if err := setLoopbackUp(); err != nil {
			return err
		}
		return configure("inner", "192.0.2.2/24", "")
	}))
	t.Cleanup(func() {
		link, err := netlink.LinkByName("outer")
		must(t, err)
		must(t, netlink.LinkDel(link))
		must(t, removeNamespace(u.path))
	})
	return u
}

// hostHandle is opened in the tests' namespace, whatever the thread that uses it is in.
var hostHandle = func() *netlink.Handle {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		panic(err)
	}
	return h
}()

func setLoopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func configure(name, cidr, gateway string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	if gateway == "" {
		return nil
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(gateway)})
}

// inNamespace runs f on a thread in the namespace at path; the thread is ended.
func inNamespace(path string, f func() error) error {
	return onOwnThread(func() error {
		ns, err := os.Open(path)
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newManager makes one in a directory of its own that the test destroys at its end.
func newManager(t testing.TB, name string, edit ...func(*Config)) *Manager {
	t.Helper()
	cfg := Config{DataDir: t.TempDir() + "/net", Name: name, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, e := range edit {
		e(&cfg)
	}
	m, err := New(cfg)
	must(t, err)
	t.Cleanup(func() {
		if err := m.Destroy(ctx); err != nil && !errors.Is(err, ErrClosed) {
			t.Error("destroy:", err)
		}
	})
	return m
}

func newID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func setup(t testing.TB, m *Manager, ports ...PortRequest) (string, *Network) {
	t.Helper()
	id := newID()
	n, err := m.Setup(ctx, Request{ID: id, Ports: ports})
	must(t, err)
	return id, n
}

// serve answers each connection or datagram at address in the namespace with name and the peer's address.
func serve(t testing.TB, path, protocol, address, name string) {
	t.Helper()
	must(t, inNamespace(path, func() error {
		if protocol == "udp" {
			conn, err := net.ListenPacket("udp4", address)
			if err == nil {
				t.Cleanup(func() { conn.Close() })
				go answerUDP(conn, name)
			}
			return err
		}
		l, err := net.Listen("tcp4", address)
		if err == nil {
			t.Cleanup(func() { l.Close() })
			go answerTCP(l, name)
		}
		return err
	}))
}

func answerTCP(l net.Listener, name string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "%s %s", name, conn.RemoteAddr().(*net.TCPAddr).IP)
		conn.Close()
	}
}

func answerUDP(conn net.PacketConn, name string) {
	buf := make([]byte, 64)
	for {
		_, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		fmt.Fprintf(packetWriter{conn, from}, "%s %s", name, from.(*net.UDPAddr).IP)
	}
}

type packetWriter struct {
	net.PacketConn
	to net.Addr
}

func (w packetWriter) Write(p []byte) (int, error) { return w.WriteTo(p, w.to) }

// ask connects from the namespace (empty: the tests' own) and returns who answered, and as whom it saw us.
func ask(path, protocol, address string, patience time.Duration) (who, from string, err error) {
	f := func() error {
		conn, err := net.DialTimeout(protocol+"4", address, patience)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		var data []byte
		if protocol == "udp" {
			if _, err := conn.Write([]byte("?")); err != nil {
				return err
			}
			data = make([]byte, 100)
			n, err := conn.Read(data)
			if err != nil {
				return err
			}
			data = data[:n]
		} else if data, err = io.ReadAll(conn); err != nil {
			return err
		}
		who, from, _ = strings.Cut(string(data), " ")
		return nil
	}
	if path == "" {
		return who, from, f()
	}
	err = inNamespace(path, f)
	return who, from, err
}

func wantAnswer(t testing.TB, from, protocol, address, who, as string) {
	t.Helper()
	gotWho, gotAs, err := ask(from, protocol, address, 5*time.Second)
	if err != nil {
		t.Errorf("from %q to %s %s: %v", from, protocol, address, err)
		return
	}
	if gotWho != who || as != "" && gotAs != as {
		t.Errorf("from %q to %s %s: %q answered and saw %q, want %q and %q", from, protocol, address, gotWho, gotAs, who, as)
	}
}

// wantSilence fails if anybody answers.
func wantSilence(t testing.TB, from, protocol, address string) {
	t.Helper()
	if who, _, err := ask(from, protocol, address, 200*time.Millisecond); err == nil {
		t.Errorf("from %q to %s %s: %q answered", from, protocol, address, who)
	}
}

func at(ip netip.Addr, port int) string { return netip.AddrPortFrom(ip, uint16(port)).String() }
