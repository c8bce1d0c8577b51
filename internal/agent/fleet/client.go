package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent"
)

// callTimeout bounds one call of the API.
const callTimeout = 2 * time.Minute

// Caller signs and makes calls of the ECS API. It does less than the SDK's client, so that a benchmark measures the server and
// not its client; it does not retry. Safe for concurrent use.
type Caller struct {
	URL         string
	Region      string
	Credentials aws.CredentialsProvider
	HTTP        *http.Client
}

// APIError is an answer that is an exception.
type APIError struct {
	Operation string
	Status    int
	Body      string
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%s: HTTP %d: %s", e.Operation, e.Status, e.Body)
}

// Call makes one call: in is the input as it is sent, and out, unless nil, takes the answer.
func (c *Caller) Call(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	answer, err := c.Do(ctx, operation, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s: read the answer: %w", operation, err)
	}
	return nil
}

// Do is Call with input and answer as they are on the wire.
func (c *Caller) Do(ctx context.Context, operation string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+operation)
	hash := sha256.Sum256(body)
	if err := c.sign(ctx, req, hex.EncodeToString(hash[:])); err != nil {
		return nil, err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &APIError{Operation: operation, Status: resp.StatusCode, Body: string(answer)}
	}
	return answer, nil
}

func (c *Caller) sign(ctx context.Context, req *http.Request, hash string) error {
	credentials, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, hash, "ecs", c.Region, time.Now()); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return nil
}

func (f *Fleet) caller() *Caller {
	return &Caller{URL: f.cfg.ServerURL, Region: f.cfg.Region, Credentials: f.cfg.Credentials, HTTP: f.api}
}

type attribute struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

type resource struct {
	Name           string   `json:"name"`
	Type           string   `json:"type"`
	IntegerValue   int32    `json:"integerValue,omitempty"`
	StringSetValue []string `json:"stringSetValue,omitempty"`
}

// register makes the node a container instance of the cluster, with the attributes that an agent has.
func (n *node) register(ctx context.Context) error {
	cfg := &n.fleet.cfg
	document, err := json.Marshal(map[string]string{
		"instanceId": fmt.Sprintf("i-%017x", n.index+1), "instanceType": "m5.xlarge", "availabilityZone": Zone(cfg.Region, n.index%cfg.Zones),
		"architecture": "x86_64", "region": cfg.Region,
	})
	if err != nil {
		return err
	}
	in := struct {
		Cluster                  string            `json:"cluster"`
		InstanceIdentityDocument string            `json:"instanceIdentityDocument"`
		TotalResources           []resource        `json:"totalResources"`
		VersionInfo              map[string]string `json:"versionInfo"`
		Attributes               []attribute       `json:"attributes"`
	}{
		Cluster: cfg.Cluster, InstanceIdentityDocument: string(document),
		TotalResources: []resource{
			{Name: "CPU", Type: "INTEGER", IntegerValue: cfg.CPU}, {Name: "MEMORY", Type: "INTEGER", IntegerValue: cfg.MemoryMiB},
			{Name: "PORTS", Type: "STRINGSET", StringSetValue: []string{"22", "2375", "2376", "51678", "51679"}}, {Name: "PORTS_UDP", Type: "STRINGSET", StringSetValue: []string{}},
		},
		VersionInfo: map[string]string{"agentVersion": "1.100.0", "agentHash": "simulated", "dockerVersion": "DockerVersion: 25.0.8"},
	}
	for _, a := range agent.SimulatedAttributes() {
		in.Attributes = append(in.Attributes, attribute{a.Name, a.Value})
	}
	var out struct {
		ContainerInstance struct {
			ContainerInstanceARN string `json:"containerInstanceArn"`
		} `json:"containerInstance"`
	}
	if err := n.fleet.caller().Call(ctx, "RegisterContainerInstance", in, &out); err != nil {
		return err
	}
	n.arn = out.ContainerInstance.ContainerInstanceARN
	return nil
}

// dial opens a session's websocket.
func (n *node) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cfg := &n.fleet.cfg
	target := strings.TrimSuffix(cfg.ServerURL, "/") + "/acs/ws?" + url.Values{
		"clusterArn": {cfg.Cluster}, "containerInstanceArn": {n.arn}, "agentVersion": {"1.100.0"}, "agentHash": {"simulated"},
		"dockerVersion": {"DockerVersion: 25.0.8"}, "seqNum": {strconv.Itoa(1)}, "protocolVersion": {"2"}, "sendCredentials": {"false"}, "roadstead": {"1"},
	}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	nothing := sha256.Sum256(nil)
	if err := n.fleet.caller().sign(ctx, req, hex.EncodeToString(nothing[:])); err != nil {
		return nil, err
	}
	conn, _, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPClient: n.fleet.sockets, HTTPHeader: req.Header})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(acs.MaxFrame)
	return conn, nil
}
