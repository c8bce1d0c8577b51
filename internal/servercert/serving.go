package servercert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// servingLife is that of a serving certificate; a third of it before the end there is a new one.
	servingLife  = 90 * 24 * time.Hour
	servingSpare = servingLife / 3
)

// Serving gives the endpoint's certificate, a new one in good time before the last one ends. It may be used by many goroutines.
type Serving struct {
	authority *Authority
	names     []string

	mu      sync.Mutex
	current *tls.Certificate
}

// Serve makes serving certificates for names and addresses.
func (a *Authority) Serve(names []string) *Serving { return &Serving{authority: a, names: names} }

// Certificate is a tls.Config's GetCertificate.
func (s *Serving) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.current != nil && now.Before(s.current.Leaf.NotAfter.Add(-servingSpare)) {
		return s.current, nil
	}
	next, err := s.authority.issue(s.names, now)
	if err != nil {
		return nil, fmt.Errorf("make a serving certificate: %w", err)
	}
	s.current = next
	return next, nil
}

// issue makes a certificate with a key of its own. The CA's goes with it, so that who knows no more than its hash finds it.
func (a *Authority) issue(names []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Roadstead"}, CommonName: "Roadstead control plane"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(servingLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
