package join

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Path is where the control plane takes Requests, by POST.
const Path = "/_roadstead/join"

// MaxBody is the size of the longest request and answer, in bytes.
const MaxBody = 16 << 10

// Request asks for an access key.
type Request struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
	// Nonce is the agent's: the same one gets the same key again, for a while.
	Nonce string `json:"nonce"`
	// Before is the id of the key that the agent had, if any, and Proof shows that it has its secret: what that key has registered
	// becomes the new one's, so that the machine stays who it is.
	Before string `json:"before,omitempty"`
	Proof  string `json:"proof,omitempty"`
}

// Proof shows who knows its nonce's exchange that an agent has the secret of the key that it had before.
func Proof(secret, tokenID, nonce string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("roadstead join\x00" + tokenID + "\x00" + nonce))
	return encode(h.Sum(nil))
}

// Answer is an agent's own key.
type Answer struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	Region          string `json:"region"`
}

// refusal is what is answered in place of an Answer.
type refusal struct {
	Error string `json:"error"`
}

// ErrRefused is wrapped by errors after which the same token comes to the same end.
var ErrRefused = errors.New("the server refuses the join token")

// Joined is what an agent keeps.
type Joined struct {
	Answer
	// CA is the certificate, in PEM, that the server's are signed with; empty for the machine's own roots, or a plain connection.
	CA []byte `json:"ca,omitempty"`
}

// Ask is what an agent joins with.
type Ask struct {
	// Server is the endpoint's URL.
	Server string
	Token  Token
	Nonce  string
	// Before is the key that the agent had, the zero value for none.
	Before Answer
}

// Exchange gives a token away for a key. Plain HTTP is for loopback alone: the secret would be seen.
func Exchange(ctx context.Context, ask Ask) (*Joined, error) {
	t := ask.Token
	u, err := url.Parse(ask.Server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the address of the server is none: say https://HOST:PORT")
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("http://%s is not encrypted, so the join token would be seen by others: say https://%s", u.Host, u.Host)
	}
	var ca *x509.Certificate
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second}
	if t.Pin != SystemRoots {
		transport.TLSClientConfig = &tls.Config{
			MinVersion: tls.VersionTLS12,
			// Verified by VerifyConnection: the pin is known, and the certificate that it stands for is not yet.
			InsecureSkipVerify: true,
			VerifyConnection: func(s tls.ConnectionState) error {
				found, err := pinned(s, t.Pin, u.Hostname())
				ca = found
				return err
			},
		}
	}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r := Request{ID: t.ID, Secret: t.Secret, Nonce: ask.Nonce}
	if ask.Before.AccessKeyID != "" {
		r.Before, r.Proof = ask.Before.AccessKeyID, Proof(ask.Before.SecretAccessKey, t.ID, ask.Nonce)
	}
	answer, err := post(ctx, client, u.JoinPath(Path).String(), r)
	if err != nil {
		return nil, err
	}
	j := &Joined{Answer: *answer}
	if ca != nil {
		j.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	}
	return j, nil
}

// pinned gives the CA of a connection if it is the one that a pin stands for, and the server's certificate is signed with it for
// the host that was asked for. The connection's own ServerName is empty for an address.
func pinned(s tls.ConnectionState, pin, host string) (*x509.Certificate, error) {
	want, err := base64.RawURLEncoding.DecodeString(pin)
	if err != nil {
		return nil, errToken
	}
	for _, c := range s.PeerCertificates {
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		if subtle.ConstantTimeCompare(sum[:], want) != 1 {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(c)
		if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			return nil, fmt.Errorf("the server's certificate: %w (a name or address that it lacks is added with the server's --tls-name; a time that does not fit is for this machine's clock)", err)
		}
		return c, nil
	}
	return nil, errors.New("the server is not the one that made the join token: its certificate authority is another, so either the address is wrong or somebody is in between")
}

func post(ctx context.Context, client *http.Client, to string, r Request) (*Answer, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	if err != nil {
		return nil, fmt.Errorf("join: read the answer: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		var a Answer
		if err := json.Unmarshal(body, &a); err != nil || a.AccessKeyID == "" || a.SecretAccessKey == "" || a.Region == "" {
			return nil, errors.New("join: the server's answer has no access key")
		}
		return &a, nil
	}
	var why refusal
	if json.Unmarshal(body, &why) != nil || why.Error == "" {
		why.Error = resp.Status
	}
	if resp.StatusCode == http.StatusForbidden {
		return nil, fmt.Errorf("%w: %s", ErrRefused, why.Error)
	}
	return nil, fmt.Errorf("join: %s", strings.ToValidUTF8(why.Error, "?"))
}

// Client makes HTTP requests to a server whose certificates are signed with a CA given in PEM; none are the machine's own roots.
func Client(ca []byte) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("the server's CA is no certificate in PEM")
		}
	}
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
	}}, nil
}
