package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"roadstead.dev/roadstead/internal/fault"
)

// testNow is the server's clock in these tests.
var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testClock() time.Time { return testNow }

// endpoint serves ecs.ListClusters and sts.GetCallerIdentity.
func endpoint(t testing.TB, change func(*Config)) *httptest.Server {
	t.Helper()
	e, s := ecsService(), stsService()
	Handle(e, "ListClusters", func(ctx context.Context, in *ecs.ListClustersInput) (*ecs.ListClustersOutput, error) {
		return &ecs.ListClustersOutput{ClusterArns: []string{CallerFrom(ctx).ARN}, NextToken: aws.String(RequestID(ctx))}, nil
	})
	Handle(s, "GetCallerIdentity", func(ctx context.Context, in *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		return &sts.GetCallerIdentityOutput{Arn: aws.String(CallerFrom(ctx).ARN)}, nil
	})
	return serve(t, func(c *Config) {
		c.Now = testClock
		if change != nil {
			change(c)
		}
	}, e, s)
}

// signedRequest is a request to sign, with what can be wrong about it.
type signedRequest struct {
	sts                   bool
	keyID, secret, token  string
	region, service, hash string
	at                    time.Time
	before                func(*http.Request) // before signing
	after                 func(*http.Request) // after signing
	presign               time.Duration
	unsigned              bool
}

func (s signedRequest) send(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	req := s.build(t, url)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func (s signedRequest) build(t *testing.T, url string) *http.Request {
	t.Helper()
	or := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	or(&s.keyID, testKeyID)
	or(&s.secret, testSecret)
	or(&s.region, testRegion)
	body := "{}"
	if s.sts {
		body = "Action=GetCallerIdentity&Version=2011-06-15"
		or(&s.service, "sts")
	}
	or(&s.service, "ecs")
	or(&s.hash, hashOf([]byte(body)))
	if s.at.IsZero() {
		s.at = testNow
	}
	req, err := http.NewRequest(http.MethodPost, url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if s.sts {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	} else {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.ListClusters")
	}
	if s.before != nil {
		s.before(req)
	}
	creds := aws.Credentials{AccessKeyID: s.keyID, SecretAccessKey: s.secret, SessionToken: s.token}
	switch {
	case s.unsigned:
	case s.presign != 0:
		q := req.URL.Query()
		q.Set("Action", "GetCallerIdentity")
		q.Set("Version", "2011-06-15")
		q.Set("X-Amz-Expires", "60")
		req.URL.RawQuery = q.Encode()
		signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, mustRequest(t, http.MethodGet, req.URL.String()), hashOf(nil), s.service, s.region, s.at)
		if err != nil {
			t.Fatal(err)
		}
		req = mustRequest(t, http.MethodGet, signed)
	default:
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, s.hash, s.service, s.region, s.at); err != nil {
			t.Fatal(err)
		}
	}
	if s.after != nil {
		s.after(req)
	}
	return req
}

func mustRequest(t *testing.T, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSignatures(t *testing.T) {
	session := func(c *Config) {
		keys := oneKey()
		k := keys[testKeyID]
		k.SessionToken = "the/session+token="
		keys["ASIASESSION"] = k
		k.Expires = testNow.Add(-time.Second)
		keys["ASIAEXPIRED"] = k
		c.Keys = keys
	}
	srv := endpoint(t, session)
	set := func(h, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(h, v) } }
	cut := func(part string) func(*http.Request) {
		return func(r *http.Request) {
			a := r.Header.Get("Authorization")
			i := strings.Index(a, part)
			j := strings.IndexByte(a[i:]+",", ',')
			r.Header.Set("Authorization", strings.TrimRight(a[:i]+a[min(len(a), i+j+1):], ", "))
		}
	}
	for _, c := range []struct {
		name   string
		req    signedRequest
		json   string // error of ECS; empty for success
		query  string // error of STS
		status int    // of STS
		text   string
	}{
		{name: "good", status: 200},
		{name: "slow clock", req: signedRequest{at: testNow.Add(-4 * time.Minute)}, status: 200},
		{name: "session", req: signedRequest{keyID: "ASIASESSION", token: "the/session+token="}, status: 200},
		{name: "unsigned payload", req: signedRequest{hash: "UNSIGNED-PAYLOAD", before: set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")}, status: 200},
		{name: "blanks in a header", req: signedRequest{before: set("X-Amz-Meta", "  a   b ")}, status: 200},
		{name: "not signed", req: signedRequest{unsigned: true}, json: "MissingAuthenticationTokenException", query: "MissingAuthenticationToken", status: 403, text: "Missing Authentication Token"},
		{name: "other scheme", req: signedRequest{after: set("Authorization", "Basic Zm9v")}, json: "IncompleteSignatureException", query: "IncompleteSignature", status: 400, text: "Basic"},
		{name: "no signature", req: signedRequest{after: cut("Signature=")}, json: "IncompleteSignatureException", query: "IncompleteSignature", status: 400, text: "'Signature'"},
		{name: "no credential", req: signedRequest{after: cut("Credential=")}, json: "IncompleteSignatureException", query: "IncompleteSignature", status: 400, text: "'Credential'"},
		{name: "no date", req: signedRequest{after: func(r *http.Request) { r.Header.Del("X-Amz-Date") }}, json: "IncompleteSignatureException", query: "IncompleteSignature", status: 400, text: "X-Amz-Date"},
		{name: "broken date", req: signedRequest{after: set("X-Amz-Date", "yesterday")}, json: "IncompleteSignatureException", query: "IncompleteSignature", status: 400, text: "ISO-8601"},
		{name: "unknown key", req: signedRequest{keyID: "AKIANOBODY"}, json: "UnrecognizedClientException", query: "InvalidClientTokenId", status: 403, text: "security token"},
		{name: "wrong secret", req: signedRequest{secret: "guessed"}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "does not match"},
		{name: "wrong region", req: signedRequest{region: "eu-west-1"}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "valid region"},
		{name: "stale", req: signedRequest{at: testNow.Add(-6 * time.Minute)}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "Signature expired: 20260301T115400Z is now earlier than 20260301T115500Z (20260301T120000Z - 5 min.)"},
		{name: "ahead", req: signedRequest{at: testNow.Add(6 * time.Minute)}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "not yet current"},
		{name: "other day", req: signedRequest{after: set("X-Amz-Date", "20260302T000000Z")}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "Credential scope"},
		{name: "header changed", req: signedRequest{after: set("X-Amz-Date", "20260301T120001Z")}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "does not match"},
		{name: "body changed", req: signedRequest{after: func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"maxResults":1}`))
			r.ContentLength = 16
		}, before: func(r *http.Request) { r.ContentLength = -1 }}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "does not match"},
		{name: "hash of another body", req: signedRequest{before: set("X-Amz-Content-Sha256", strings.Repeat("0", 64))}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "X-Amz-Content-Sha256"},
		{name: "chunked signature", req: signedRequest{before: set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")}, json: "InvalidSignatureException", query: "SignatureDoesNotMatch", status: 403, text: "not supported"},
		{name: "no session token", req: signedRequest{keyID: "ASIASESSION"}, json: "UnrecognizedClientException", query: "InvalidClientTokenId", status: 403},
		{name: "wrong session token", req: signedRequest{keyID: "ASIASESSION", token: "other"}, json: "UnrecognizedClientException", query: "InvalidClientTokenId", status: 403},
		{name: "token of a key without", req: signedRequest{token: "other"}, json: "UnrecognizedClientException", query: "InvalidClientTokenId", status: 403},
		{name: "expired session", req: signedRequest{keyID: "ASIAEXPIRED", token: "the/session+token="}, json: "ExpiredTokenException", query: "ExpiredToken", status: 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, body, h := c.req.send(t, srv.URL)
			if c.json == "" {
				if st != 200 || !strings.Contains(body, ":root") {
					t.Errorf("ecs: %d %s", st, body)
				}
			} else if st != 400 || !strings.Contains(body, `"__type":"`+c.json+`"`) || h.Get("X-Amzn-ErrorType") != c.json || !strings.Contains(body, c.text) {
				t.Errorf("ecs: want %s, have %d %s", c.json, st, body)
			}
			if h.Get("X-Amzn-RequestId") == "" || h.Get("Content-Type") != "application/x-amz-json-1.1" {
				t.Errorf("ecs: headers %v", h)
			}
			if c.name == "wrong region" {
				c.req.region = "moon-1" // us-east-1 is the server's, and the global services' too
			}
			c.req.sts = true
			st, body, h = c.req.send(t, srv.URL)
			if st != c.status || c.query != "" && !strings.Contains(body, "<Code>"+c.query+"</Code>") {
				t.Errorf("sts: want %d %s, have %d %s", c.status, c.query, st, body)
			}
			if h.Get("X-Amzn-RequestId") == "" || !strings.Contains(body, "<RequestId>"+h.Get("X-Amzn-RequestId")) {
				t.Errorf("sts: request id %q in %s", h.Get("X-Amzn-RequestId"), body)
			}
		})
	}
}

func TestSignedForAnotherService(t *testing.T) {
	srv := endpoint(t, nil)
	st, body, _ := signedRequest{service: "sts"}.send(t, srv.URL)
	if st != 400 || !strings.Contains(body, "InvalidSignatureException") || !strings.Contains(body, "correct service: 'ecs'") {
		t.Errorf("%d %s", st, body)
	}
	st, body, _ = signedRequest{service: "s3", before: func(r *http.Request) { r.Header.Del("X-Amz-Target") }}.send(t, srv.URL)
	if st != 400 || !strings.Contains(body, "UnknownOperationException") {
		t.Errorf("%d %s", st, body)
	}
}

// TestTargetMustBeSigned: else someone who sees one request could make another of it.
func TestTargetMustBeSigned(t *testing.T) {
	srv := endpoint(t, nil)
	var target string
	st, body, _ := signedRequest{
		before: func(r *http.Request) { target = r.Header.Get("X-Amz-Target"); r.Header.Del("X-Amz-Target") },
		after:  func(r *http.Request) { r.Header.Set("X-Amz-Target", target) },
	}.send(t, srv.URL)
	if st != 400 || !strings.Contains(body, "'X-Amz-Target' must be a 'SignedHeader'") {
		t.Errorf("%d %s", st, body)
	}
}

func TestPresigned(t *testing.T) {
	srv := endpoint(t, nil)
	for _, c := range []struct {
		name string
		at   time.Time
		want int
		code string
	}{
		{"good", testNow.Add(-50 * time.Second), 200, ""},
		{"expired", testNow.Add(-61 * time.Second), 400, "RequestExpired"},
		{"ahead", testNow.Add(10 * time.Minute), 403, "SignatureDoesNotMatch"},
	} {
		st, body, _ := signedRequest{sts: true, presign: time.Minute, at: c.at}.send(t, srv.URL)
		if st != c.want || !strings.Contains(body, c.code) {
			t.Errorf("%s: %d %s", c.name, st, body)
		}
	}
	st, body, _ := signedRequest{sts: true, presign: time.Minute, after: func(r *http.Request) { r.URL.RawQuery += "&More=1" }}.send(t, srv.URL)
	if st != 403 {
		t.Errorf("changed: %d %s", st, body)
	}
}

// TestAuthenticate is what an agent's websocket does: a GET with a path and a query, signed over an empty payload.
func TestAuthenticate(t *testing.T) {
	s, err := New(Config{Services: []*Service{ecsService()}, Keys: oneKey(), Region: testRegion, Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	var got Caller
	var authErr error
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, authErr = s.Authenticate(r, "ecs", "Poll", nil)
	}))
	defer srv.Close()
	req := mustRequest(t, http.MethodGet, srv.URL+"/ws/a%20b?containerInstanceArn=arn:aws:ecs:us-east-1:0:container-instance/c/1&agentHash=x+y&empty")
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, req, hashOf(nil), "ecs", testRegion, testNow); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if authErr != nil && !strings.Contains(req.URL.RawQuery, "tampered") {
			t.Fatal(authErr)
		}
		req.URL.RawQuery += "&tampered=1"
	}
	if !fault.Is(authErr, "InvalidSignatureException") || got != (Caller{}) {
		t.Errorf("a changed query: %v %v", got, authErr)
	}
}

// TestModeledErrors sees a handler's error arrive as the SDK's exception type.
func TestModeledErrors(t *testing.T) {
	svc := ecsService()
	Handle(svc, "DeleteCluster", func(context.Context, *ecs.DeleteClusterInput) (*ecs.DeleteClusterOutput, error) {
		return nil, &fault.Error{Kind: fault.Conflict, Message: "two of them", Cause: errors.New("secret cause"), Fields: map[string]any{"resourceIds": []string{"a", "b"}}}
	})
	Handle(svc, "ListClusters", func(context.Context, *ecs.ListClustersInput) (*ecs.ListClustersOutput, error) {
		return nil, errors.New("the disk is on fire")
	})
	Handle(svc, "DescribeClusters", func(context.Context, *ecs.DescribeClustersInput) (*ecs.DescribeClustersOutput, error) {
		panic("boom")
	})
	var log bytes.Buffer
	srv := serve(t, func(c *Config) { c.Log = textLog(&log) }, svc)
	c := ecs.NewFromConfig(awsConfig(srv.URL))
	var conflict *ecstypes.ConflictException
	if _, err := c.DeleteCluster(t.Context(), &ecs.DeleteClusterInput{}); !errors.As(err, &conflict) || *conflict.Message != "two of them" || len(conflict.ResourceIds) != 2 || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	var server *ecstypes.ServerException
	if _, err := c.ListClusters(t.Context(), nil); !errors.As(err, &server) || strings.Contains(err.Error(), "fire") {
		t.Errorf("%v", err)
	}
	if _, err := c.DescribeClusters(t.Context(), nil); !errors.As(err, &server) || strings.Contains(err.Error(), "boom") {
		t.Errorf("%v", err)
	}
	var unsupported *ecstypes.UnsupportedFeatureException
	if _, err := c.CreateService(t.Context(), nil); !errors.As(err, &unsupported) {
		t.Errorf("%v", err)
	}
	srv.Close() // the log line of the last request is written
	for _, want := range []string{"the disk is on fire", "boom", "secret cause", "op=ListClusters", "status=500", "error=UnsupportedFeatureException"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), testSecret) {
		t.Error("the log has the secret key")
	}
}
