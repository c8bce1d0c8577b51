package wire

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"roadstead.dev/roadstead/internal/fault"
)

// TestObserve sees what metrics are told, and that an operation's name is AWS's or none: a caller must not make new series.
func TestObserve(t *testing.T) {
	var mu sync.Mutex
	var got []Observation
	srv := endpoint(t, func(c *Config) {
		c.Observe = func(o Observation) { mu.Lock(); got = append(got, o); mu.Unlock() }
	})
	signedRequest{}.send(t, srv.URL)
	signedRequest{sts: true}.send(t, srv.URL)
	post(t, srv.URL, "Invented", []byte("{}"), nil)
	signedRequest{unsigned: true}.send(t, srv.URL)
	srv.Close()
	want := []Observation{
		{Service: "ecs", Operation: "ListClusters", Status: 200},
		{Service: "sts", Operation: "GetCallerIdentity", Status: 200},
		{Service: "ecs", Status: 400, Error: "UnknownOperationException"},
		{Service: "ecs", Operation: "ListClusters", Status: 400, Error: "MissingAuthenticationTokenException"},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Observation{}, "Duration", "BytesIn", "BytesOut")); d != "" {
		t.Error(d)
	}
	for _, o := range got {
		if o.Duration <= 0 || o.BytesOut == 0 {
			t.Errorf("%+v", o)
		}
	}
}

// TestSmallRequestsPassLargeOnes fills the memory for large bodies with clients that never finish; a small request is answered.
func TestSmallRequestsPassLargeOnes(t *testing.T) {
	srv := endpoint(t, func(c *Config) { c.MaxBody, c.MaxBodies = 1<<20, 2<<20 })
	for range 4 {
		req, err := http.NewRequest(http.MethodPost, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.ListClusters")
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, req, hashOf(nil), "ecs", testRegion, testNow); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		req.Header.Set("Content-Length", "1000000")
		var head strings.Builder
		head.WriteString("POST / HTTP/1.1\r\nHost: " + req.URL.Host + "\r\n")
		if err := req.Header.Write(&head); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, head.String()+"\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	if st, body, _ := (signedRequest{}).send(t, srv.URL); st != 200 {
		t.Errorf("%d %s", st, body)
	}
}

// TestKeepAlive sees that answers of every kind leave the connection good for the next request.
func TestKeepAlive(t *testing.T) {
	srv := endpoint(t, nil)
	var dials int
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}}
	for i, s := range []signedRequest{{}, {sts: true}, {secret: "wrong"}, {unsigned: true}, {keyID: "nobody"}, {}} {
		res, err := c.Do(s.build(t, srv.URL))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Header.Get("Content-Length") == "" {
			t.Errorf("%d: no Content-Length", i)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections were needed", dials)
	}
}

// TestWrappedFault: a handler may wrap its *fault.Error.
func TestWrappedFault(t *testing.T) {
	cfg := ecsService().cfg
	err := fault.Wrap(io.ErrUnexpectedEOF, fault.ClusterNotFound, "Cluster not found.")
	if f := asFault(&cfg, err); f != err || status(&cfg, f.Kind) != 400 {
		t.Errorf("%v", f)
	}
	if f := asFault(&cfg, &fault.Error{}); f.Kind != fault.Server || status(&cfg, f.Kind) != 500 {
		t.Errorf("%v", f)
	}
	if f := asFault(&cfg, io.EOF); f.Kind != fault.Server || strings.Contains(f.Message, "EOF") {
		t.Errorf("%v", f)
	}
}
