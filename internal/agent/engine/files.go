package engine

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// shortID is how many digits of its id a container without a host name is called by, as at Docker.
const shortID = 12

// name gives a container its host name, and the files that go with it: /etc/hostname, /etc/hosts and /etc/resolv.conf.
func (t *task) name(spec *runtime.Spec, c *ecs.ContainerDefinition, ip netip.Addr) error {
	shared := containerNetwork(t.definition, c) == ecs.NetworkHost
	spec.Hostname = c.Hostname
	if t.run.Interface != nil && t.ownInterface() {
		spec.Hostname = t.run.Interface.PrivateDNSName
	}
	if spec.Hostname == "" {
		if spec.Hostname = spec.ID[:shortID]; shared {
			host, err := os.Hostname()
			if err != nil {
				return fmt.Errorf("host name: %w", err)
			}
			spec.Hostname = host
		}
	}
	if !slices.ContainsFunc(spec.Env, func(kv string) bool { return strings.HasPrefix(kv, "HOSTNAME=") }) {
		spec.Env = append(spec.Env, "HOSTNAME="+spec.Hostname)
	}
	links, err := t.link(spec, c)
	if err != nil {
		return err
	}
	if t.engine.files.none() {
		return nil
	}
	return t.writeFiles(spec, c, ip, shared, links)
}

func (t *task) writeFiles(spec *runtime.Spec, c *ecs.ContainerDefinition, ip netip.Addr, shared bool, links string) error {
	resolv, err := resolvConf(c, shared)
	if err != nil {
		return err
	}
	hosts, err := hostsFile(spec.Hostname, c, ip, shared)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.engine.files.etc(t.run.ID, c.Name, "hosts")), 0o700); err != nil {
		return fmt.Errorf("write container's files: %w", err)
	}
	for _, f := range []struct{ name, content string }{
		{"resolv.conf", resolv}, {"hosts", hosts + links}, {"hostname", spec.Hostname + "\n"},
	} {
		path := t.engine.files.etc(t.run.ID, c.Name, f.name)
		if err := os.WriteFile(path, []byte(f.content), 0o644); err != nil {
			return fmt.Errorf("write container's %s: %w", f.name, err)
		}
		spec.Mounts = append(spec.Mounts, runtime.Mount{Source: path, Target: "/etc/" + f.name})
	}
	return nil
}

// hostsFile is the container's /etc/hosts: the machine's own for one on the host's network, else as Docker writes it.
func hostsFile(hostname string, c *ecs.ContainerDefinition, ip netip.Addr, shared bool) (string, error) {
	var b strings.Builder
	if shared {
		host, err := os.ReadFile("/etc/hosts")
		if err != nil && !os.IsNotExist(err) {
			return "", fmt.Errorf("hosts file: %w", err)
		}
		b.Write(host)
		if len(host) > 0 && host[len(host)-1] != '\n' {
			b.WriteByte('\n')
		}
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n" +
			"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	}
	for _, h := range c.ExtraHosts {
		fmt.Fprintf(&b, "%s\t%s\n", h.IpAddress, h.Hostname)
	}
	if ip.IsValid() {
		fmt.Fprintf(&b, "%s\t%s\n", ip, hostname)
	}
	return b.String(), nil
}

// resolvConf is the container's /etc/resolv.conf: the machine's, with what the definition says in place of its parts.
// A container with a network of its own cannot reach name servers on the machine's loopback: as Docker does, those are left
// out, systemd-resolved's own servers are used for its stub, and where none is left public ones.
func resolvConf(c *ecs.ContainerDefinition, shared bool) (string, error) {
	conf, err := resolverOf(c, shared)
	return conf.String(), err
}

func resolverOf(c *ecs.ContainerDefinition, shared bool) (resolv, error) {
	conf, err := readResolv("/etc/resolv.conf")
	if err != nil {
		return conf, err
	}
	if !shared && conf.onlyLoopback() {
		behind, err := readResolv("/run/systemd/resolve/resolv.conf")
		if err != nil {
			return conf, err
		}
		if len(behind.servers) > 0 {
			conf = behind
		}
	}
	if !shared {
		conf.dropLoopback()
	}
	if len(c.DnsServers) > 0 {
		conf.servers = c.DnsServers
	}
	if len(c.DnsSearchDomains) > 0 {
		conf.search = c.DnsSearchDomains
	}
	if len(conf.servers) == 0 && !shared {
		conf.servers = []string{"8.8.8.8", "8.8.4.4"}
	}
	return conf, nil
}

type resolv struct{ servers, search, options []string }

func readResolv(path string) (resolv, error) {
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return resolv{}, fmt.Errorf("name servers: %w", err)
	}
	var r resolv
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			r.servers = append(r.servers, fields[1])
		case "search", "domain":
			r.search = fields[1:]
		case "options":
			r.options = append(r.options, fields[1:]...)
		}
	}
	return r, nil
}

func loopback(server string) bool {
	ip, err := netip.ParseAddr(server)
	return err == nil && ip.IsLoopback()
}

func (r *resolv) onlyLoopback() bool {
	for _, s := range r.servers {
		if !loopback(s) {
			return false
		}
	}
	return true
}

func (r *resolv) dropLoopback() {
	var kept []string
	for _, s := range r.servers {
		if !loopback(s) {
			kept = append(kept, s)
		}
	}
	r.servers = kept
}

func (r *resolv) String() string {
	var b strings.Builder
	for _, s := range r.servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(r.search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.search, " "))
	}
	if len(r.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.options, " "))
	}
	return b.String()
}
