package devcluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/join"
	"roadstead.dev/roadstead/internal/servercert"
)

// TLSConfig says how the endpoint is encrypted. The zero value is: not on loopback, and elsewhere with our own certificate.
type TLSConfig struct {
	// Always encrypts on loopback too; Never encrypts nowhere.
	Always, Never bool
	// Names are names and addresses, beside those that the machine knows itself, that our certificate is for.
	Names []string
	// Cert and Key are files of a certificate of the owner's, in place of ours. They are read at the start.
	Cert, Key string
}

func (c TLSConfig) check() error {
	switch {
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("a certificate and its key go together: say --tls-cert and --tls-key")
	case c.Never && (c.Always || c.Cert != ""):
		return errors.New("--insecure-listen does not go with --tls or --tls-cert")
	case c.Cert != "" && len(c.Names) > 0:
		return errors.New("--tls-name is for our own certificate, not for that of --tls-cert")
	}
	return nil
}

// endpoint is how the API is served.
type endpoint struct {
	listener net.Listener
	url      string
	// pin is what join tokens say of it, ca the file of our CA if clients need that.
	pin, ca string
	// authority is the certificate of our CA.
	authority *x509.Certificate
	// client reaches the endpoint from within the process; nil for any client.
	client *http.Client
}

// openEndpoint makes an endpoint of a listener, which stays the caller's if it fails. Who listens beyond loopback gets TLS unless he
// has said otherwise.
func openEndpoint(cfg Config, dir DataDir, l net.Listener) (*endpoint, error) {
	authority, err := servercert.Open(dir.TLS())
	if err != nil {
		return nil, err
	}
	e := &endpoint{listener: l, url: "http://" + reachable(l.Addr()), pin: join.Pin(authority.Certificate()), authority: authority.Certificate()}
	tcp, ok := l.Addr().(*net.TCPAddr)
	beyond := ok && !tcp.IP.IsLoopback()
	if beyond && cfg.TLS.Never {
		cfg.Log.Warn("--insecure-listen: requests and answers, secrets in them included, can be read and changed on their way", "listen", l.Addr())
	}
	if cfg.TLS.Never || !beyond && !cfg.TLS.Always && cfg.TLS.Cert == "" {
		return e, nil
	}
	get, err := e.certificates(cfg, dir, authority)
	if err != nil {
		return nil, err
	}
	e.client = ownClient(reachable(l.Addr()), get)
	e.listener = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: get})
	return e, nil
}

type certificates func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// certificates finds out what is served, and what clients have to know of it.
func (e *endpoint) certificates(cfg Config, dir DataDir, authority *servercert.Authority) (certificates, error) {
	host := reachable(e.listener.Addr())
	e.url = "https://" + host
	if cfg.TLS.Cert == "" {
		e.ca = dir.TLS() + "/ca.pem"
		names, err := servingNames(e.listener.Addr(), cfg)
		if err != nil {
			return nil, err
		}
		return authority.Serve(names).Certificate, nil
	}
	own, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	e.pin = join.SystemRoots
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return nil, err
	}
	if own.Leaf.VerifyHostname(name) != nil && len(own.Leaf.DNSNames) > 0 {
		e.url = "https://" + net.JoinHostPort(own.Leaf.DNSNames[0], port)
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own, nil }, nil
}

// advertised is the URL under which other servers of the installation reach this one.
func (e *endpoint) advertised(cfg Config) (string, error) {
	if cfg.Advertise != "" {
		return cfg.Advertise, nil
	}
	tcp, ok := e.listener.Addr().(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() || len(cfg.EtcdEndpoints) == 0 || !strings.HasSuffix(e.url, "://"+reachable(tcp)) {
		return e.url, nil
	}
	// Who listens everywhere is reached at the address by which it reaches what the servers share.
	_, etcd, found := strings.Cut(cfg.EtcdEndpoints[0], "://")
	if !found {
		etcd = cfg.EtcdEndpoints[0]
	}
	conn, err := net.Dial("udp", strings.TrimSuffix(etcd, "/")) // which sends nothing
	if err != nil {
		return "", fmt.Errorf("find the address that other servers reach this one at (or say it with --advertise): %w", err)
	}
	defer conn.Close()
	scheme, _, _ := strings.Cut(e.url, "://")
	return scheme + "://" + net.JoinHostPort(conn.LocalAddr().(*net.UDPAddr).IP.String(), fmt.Sprint(tcp.Port)), nil
}

// servingNames are those by which a listener can be reached.
func servingNames(addr net.Addr, cfg Config) ([]string, error) {
	names := append([]string{"localhost", "127.0.0.1", "::1", hostname()}, cfg.TLS.Names...)
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil && host != "" {
		names = append(names, host)
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsUnspecified() {
		names = append(names, tcp.IP.String())
	} else {
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return nil, fmt.Errorf("the machine's addresses: %w", err)
		}
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok {
				names = append(names, ip.IP.String())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// ownClient reaches a listener of this process, by whatever name, and takes the certificate that is served for its proof: an owner's
// may be for other names than loopback's.
func ownClient(addr string, get certificates) *http.Client {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	verify := func(s tls.ConnectionState) error {
		now, err := get(nil)
		if err != nil {
			return err
		}
		if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, now.Certificate[0]) {
			return errors.New("another process answers at our own address")
		}
		return nil
	}
	// Verified by VerifyConnection, more strictly than by a chain.
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: verify}
	return &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: config, MaxIdleConnsPerHost: 8}}
}
