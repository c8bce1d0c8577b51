package servercert

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestOpen: the CA is made once, read again, and its key is nobody else's to read.
func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir)
	if err != nil || !bytes.Equal(a.PEM(), b.PEM()) {
		t.Fatalf("another CA after a restart: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "ca-key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode: %v, %v", info.Mode(), err)
	}
	if pem, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err != nil || bytes.Contains(pem, []byte("PRIVATE")) || !bytes.Equal(pem, a.PEM()) {
		t.Errorf("ca.pem: %v\n%s", err, pem)
	}
}

// TestDamaged: what is left of a CA is not replaced behind its agents' backs.
func TestDamaged(t *testing.T) {
	other, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.Index(whole, []byte("-----BEGIN CERTIFICATE"))
	otherCut := bytes.Index(other, []byte("-----BEGIN CERTIFICATE"))
	for name, b := range map[string][]byte{
		"empty": nil, "garbage": []byte("hello"), "no key": whole[cut:], "no certificate": whole[:cut], "another's key": append(bytes.Clone(other[:otherCut]), whole[cut:]...),
		"cut": whole[:len(whole)-40],
	} {
		path := filepath.Join(t.TempDir(), "ca-key.pem")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(filepath.Dir(path)); err == nil {
			t.Errorf("%s: taken", name)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
}

// TestRenewal: over a year no client ever sees a certificate with less than a month to live, and all of them are for the names given.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := newAuthority(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		a, err := parse(b)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(a.Certificate())
		s := a.Serve([]string{"localhost", "10.1.2.3", "::1"})
		seen := map[string]bool{}
		for range 365 {
			c, err := s.Certificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			seen[c.Leaf.SerialNumber.String()] = true
			for _, name := range []string{"localhost", "10.1.2.3", "::1"} {
				// A client whose clock is a little behind, and one that keeps the connection for weeks.
				for _, at := range []time.Time{time.Now().Add(-5 * time.Minute), time.Now().Add(29 * 24 * time.Hour)} {
					if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: at}); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(24 * time.Hour)
		}
		if len(seen) < 6 || len(seen) > 8 {
			t.Errorf("%d certificates in a year", len(seen))
		}
	})
}
