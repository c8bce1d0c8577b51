// Package servercert makes the certificates that the control plane's endpoint is known by: an authority (CA) of the
// installation's own, kept in its data directory, and serving certificates, which live in memory and are renewed in good time.
package servercert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	// authorityLife is that of the CA: agents that joined trust it for as long.
	authorityLife = 20 * 365 * 24 * time.Hour
	// skew is how far behind a client's clock may be for a certificate that was just made.
	skew = time.Hour
)

// Authority is the installation's CA: ECDSA on P-256, which every client knows. It may be used by many goroutines.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Open reads the CA from a directory, or makes it there: ca-key.pem (mode 0600) has the key and the certificate, ca.pem the
// certificate alone, for clients.
func Open(dir string) (*Authority, error) {
	path := filepath.Join(dir, "ca-key.pem")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = newAuthority(time.Now()); err == nil {
			err = writeNew(path, b)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate authority: %w", err)
	}
	a, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority: %s is damaged (restore it from a backup, or remove it for a new one, which no agent that joined knows): %w", path, err)
	}
	if err := writeNew(filepath.Join(dir, "ca.pem"), a.PEM()); err != nil {
		return nil, fmt.Errorf("the certificate authority: %w", err)
	}
	return a, nil
}

func newAuthority(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Roadstead"}, CommonName: "Roadstead CA " + rand.Text()[:8]},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(authorityLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(encode("PRIVATE KEY", secret), encode("CERTIFICATE", der)...), nil
}

func parse(b []byte) (*Authority, error) {
	a := &Authority{}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		var err error
		switch block.Type {
		case "CERTIFICATE":
			a.cert, err = x509.ParseCertificate(block.Bytes)
		case "PRIVATE KEY":
			var key any
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
			a.key, _ = key.(*ecdsa.PrivateKey)
		}
		if err != nil {
			return nil, err
		}
	}
	if a.cert == nil || a.key == nil || !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, errors.New("it has no certificate, or no key that fits it")
	}
	return a, nil
}

// Certificate is the CA's own. It must not be modified.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// PEM is the CA's certificate as a file has it.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.cert.Raw) }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// writeNew replaces a file so that a crash leaves the old one or the new one, whole.
func writeNew(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
