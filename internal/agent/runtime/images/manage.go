package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// Manager is what commands do with images: a store that is open in this process, or one in a running agent.
type Manager interface {
	// ImportAs imports an archive; name may be empty.
	ImportAs(ctx context.Context, archive io.Reader, name string) ([]*runtime.Image, error)
	List(ctx context.Context) ([]*runtime.Image, error)
	Remove(ctx context.Context, name string) error
	Close() error
}

var (
	_ Manager = (*Store)(nil)
	_ Manager = (*Client)(nil)
)

// Manage gives the store of the agent that listens on the socket, or opens the store itself if none does.
func Manage(ctx context.Context, socket string, cfg Config) (Manager, error) {
	c, err := Dial(ctx, socket)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, err
	}
	s, err := Open(ctx, cfg)
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w, which does not answer at %s", err, socket)
	}
	if err != nil {
		return nil, err // not s, which would be a Manager that isn't nil
	}
	return s, nil
}

// Client is an agent's images, over its socket. It is safe for concurrent use.
type Client struct {
	http   *http.Client
	socket string
}

// Dial connects to an agent's socket. The error is fs.ErrNotExist or ECONNREFUSED if no agent runs.
func Dial(ctx context.Context, socket string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, fmt.Errorf("reach the agent: %w", err)
	}
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("reach the agent: %w", err)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial}}, socket}, nil
}

// Close ends the connections to the agent.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// ImportAs has the agent import an archive. It is not read by the agent's process but sent to it.
func (c *Client) ImportAs(ctx context.Context, archive io.Reader, name string) ([]*runtime.Image, error) {
	return c.do(ctx, http.MethodPost, "import?"+url.Values{"name": {name}}.Encode(), archive)
}

// List gives the agent's images. Their layers are not told.
func (c *Client) List(ctx context.Context) ([]*runtime.Image, error) {
	return c.do(ctx, http.MethodGet, "", nil)
}

// Remove has the agent remove an image.
func (c *Client) Remove(ctx context.Context, name string) error {
	_, err := c.do(ctx, http.MethodDelete, url.PathEscape(name), nil)
	return err
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) ([]*runtime.Image, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix("http://agent/images/"+path, "/"), body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the agent at %s: %w", c.socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, failed(resp)
	}
	var list []Listed
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("read the agent's answer: %w", err)
	}
	out := make([]*runtime.Image, len(list))
	for i, l := range list {
		out[i] = &runtime.Image{
			Name: l.Name, Digest: l.Digest, Size: l.SizeBytes, Created: l.Created,
			Config: runtime.ImageConfig{OS: l.OS, Architecture: l.Architecture},
		}
	}
	return out, nil
}

// remoteError is an agent's answer, with the kind of error that it was there.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

func failed(resp *http.Response) error {
	var f failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&f); err != nil || f.Error == "" {
		f.Error = "the agent answered " + resp.Status
	}
	kinds := map[int]error{
		http.StatusNotFound: runtime.ErrNotFound, http.StatusBadRequest: ErrName, http.StatusConflict: ErrInUse, http.StatusUnprocessableEntity: ErrArchive,
		http.StatusServiceUnavailable: errClosed, http.StatusInsufficientStorage: syscall.ENOSPC,
	}
	return &remoteError{f.Error, kinds[resp.StatusCode]}
}
