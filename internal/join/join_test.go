package join

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority is a CA of the test's.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func sign(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(time.Hour)
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, a.key = sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	return a
}

// serve is a server with a leaf of the authority's for a host; sent are the certificates that come behind the leaf. It counts the
// requests that it gets.
func (a *authority) serve(host string, sent ...*x509.Certificate) (string, *atomic.Int32) {
	a.t.Helper()
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	leaf, key := sign(a.t, template, a.cert, a.key)
	chain := [][]byte{leaf.Raw}
	for _, c := range sent {
		chain = append(chain, c.Raw)
	}
	var got atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Add(1)
		json.NewEncoder(w).Encode(Answer{AccessKeyID: "AKIA", SecretAccessKey: "s", Region: "r"})
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}}}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	a.t.Cleanup(srv.Close)
	return srv.URL, &got
}

// TestPin: the secret goes to a server whose certificate the pinned CA has signed for the host that was asked for, and to no other.
func TestPin(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	token := NewToken(Pin(ours.cert))
	for name, c := range map[string]struct {
		by   *authority
		host string
		sent []*x509.Certificate
		want string
	}{
		"ours":                      {ours, "127.0.0.1", []*x509.Certificate{ours.cert}, ""},
		"ours, after another's":     {ours, "127.0.0.1", []*x509.Certificate{others.cert, ours.cert}, ""},
		"another CA":                {others, "127.0.0.1", []*x509.Certificate{others.cert}, "its certificate authority is another"},
		"another CA, ours shown":    {others, "127.0.0.1", []*x509.Certificate{ours.cert}, "the server's certificate"},
		"another CA, both shown":    {others, "127.0.0.1", []*x509.Certificate{others.cert, ours.cert}, "the server's certificate"},
		"ours, the CA not shown":    {ours, "127.0.0.1", nil, "its certificate authority is another"},
		"ours, for another address": {ours, "10.1.2.3", []*x509.Certificate{ours.cert}, "--tls-name"},
		"ours, for a name":          {ours, "localhost", []*x509.Certificate{ours.cert}, "--tls-name"},
	} {
		url, got := c.by.serve(c.host, c.sent...)
		j, err := Exchange(t.Context(), Ask{Server: url, Token: token, Nonce: Nonce()})
		if c.want == "" {
			if err != nil || j.AccessKeyID != "AKIA" || got.Load() != 1 {
				t.Errorf("%s: %v", name, err)
				continue
			}
			// What is kept is good for all that follows.
			client, err := Client(j.CA)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Get(url)
			if err != nil {
				t.Errorf("%s: with the CA that is kept: %v", name, err)
				continue
			}
			resp.Body.Close()
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || got.Load() != 0 {
			t.Errorf("%s: %v after %d requests, want %q", name, err, got.Load(), c.want)
		}
		if err != nil && strings.Contains(err.Error(), token.Secret) {
			t.Errorf("%s: the error has the secret", name)
		}
	}
}

// TestSystemRoots: a token without a pin is for a server that the machine knows already.
func TestSystemRoots(t *testing.T) {
	url, got := newAuthority(t).serve("127.0.0.1")
	if _, err := Exchange(t.Context(), Ask{Server: url, Token: NewToken(SystemRoots), Nonce: Nonce()}); err == nil || got.Load() != 0 {
		t.Errorf("a server that nobody knows: %v", err)
	}
}

// TestPlain: without encryption a token goes over loopback alone.
func TestPlain(t *testing.T) {
	for _, server := range []string{"http://10.1.2.3:8620", "http://example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "127.0.0.1:8620", "", "https://", "http://[::2]:1", "http://0.0.0.0:1"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whoever gets as far as the network is told so
		if _, err := Exchange(ctx, Ask{Server: server, Token: NewToken(SystemRoots), Nonce: Nonce()}); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", server, err)
		}
	}
}

// TestAnswers: whatever a server answers, there is a key or an error.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("a", 2*MaxBody)
	for _, c := range []struct {
		status  int
		body    string
		refused bool
	}{
		{200, "", false}, {200, "{}", false}, {200, "[]", false}, {200, `{"accessKeyId":"` + long + `"}`, false}, {403, `{"error":"used"}`, true},
		{403, "", true}, {404, "<html>", false}, {429, `{"error":"slow"}`, false}, {307, "", false}, {500, "\xff\xfe", false}, {503, `{"error":""}`, false},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != Path {
				t.Error("a redirection was followed")
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}))
		_, err := Exchange(t.Context(), Ask{Server: srv.URL, Token: NewToken(SystemRoots), Nonce: Nonce()})
		if err == nil || errors.Is(err, ErrRefused) != c.refused {
			t.Errorf("%d %.20q: %v", c.status, c.body, err)
		}
		srv.Close()
	}
}

// TestTokens: what is printed reads again, what is not one does not, and neither errors nor logs have a secret.
func TestTokens(t *testing.T) {
	token := NewToken(Pin(newAuthority(t).cert))
	text := token.Reveal()
	if got, err := Parse(" " + text + "\n"); err != nil || got != token {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range text {
		for _, bad := range []string{text[:i], text[i+1:], text[:i] + "." + text[i:], text[:i] + "=" + text[i:]} {
			if _, err := Parse(bad); err == nil {
				t.Fatalf("taken: %s", bad)
			} else if len(bad) > 20 && strings.Contains(err.Error(), bad[8:20]) {
				t.Fatalf("the error has what was given: %v", err)
			}
		}
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("token", "t", token)
	for _, said := range []string{log.String(), fmt.Sprint(token), fmt.Sprintf("%v %+v %#v %s", token, token, token, token)} {
		if strings.Contains(said, token.Secret) {
			t.Errorf("a secret in %s", said)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(NewToken(SystemRoots).Reveal())
	f.Add("rsjoin1...")
	f.Fuzz(func(t *testing.T, s string) {
		if token, err := Parse(s); err == nil && token.Reveal() != strings.TrimSpace(s) {
			t.Errorf("%q reads as %q", s, token.Reveal())
		}
	})
}
