package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
)

// emptyHash is the SHA-256 of nothing, the payload hash of a signed GET.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

var (
	// errUnknownInstance: the server has no such instance. errInactive: it was deregistered.
	errUnknownInstance = errors.New("the server does not know the instance")
	errInactive        = errors.New("the instance was deregistered")
)

// dial opens the websocket.
func (a *Agent) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	endpoint, err := a.pollEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	a.connected.Store(&connected{endpoint: endpoint, arn: a.identity.InstanceARN})
	req, err := a.wsRequest(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	return a.connect(ctx, req, acs.MaxFrame)
}

// refused is a server's answer that is no websocket.
type refused struct {
	status int
	error
}

// Unwrap gives the answer's meaning.
func (e *refused) Unwrap() error { return e.error }

// connect signs a websocket's GET and sends it. most is the largest message that is taken, in bytes. Its error is a *refused if the server
// answered.
func (a *Agent) connect(ctx context.Context, req *http.Request, most int64) (*websocket.Conn, error) {
	credentials, err := a.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: credentials: %w", err)
	}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, emptyHash, "ecs", a.cfg.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("connect: sign: %w", err)
	}
	conn, resp, err := websocket.Dial(ctx, req.URL.String(), &websocket.DialOptions{HTTPClient: a.cfg.HTTPClient, HTTPHeader: req.Header})
	if err != nil {
		why := refusalOf(resp, err)
		if resp != nil {
			why = &refused{resp.StatusCode, why}
		}
		return nil, why
	}
	conn.SetReadLimit(most)
	return conn, nil
}

// pollEndpoint asks where to connect; while the answer fails the last one is used.
func (a *Agent) pollEndpoint(ctx context.Context) (string, error) {
	out, err := a.api.DiscoverPollEndpoint(ctx, &ecs.DiscoverPollEndpointInput{
		Cluster: aws.String(a.cluster()), ContainerInstance: aws.String(a.identity.InstanceARN),
	})
	switch {
	case keyRefused(err):
		return "", fmt.Errorf("discover the endpoint: %w: %w", errKey, err)
	case err == nil && aws.ToString(out.Endpoint) != "":
		a.endpoint = *out.Endpoint
	case a.endpoint == "" && err != nil:
		return "", fmt.Errorf("discover the endpoint: %w", err)
	case a.endpoint == "":
		return "", fmt.Errorf("discover the endpoint: the server gave none")
	}
	return a.endpoint, nil
}

// wsRequest is the unsigned GET of a session.
func (a *Agent) wsRequest(ctx context.Context, endpoint string) (*http.Request, error) {
	return wsRequest(ctx, endpoint, "/ws", url.Values{
		"clusterArn": {a.cluster()}, "containerInstanceArn": {a.identity.InstanceARN},
		"agentVersion": {a.cfg.Version}, "agentHash": {a.cfg.Commit}, "dockerVersion": {"DockerVersion: " + a.cfg.RuntimeVersion},
		"seqNum": {"1"}, "protocolVersion": {"2"}, "sendCredentials": {"false"}, "roadstead": {"1"},
	})
}

// wsRequest is the unsigned GET of a websocket at an endpoint.
func wsRequest(ctx context.Context, endpoint, path string, query url.Values) (*http.Request, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("connect: endpoint: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("connect: endpoint %q is not an http or https address", endpoint)
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return req, nil
}

// refusalOf reads why the server did not take the websocket: a one-key object with an exception's name.
func refusalOf(resp *http.Response, cause error) error {
	if resp == nil || resp.Body == nil {
		return fmt.Errorf("connect: %w", cause)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return fmt.Errorf("connect: %w", cause)
	}
	var reason map[string]string
	if json.Unmarshal(body, &reason) != nil {
		return fmt.Errorf("connect: %w", cause)
	}
	for name, text := range reason {
		switch name {
		case "InactiveInstanceException":
			return fmt.Errorf("connect: %w: %s", errInactive, text)
		case "InvalidInstanceException":
			return fmt.Errorf("connect: %w: %s", errUnknownInstance, text)
		}
		return fmt.Errorf("connect: %s: %s", name, text)
	}
	return fmt.Errorf("connect: %w", cause)
}
