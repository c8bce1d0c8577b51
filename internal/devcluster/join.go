package devcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"roadstead.dev/roadstead/internal/admission"
	"roadstead.dev/roadstead/internal/join"
	"roadstead.dev/roadstead/internal/keyring"
)

// membership is what an agent that joins with a token keeps of it, in node/join.json (mode 0600).
type membership struct {
	Server string `json:"server"`
	// TokenID tells the token that was used, or that is being used, from another; Nonce is ours in the exchange.
	TokenID string      `json:"tokenId"`
	Nonce   string      `json:"nonce"`
	Joined  join.Joined `json:"joined"`
}

func (d DataDir) membership() string { return d.path("node/join.json") }

// joinServer completes the configuration with what the agent was given when it joined, or joins now.
func joinServer(ctx context.Context, cfg *AgentConfig, dir DataDir) error {
	var m membership
	b, err := os.ReadFile(dir.membership())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("%s is damaged: remove it, and join with a new token: %w", dir.membership(), err)
		}
	}
	if cfg.Token != "" {
		if err := exchange(ctx, cfg, dir, &m); err != nil {
			return err
		}
	}
	if m.Joined.AccessKeyID == "" {
		if cfg.Key.AccessKeyID == "" || cfg.Key.SecretAccessKey == "" {
			return errors.New("this machine has not joined: give --join what `roadstead token create` has printed on the server, " +
				"or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with a key that `roadstead agent-key` has made")
		}
		if cfg.Server == "" {
			cfg.Server = "http://127.0.0.1:8620"
		}
		return nil
	}
	cfg.Key = keyring.Pair{AccessKeyID: m.Joined.AccessKeyID, SecretAccessKey: m.Joined.SecretAccessKey}
	cfg.Region = m.Joined.Region
	if cfg.Server == "" {
		cfg.Server = m.Server
	}
	if len(cfg.CA) == 0 {
		cfg.CA = m.Joined.CA
	}
	return nil
}

// exchange joins with a token, unless the machine has joined with it already. Who we are in the exchange is kept before it, so that
// an answer that is lost can be asked for again.
func exchange(ctx context.Context, cfg *AgentConfig, dir DataDir, m *membership) error {
	token, err := join.Parse(cfg.Token)
	if err != nil {
		return err
	}
	if m.TokenID == token.ID && m.Joined.AccessKeyID != "" {
		return nil
	}
	if cfg.Server == "" {
		return errors.New("say where the server is, beside its join token: --server https://HOST:PORT")
	}
	next := membership{Server: cfg.Server, TokenID: token.ID, Nonce: join.Nonce()}
	pending := dir.membership() + ".pending"
	if b, err := os.ReadFile(pending); err == nil {
		var old membership
		if json.Unmarshal(b, &old) == nil && old.TokenID == token.ID && old.Nonce != "" {
			next.Nonce = old.Nonce
		}
	}
	if err := next.save(pending); err != nil {
		return err
	}
	// Once more after a fault of the way there: the nonce makes it the same exchange.
	var joined *join.Joined
	for range 3 {
		if joined, err = join.Exchange(ctx, join.Ask{Server: cfg.Server, Token: token, Nonce: next.Nonce, Before: m.Joined.Answer}); err == nil || errors.Is(err, join.ErrRefused) || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	if errors.Is(err, join.ErrRefused) {
		return fmt.Errorf("%w; make another one on the server with `roadstead token create`", err)
	}
	if err != nil {
		return err
	}
	next.Joined = *joined
	if err := next.save(dir.membership()); err != nil {
		return err
	}
	*m = next
	return os.Remove(pending)
}

// save replaces a file, for good when it returns.
func (m *membership) save(path string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
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
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// office serves the installation's owner at a socket in the data directory, which only he can open.
func (p *plane) office(dir DataDir) part {
	return part{"owner's requests", func(ctx context.Context) error {
		l, err := listenUnix(dir.Office())
		if err != nil {
			return err
		}
		return serveUntil(ctx, &http.Server{Handler: p.desk.Office(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: newErrorLog(p.cfg.Log)}, l)
	}}
}

// Office asks the control plane that runs in a data directory.
type Office struct {
	path   string
	client *http.Client
}

// NewOffice makes an Office for a data directory.
func NewOffice(dataDir string) *Office {
	path := DataDir(dataDir).Office()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Office{path: path, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// CreateToken makes a join token.
func (o *Office) CreateToken(ctx context.Context, ttl time.Duration, uses int) (t admission.TokenInfo, err error) {
	return t, o.do(ctx, http.MethodPost, "/tokens", admission.CreateRequest{TTL: int64(ttl / time.Second), Uses: uses}, &t)
}

// Tokens lists join tokens.
func (o *Office) Tokens(ctx context.Context) (list []admission.TokenInfo, err error) {
	return list, o.do(ctx, http.MethodGet, "/tokens", nil, &list)
}

// Keys lists agents' keys.
func (o *Office) Keys(ctx context.Context) (list []admission.KeyInfo, err error) {
	return list, o.do(ctx, http.MethodGet, "/keys", nil, &list)
}

// RevokeToken ends a join token, RevokeKey an agent's key.
func (o *Office) RevokeToken(ctx context.Context, id string) error {
	return o.do(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(id), nil, &struct{}{})
}

// RevokeKey withdraws an agent's key.
func (o *Office) RevokeKey(ctx context.Context, id string) error {
	return o.do(ctx, http.MethodDelete, "/keys/"+url.PathEscape(id), nil, &struct{}{})
}

func (o *Office) do(ctx context.Context, method, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://office"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return fmt.Errorf("no control plane answers at %s (is it running, and is this its --data-dir?): %w", o.path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return json.NewDecoder(resp.Body).Decode(out)
	}
	var why struct{ Error string }
	text, err := io.ReadAll(io.LimitReader(resp.Body, join.MaxBody))
	if err != nil || json.Unmarshal(text, &why) != nil || why.Error == "" {
		return fmt.Errorf("the control plane answers %s", resp.Status)
	}
	return errors.New(why.Error)
}
