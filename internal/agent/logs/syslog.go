package logs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// syslog sends each line as a message to a syslog server.
//
// https://docs.docker.com/engine/logging/drivers/syslog/, RFC 3164, RFC 5424, RFC 5425
type syslog struct {
	link link
	// local are the sockets to try when no address is given.
	local    []string
	facility int
	format   string
	tag      string
	host     string
	dropped  func(bytes int, err error)
	buf      []byte
}

var _ protocol = (*syslog)(nil)

const (
	syslogTLS = "tcp+tls"
	// syslogMax is the longest line of a message: with its header it fits a datagram.
	syslogMax = 32 << 10
)

// facilities are in the order of their numbers.
var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

func newSyslog(src Source, host string, dropped func(int, error)) (*syslog, error) {
	opts := src.Options
	s := &syslog{host: host, dropped: dropped, format: opts["syslog-format"], link: link{timeout: linkTimeout}}
	var err error
	if s.link.network, s.link.address, err = syslogAddress(opts["syslog-address"]); err != nil {
		return nil, err
	}
	if s.link.network == "" {
		s.local = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}
	}
	if s.facility, err = syslogFacility(opts["syslog-facility"]); err != nil {
		return nil, err
	}
	switch s.format {
	case "", "rfc3164", "rfc5424", "rfc5424micro":
	default:
		return nil, errors.New("invalid syslog format")
	}
	if s.link.network == syslogTLS {
		s.link.network = "tcp"
		if s.link.tls, err = syslogTLSConfig(opts); err != nil {
			return nil, err
		}
	}
	s.tag, err = src.Info.tag(opts)
	return s, err
}

// syslogAddress reads proto://address; empty is the machine's own socket.
func syslogAddress(address string) (network, at string, err error) {
	if address == "" {
		return "", "", nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", "", err
	}
	switch u.Scheme {
	case "unix", "unixgram":
		if _, err := os.Stat(u.Path); err != nil {
			return "", "", err
		}
		return u.Scheme, u.Path, nil
	case "udp", "tcp", syslogTLS:
		host := u.Host
		if u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), "514")
		}
		return u.Scheme, host, nil
	}
	return "", "", fmt.Errorf("unsupported scheme: '%s'", u.Scheme)
}

func syslogFacility(s string) (int, error) {
	if s == "" {
		s = "daemon"
	}
	if i := slices.Index(facilities, s); i >= 0 {
		return i, nil
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < len(facilities) {
		return n, nil
	}
	return 0, errors.New("invalid syslog facility")
}

func syslogTLSConfig(opts map[string]string) (*tls.Config, error) {
	// As in Docker, the option's presence is what counts.
	_, skip := opts["syslog-tls-skip-verify"]
	cfg := &tls.Config{InsecureSkipVerify: skip, MinVersion: tls.VersionTLS12}
	if path := opts["syslog-tls-ca-cert"]; path != "" {
		var err error
		if cfg.RootCAs, err = certificates(path); err != nil {
			return nil, err
		}
	}
	cert, key := opts["syslog-tls-cert"], opts["syslog-tls-key"]
	if cert == "" && key == "" {
		return cfg, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("could not load X509 key pair: %w", err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}

// certificates reads a file of CA certificates on the node.
func certificates(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("could not read CA certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", path)
	}
	return pool, nil
}

func (s *syslog) open(ctx context.Context) error {
	return s.with(ctx, nil)
}

func (s *syslog) shape() shape { return shape{max: syslogMax, empty: true} }

// with is the link's, to the first of the machine's own sockets that answers if there is no address.
func (s *syslog) with(ctx context.Context, f func() error) error {
	if s.local == nil || s.link.conn != nil {
		return s.link.with(ctx, f)
	}
	for _, path := range s.local {
		s.link.network, s.link.address = "unix", path
		if err := s.link.with(ctx, nil); err == nil {
			return s.link.with(ctx, f)
		}
	}
	//lint:ignore ST1005 these are Docker's own words
	return errors.New("Unix syslog delivery error")
}

func (s *syslog) close() { s.link.close() }

func (s *syslog) deliver(ctx context.Context, events []event) (int, error) {
	sent := 0
	err := s.with(ctx, func() (err error) {
		if s.link.datagrams() {
			sent, err = s.datagrams(events)
			return err
		}
		if err = s.stream(ctx, events); err == nil {
			sent = len(events)
		}
		return err
	})
	return sent, err
}

// datagrams sends events one by one and tells how many it sent.
func (s *syslog) datagrams(events []event) (int, error) {
	for i := range events {
		s.buf = s.appendMessage(s.buf[:0], &events[i])
		_, err := s.link.conn.Write(s.buf)
		switch {
		case errors.Is(err, unix.EMSGSIZE):
			s.dropped(len(s.buf), err)
		case err != nil:
			return i, err
		}
	}
	return len(events), nil
}

// stream sends events together: only when all are settled have they arrived.
func (s *syslog) stream(ctx context.Context, events []event) error {
	s.buf = s.buf[:0]
	for i := range events {
		s.buf = s.appendMessage(s.buf, &events[i])
	}
	return s.link.write(ctx, s.buf)
}

// appendMessage appends one message as Docker's driver writes it.
func (s *syslog) appendMessage(b []byte, e *event) []byte {
	priority, pid, at := s.facility<<3|e.severity(), os.Getpid(), e.time()
	var text string
	switch s.format {
	case "rfc3164":
		text = fmt.Sprintf("<%d>%s %s %s[%d]: %s", priority, at.Local().Format(time.Stamp), s.host, s.tag, pid, e.Text)
	case "rfc5424", "rfc5424micro":
		layout := time.RFC3339
		if s.format == "rfc5424micro" {
			layout = "2006-01-02T15:04:05.000000Z07:00"
		}
		text = fmt.Sprintf("<%d>1 %s %s %s %d %s - %s", priority, at.Local().Format(layout), s.host, s.tag, pid, s.tag, e.Text)
	default:
		text = fmt.Sprintf("<%d>%s %s[%d]: %s", priority, at.Local().Format(time.Stamp), s.tag, pid, e.Text)
	}
	if s.link.tls != nil && strings.HasPrefix(s.format, "rfc5424") { // octet counting
		b = append(strconv.AppendInt(b, int64(len(text)+1), 10), ' ')
	}
	return append(append(b, text...), '\n')
}
