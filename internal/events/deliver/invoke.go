package deliver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/state"
)

// maxAnswer is how much of an answer is read before the connection is given up, in bytes.
const maxAnswer = 64 << 10

// busyError says when a target wants to be called again.
type busyError struct {
	status int
	after  time.Duration
}

func (e *busyError) Error() string { return fmt.Sprintf("the target answered %d", e.status) }

// newClient makes a client that does not follow redirects, which would go around what an API destination says, and calls no
// link-local address, where clouds keep credentials of the machine.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if a := at.Addr().Unmap(); a.IsLinkLocalUnicast() || a.IsMulticast() {
			return &Permanent{fmt.Errorf("the address %s is not called", a)}
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: wide, MaxIdleConns: maxFlying, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: maxAnswer, TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// invoke calls an API destination.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
func (k *courier) invoke(ctx context.Context, view *state.View, d *state.EventDestination, target *state.EventTarget, text string) error {
	c := view.EventConnections.Get(d.Connection)
	if c == nil {
		return &Permanent{fmt.Errorf("there is no connection %q", d.Connection)}
	}
	with, err := events.Open(k.Keeper, c)
	if err != nil {
		return &Permanent{err}
	}
	r, err := request(ctx, d, c, with, target.HTTP, text)
	if err != nil {
		return &Permanent{err}
	}
	answer, err := k.Client.Do(r)
	if err != nil {
		// The URL in it may have secret parameters.
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return fmt.Errorf("call the API destination %s: %w", d.Name, err)
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // So that the connection can be used again; what it says plays no part.
	return judge(answer)
}

// judge tells success from what is tried again and what is not. Redirects are not followed.
func judge(answer *http.Response) error {
	switch s := answer.StatusCode; {
	case s/100 == 2:
		return nil
	case s == http.StatusUnauthorized, s == http.StatusProxyAuthRequired, s == http.StatusConflict, s == http.StatusTooManyRequests, s >= 500:
		e := &busyError{status: s}
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.after = time.Duration(min(seconds, 3600)) * time.Second
		}
		return e
	default:
		return &Permanent{fmt.Errorf("the target answered %d", s)}
	}
}

// request makes the request of an event. Its errors name no values.
func request(ctx context.Context, d *state.EventDestination, c *state.EventConnection, with events.Credentials, more *state.EventHTTP, text string) (*http.Request, error) {
	to, err := endpoint(d, more)
	if err != nil {
		return nil, err
	}
	query := to.Query()
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {"Amazon/EventBridge/ApiDestinations"}, "Range": {"bytes=0-1048575"}}
	body := map[string]string{}
	if more != nil {
		for key, v := range more.Query {
			query.Set(key, v)
		}
		for key, v := range more.Headers {
			header.Set(key, v)
		}
	}
	// What the connection says goes before what the target says.
	for i, p := range c.Parameters {
		v := p.Value
		if p.Secret {
			v = with.Values[i]
		}
		switch p.In {
		case state.ParameterHeader:
			header.Set(p.Key, v)
		case state.ParameterQuery:
			query.Set(p.Key, v)
		case state.ParameterBody:
			body[p.Key] = v
		}
	}
	if c.Type == state.ConnectionBasic {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.Login+":"+with.Value)))
	} else {
		header.Set(c.Login, with.Value)
	}
	if text, err = merged(text, body); err != nil {
		return nil, err
	}
	to.RawQuery = query.Encode()
	var content io.Reader = strings.NewReader(text)
	if d.Method == http.MethodGet || d.Method == http.MethodHead || d.Method == http.MethodOptions {
		content = nil
	}
	r, err := http.NewRequestWithContext(ctx, d.Method, to.String(), content)
	if err != nil {
		return nil, errors.New("the API destination's endpoint makes no request")
	}
	r.Header = header
	return r, nil
}

// endpoint puts the target's path parameters in the places of the stars.
func endpoint(d *state.EventDestination, more *state.EventHTTP) (*url.URL, error) {
	text := d.Endpoint
	if more != nil {
		for _, v := range more.Path {
			text = strings.Replace(text, "*", url.PathEscape(v), 1)
		}
	}
	to, err := url.Parse(text)
	if err != nil || to.Host == "" {
		return nil, errors.New("the API destination's endpoint is no URL")
	}
	return to, nil
}

// merged adds members to a JSON object.
func merged(text string, more map[string]string) (string, error) {
	if len(more) == 0 {
		return text, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
		return "", errors.New("the connection has body parameters, and the input is no JSON object")
	}
	for key, v := range more {
		b, err := json.Marshal(v)
		if err != nil {
			return "", fmt.Errorf("write a body parameter: %w", err)
		}
		object[key] = b
	}
	b, err := json.Marshal(object)
	return string(b), err
}
