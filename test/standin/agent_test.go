// Package standin_test has a stand-in for Amazon's container agent: a scripted client that says on the wire what that agent
// says, signed as it signs, and whatever else a broken or hostile one might say. It runs no containers. Its recordings in
// testdata are of agent 1.105.1.
package standin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/keyring"
)

// patience bounds what is waited for; machines are slow at times.
const patience = time.Minute

// agent is a stand-in with a key of its own.
type agent struct {
	t        *testing.T
	endpoint string
	key      aws.Credentials
	cluster  string
	// instance is the ARN that it registered under.
	instance string
	// version is what it says of itself; "" is that of the recordings.
	version  string
	acs, tcs *socket
}

func newAgent(t *testing.T, endpoint string, key keyring.Pair) *agent {
	return &agent{t: t, endpoint: endpoint, key: aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}, cluster: "default"}
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// sign signs a request over a body as of now, with a key of whoever's.
func sign(t *testing.T, key aws.Credentials, req *http.Request, body []byte) {
	t.Helper()
	if err := v4.NewSigner().SignHTTP(t.Context(), key, req, hash(body), "ecs", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
}

// answer is that of a call: the exception's name, or "" and the members.
type answer struct {
	exception, text string
	members         map[string]any
}

// call calls an operation, with the JSON as it is.
func (a *agent) call(operation, body string) answer { return a.callAs(a.key, operation, body) }

func (a *agent) callAs(key aws.Credentials, operation, body string) answer {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.endpoint+"/", strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+operation)
	sign(a.t, key, req, []byte(body))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatalf("%s: %v", operation, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatalf("%s: %v", operation, err)
	}
	out := answer{}
	if err := json.Unmarshal(b, &out.members); err != nil {
		a.t.Fatalf("%s: %s, %q", operation, res.Status, b)
	}
	if res.StatusCode != http.StatusOK {
		name, _ := out.members["__type"].(string)
		out.exception = name[strings.LastIndex(name, "#")+1:]
		out.text, _ = out.members["message"].(string)
		if out.exception == "" {
			a.t.Errorf("%s: %s without an exception: %s", operation, res.Status, b)
		}
	}
	return out
}

// must calls an operation that may not be refused.
func (a *agent) must(operation, body string) map[string]any {
	a.t.Helper()
	out := a.call(operation, body)
	if out.exception != "" {
		a.t.Fatalf("%s of %.200s: %s: %s", operation, body, out.exception, out.text)
	}
	return out.members
}

// text gives a member by its path.
func text(members map[string]any, path ...string) string {
	for _, name := range path[:len(path)-1] {
		members, _ = members[name].(map[string]any)
	}
	s, _ := members[path[len(path)-1]].(string)
	return s
}

// socket is a websocket with its frames in order.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
	// signed says that each frame is; request is what it began with.
	key     *aws.Credentials
	request *http.Request
	// kept came while something else was waited for.
	kept []frame
}

type frame struct {
	Type    string          `json:"type"`
	Message json.RawMessage `json:"message"`
}

// upgrade is the signed request for a websocket.
func (a *agent) upgrade(key aws.Credentials, endpoint string, query url.Values) *http.Request {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, endpoint+"/ws?"+query.Encode(), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	sign(a.t, key, req, nil)
	return req
}

// dial opens a websocket; the refusal is the body's one key.
func (a *agent) dial(req *http.Request) (s *socket, refusal string) {
	a.t.Helper()
	conn, res, err := websocket.Dial(a.t.Context(), req.URL.String(), &websocket.DialOptions{HTTPHeader: req.Header})
	if err != nil {
		if res == nil {
			a.t.Fatal(err)
		}
		var reason map[string]string
		if b, readErr := io.ReadAll(res.Body); readErr != nil || json.Unmarshal(b, &reason) != nil || len(reason) != 1 {
			a.t.Fatalf("refused with %s, %q", res.Status, b)
		}
		for name := range reason {
			return nil, name
		}
	}
	a.t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	return &socket{t: a.t, conn: conn, request: req}, ""
}

func (a *agent) acsQuery(sendCredentials string) url.Values {
	version := a.version
	if version == "" {
		version = "1.105.1"
	}
	return url.Values{
		"agentHash": {"a8b3e7d3"}, "agentVersion": {version}, "clusterArn": {a.cluster}, "containerInstanceArn": {a.instance}, "dockerVersion": {"DockerVersion: 20.10.24+dfsg1"},
		"protocolVersion": {"2"}, "sendCredentials": {sendCredentials}, "seqNum": {"1"},
	}
}

func (a *agent) tcsQuery() url.Values {
	return url.Values{"agentHash": {"a8b3e7d3"}, "agentVersion": {"1.105.1"}, "cluster": {a.cluster}, "containerInstance": {a.instance}, "dockerVersion": {"20.10.24+dfsg1"}}
}

// connect opens both connections, and has heard from the first.
func (a *agent) connect(sendCredentials string) {
	a.t.Helper()
	a.openACS(sendCredentials)
	a.openTCS()
}

func (a *agent) openACS(sendCredentials string) {
	a.t.Helper()
	s, refusal := a.dial(a.upgrade(a.key, a.endpoint+"/acs", a.acsQuery(sendCredentials)))
	if refusal != "" {
		a.t.Fatal(refusal)
	}
	a.acs = s
	s.expect("HeartbeatMessage", nil)
}

func (a *agent) openTCS() {
	a.t.Helper()
	s, refusal := a.dial(a.upgrade(a.key, a.endpoint+"/tcs", a.tcsQuery()))
	if refusal != "" {
		a.t.Fatal(refusal)
	}
	s.key = &a.key
	a.tcs = s
}

// raw sends a frame as it is; false once the server has gone.
func (s *socket) raw(kind websocket.MessageType, b []byte) bool {
	return s.conn.Write(s.t.Context(), kind, b) == nil
}

// send sends a message, signed if the socket's frames are.
func (s *socket) send(name, message string) {
	s.t.Helper()
	if !s.raw(websocket.MessageText, s.pack(name, message)) {
		s.t.Fatalf("%s could not be sent", name)
	}
}

func (s *socket) pack(name, message string) []byte {
	s.t.Helper()
	body := []byte(`{"type":"` + name + `","message":` + message + `}`)
	if s.key == nil {
		return body
	}
	return s.seal(*s.key, body)
}

// seal signs a frame in the form of TCS: header lines, an empty line, the body.
func (s *socket) seal(key aws.Credentials, body []byte) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.request.URL.String(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	sign(s.t, key, req, body)
	var out bytes.Buffer
	for _, name := range []string{"Authorization", "X-Amz-Date"} {
		out.WriteString(name + ": " + req.Header.Get(name) + "\r\n")
	}
	out.WriteString("Host: " + req.URL.Host + "\r\n\r\n")
	out.Write(body)
	return out.Bytes()
}

// expect waits for a message of that name for which ok holds, answers heartbeats meanwhile and keeps the rest.
func (s *socket) expect(name string, ok func(message json.RawMessage) bool) json.RawMessage {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	wanted := func(f frame) bool { return f.Type == name && (ok == nil || ok(f.Message)) }
	for i, f := range s.kept {
		if wanted(f) {
			s.kept = append(s.kept[:i], s.kept[i+1:]...)
			return f.Message
		}
	}
	for {
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", name, err)
		}
		var f frame
		if err := json.Unmarshal(b, &f); err != nil {
			s.t.Fatalf("a frame that cannot be read: %q", b)
		}
		if f.Type == "HeartbeatMessage" && s.key == nil {
			var beat struct{ MessageID string }
			unmarshal(s.t, f.Message, &beat)
			s.send("HeartbeatAckRequest", `{"messageId":"`+beat.MessageID+`"}`)
		}
		if wanted(f) {
			return f.Message
		}
		s.kept = append(s.kept, f)
	}
}

// closed waits for the end of the connection and gives the close code, -1 for one that was cut.
func (s *socket) closed() websocket.StatusCode {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := s.conn.Read(ctx); err != nil {
			if ctx.Err() != nil {
				s.t.Fatal("the connection lives on")
			}
			return websocket.CloseStatus(err)
		}
	}
}

func unmarshal(t *testing.T, b []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
}

// payload is what is looked at of a PayloadMessage.
type payload struct {
	MessageID string
	SeqNum    int64
	Tasks     []struct {
		ARN, DesiredStatus string
		Containers         []struct{ Name string }
		RoleCredentials    *roleCredentials

		ElasticNetworkInterfaces []netInterface
	}
}

type roleCredentials struct{ CredentialsID, AccessKeyID, SecretAccessKey, SessionToken string }

// payload waits for the message that starts or stops a task.
func (a *agent) payload(arn, desired string) (m payload) {
	a.t.Helper()
	unmarshal(a.t, a.acs.expect("PayloadMessage", func(b json.RawMessage) bool {
		var p payload
		unmarshal(a.t, b, &p)
		return len(p.Tasks) == 1 && p.Tasks[0].ARN == arn && p.Tasks[0].DesiredStatus == desired
	}), &m)
	return m
}

func (a *agent) ack(messageID string) {
	a.t.Helper()
	a.acs.send("AckRequest", `{"cluster":"`+a.cluster+`","containerInstance":"`+a.instance+`","messageId":"`+messageID+`"}`)
}

// report reports a task and its one container c.
func (a *agent) report(arn, status, more string) answer {
	a.t.Helper()
	return a.call("SubmitTaskStateChange", `{"cluster":"`+a.cluster+`","task":"`+arn+`","status":"`+status+`","reason":"","containers":[{"containerName":"c","runtimeId":"r","status":"`+status+`"`+more+`}]}`)
}
