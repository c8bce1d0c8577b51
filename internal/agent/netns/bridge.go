package netns

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridge is the interface that all containers of a manager hang on.
type bridge struct {
	name    string
	index   int
	mtu     int
	subnet  netip.Prefix
	gateway netip.Addr
}

// lockPath serialises the choice of subnets between the managers of a machine.
const lockPath = "/run/roadstead/netns.lock"

// aliasPrefix begins the bridge's alias, which tells whose bridge it is.
const aliasPrefix = "roadstead "

// ensureBridge makes the bridge with its address, or takes over the one of an earlier run. inUse says that containers of
// the earlier run have addresses of it, so that its subnet must stay.
func (r *rtnl) ensureBridge(cfg Config, s *store, inUse bool) (bridge, error) {
	unlock, err := lockFile(lockPath)
	if err != nil {
		return bridge{}, err
	}
	defer unlock()
	r.removeOrphans(cfg.Log)
	b := bridge{name: "rs" + cfg.Name}
	link, err := r.ensureBridgeLink(b.name, s.dir)
	if err != nil {
		return b, err
	}
	b.index = link.Attrs().Index
	r.group = groupBase + uint32(b.index)
	tasksOf, err := r.taskLinks(b)
	if err != nil {
		return b, err
	}
	routes, defaultMTU, err := r.routes(func(link int) bool { return link == b.index || tasksOf[link] })
	if err != nil {
		return b, err
	}
	b.mtu = defaultMTU
	if b.subnet, err = chooseSubnet(cfg, s, routes, inUse); err != nil {
		return b, err
	}
	b.gateway = numberAddr(addrNumber(b.subnet.Addr()) + 1)
	return b, r.configureBridge(b, link)
}

// ensureBridgeLink finds or makes the interface, and refuses one that belongs to another data directory that is still there.
func (r *rtnl) ensureBridgeLink(name, dir string) (netlink.Link, error) {
	alias := aliasPrefix + dir
	if len(alias) > 255 { // IFALIASZ
		h := fnv.New64a()
		h.Write([]byte(dir))
		alias = fmt.Sprintf("%s%x", aliasPrefix, h.Sum64())
	}
	link, err := r.handle.LinkByName(name)
	if err == nil {
		return link, r.claim(link, alias)
	}
	var notFound netlink.LinkNotFoundError
	if !errors.As(err, &notFound) {
		return nil, fmt.Errorf("look for bridge %s: %w", name, err)
	}
	snooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Alias = name, alias
	if err := r.handle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
		return nil, fmt.Errorf("make bridge %s: %w", name, err)
	}
	if link, err = r.handle.LinkByName(name); err != nil {
		return nil, fmt.Errorf("look for bridge %s: %w", name, err)
	}
	return link, r.claim(link, alias)
}

func (r *rtnl) claim(link netlink.Link, alias string) error {
	name := link.Attrs().Name
	if link.Type() != "bridge" {
		return fmt.Errorf("interface %s exists and is no bridge", name)
	}
	had := link.Attrs().Alias
	if had == alias {
		return nil
	}
	if dir, ok := strings.CutPrefix(had, aliasPrefix); ok && filepath.IsAbs(dir) {
		if _, err := os.Stat(dir); err == nil {
			return fmt.Errorf("bridge %s belongs to data directory %s: give this node another network name", name, dir)
		}
	}
	if err := r.handle.LinkSetAlias(link, alias); err != nil {
		return fmt.Errorf("mark bridge %s: %w", name, err)
	}
	return nil
}

// configureBridge gives the bridge its addresses and turns on what forwarding needs.
func (r *rtnl) configureBridge(b bridge, link netlink.Link) error {
	mac := macOf(b.gateway) // fixed: a bridge's own would change with its ports
	if link.Attrs().HardwareAddr.String() != mac.String() {
		if err := r.handle.LinkSetHardwareAddr(link, mac); err != nil {
			return fmt.Errorf("bridge %s: %w", b.name, err)
		}
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: b.gateway.AsSlice(), Mask: net.CIDRMask(b.subnet.Bits(), 32)}}
	if err := r.handle.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("bridge %s: %w", b.name, err)
	}
	have, err := r.handle.AddrList(link, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", b.name, err)
	}
	for _, a := range have {
		if a.IP.Equal(addr.IP) && a.Mask.String() == addr.Mask.String() {
			continue
		}
		if ones, _ := a.Mask.Size(); ones == 32 { // a gateway of tasks that run on; see claimSubnet
			continue
		}
		if err := r.handle.AddrDel(link, &a); err != nil {
			return fmt.Errorf("bridge %s: %w", b.name, err)
		}
	}
	if err := setSysctl("net/ipv6/conf/"+b.name+"/disable_ipv6", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Published ports answer on 127.0.0.1 too: see the guard chain for what keeps containers out of the host's loopback.
	if err := setSysctl("net/ipv4/conf/"+b.name+"/route_localnet", "1"); err != nil {
		return err
	}
	if err := setSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if err := r.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("bridge %s up: %w", b.name, err)
	}
	return nil
}

// routes lists where the machine's IPv4 routes and addresses lead, without default routes and without those of the
// interfaces that except names, and the MTU of the default route's interface.
func (r *rtnl) routes(except func(link int) bool) ([]netip.Prefix, int, error) {
	mtu := 1500
	all, err := r.handle.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, 0, fmt.Errorf("list routes: %w", err)
	}
	var out []netip.Prefix
	for _, route := range all {
		if route.LinkIndex != 0 && except(route.LinkIndex) {
			continue
		}
		dst := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if route.Dst != nil {
			ip, ok := netip.AddrFromSlice(route.Dst.IP)
			ones, _ := route.Dst.Mask.Size()
			if !ok {
				continue
			}
			dst = netip.PrefixFrom(ip.Unmap(), ones)
		}
		// Tunnels that take all traffic do it with two routes of /1.
		if dst.Bits() > 4 {
			out = append(out, dst)
		} else if link, err := r.handle.LinkByIndex(route.LinkIndex); err == nil && dst.Bits() == 0 {
			mtu = link.Attrs().MTU
		}
	}
	return out, mtu, nil
}

// chooseSubnet decides by what was asked for, what was remembered, and what is free.
func chooseSubnet(cfg Config, s *store, routes []netip.Prefix, inUse bool) (netip.Prefix, error) {
	kept, err := s.loadSettings()
	if err != nil {
		return netip.Prefix{}, err
	}
	if inUse && cfg.Subnet.IsValid() && cfg.Subnet != kept.Subnet {
		return netip.Prefix{}, fmt.Errorf("subnet cannot change from %v to %v while containers are running", kept.Subnet, cfg.Subnet)
	}
	want := cfg.Subnet
	if clash, ok := overlapping(want, routes); ok {
		return netip.Prefix{}, fmt.Errorf("subnet %v overlaps %v, which this machine routes elsewhere", want, clash)
	}
	if !want.IsValid() && kept.Subnet.IsValid() {
		if _, ok := overlapping(kept.Subnet, routes); inUse || !ok {
			want = kept.Subnet
		}
	}
	if !want.IsValid() {
		if want, err = freeSubnet(s.dir, routes); err != nil {
			return netip.Prefix{}, err
		}
	}
	if want == kept.Subnet {
		return want, nil
	}
	return want, s.saveSettings(settings{Subnet: want})
}

// freeSubnet picks a /20 that no route overlaps: of 172.20.0.0/14 first, then of 10.64.0.0/10. It starts at a place that
// depends on the data directory, so that an instance made anew gets the same.
func freeSubnet(dir string, routes []netip.Prefix) (netip.Prefix, error) {
	h := fnv.New32a()
	h.Write([]byte(dir))
	for _, from := range []netip.Prefix{netip.MustParsePrefix("172.20.0.0/14"), netip.MustParsePrefix("10.64.0.0/10")} {
		count := uint32(1) << (20 - from.Bits())
		for i := range count {
			n := (h.Sum32() + i) % count
			p := netip.PrefixFrom(numberAddr(addrNumber(from.Addr())+n<<12), 20)
			if _, clash := overlapping(p, routes); !clash {
				return p, nil
			}
		}
	}
	return netip.Prefix{}, errors.New("no /20 of 172.20.0.0/14 or 10.64.0.0/10 is free on this machine: set the subnet")
}

func overlapping(p netip.Prefix, routes []netip.Prefix) (netip.Prefix, bool) {
	for _, r := range routes {
		if p.IsValid() && p.Overlaps(r) {
			return r, true
		}
	}
	return netip.Prefix{}, false
}

// setSysctl sets a kernel setting below /proc/sys of the thread's network namespace, and leaves one alone that is right.
func setSysctl(name, value string) error {
	path := filepath.Join("/proc/sys", name)
	if have, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(have)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s: %w", strings.ReplaceAll(name, "/", "."), err)
	}
	return nil
}

// lockFile waits for the lock and returns what lets go of it.
func lockFile(path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
