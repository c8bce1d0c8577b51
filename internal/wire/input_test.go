package wire

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"roadstead.dev/roadstead/internal/fault"
)

// post sends a signed ECS request with any body.
func post(t *testing.T, url, op string, body []byte, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+op)
	if change != nil {
		change(req)
	}
	service := "ecs"
	if isForm(req) {
		service = "sts"
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, req, hashOf(body), service, testRegion, testNow); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if ct := res.Header.Get("Content-Type"); strings.Contains(ct, "html") || strings.Contains(string(b), "<html") {
		t.Errorf("HTML: %s", b)
	}
	return res.StatusCode, string(b)
}

// registrar serves RegisterTaskDefinition, which must never be called by these tests' broken requests.
func registrar(t *testing.T, maxBody int64) (*httptest.Server, *[]*ecs.RegisterTaskDefinitionInput) {
	var got []*ecs.RegisterTaskDefinitionInput
	svc, s := ecsService(), stsService()
	Handle(svc, "RegisterTaskDefinition", func(_ context.Context, in *ecs.RegisterTaskDefinitionInput) (*ecs.RegisterTaskDefinitionOutput, error) {
		got = append(got, in)
		return &ecs.RegisterTaskDefinitionOutput{}, nil
	})
	Handle(s, "AssumeRole", func(_ context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
		got = append(got, nil)
		return &sts.AssumeRoleOutput{}, nil
	})
	srv := serve(t, func(c *Config) {
		c.MaxBody = maxBody
		c.Now = testClock
	}, svc, s)
	return srv, &got
}

func TestBadJSON(t *testing.T) {
	srv, got := registrar(t, 1<<20)
	for _, c := range []struct{ name, body, text string }{
		{"not JSON", `family=x`, "not valid JSON"},
		{"cut", `{"family":"x"`, "not valid JSON"},
		{"cut in a string", `{"family":"x`, "not valid JSON"},
		{"more after it", `{"family":"x"} {}`, "after the end"},
		{"list", `[]`, "Start of list found where not expected."},
		{"string", `"x"`, "Expected structure"},
		{"number for a string", `{"family":1}`, "NUMBER_VALUE can not be converted to a String (at family)"},
		{"boolean for a string", `{"family":true}`, "TRUE_VALUE can not be converted to a String"},
		{"structure for a string", `{"family":{}}`, "Start of structure or map found where not expected."},
		{"string for an integer", `{"containerDefinitions":[{"memory":"5"}]}`, "STRING_VALUE can not be converted to an Integer (at containerDefinitions[0].memory)"},
		{"fraction for an integer", `{"containerDefinitions":[{"memory":1.5}]}`, "can not be converted to an Integer"},
		{"huge integer", `{"containerDefinitions":[{"memory":1e30}]}`, "can not be converted to an Integer"},
		{"33 bits", `{"containerDefinitions":[{"memory":4294967296}]}`, "out of range"},
		{"string for a boolean", `{"containerDefinitions":[{"privileged":"yes"}]}`, "to a Boolean"},
		{"structure for a list", `{"containerDefinitions":{}}`, "Start of structure"},
		{"string for a list", `{"containerDefinitions":"x"}`, "Expected list"},
		{"list for a map", `{"containerDefinitions":[{"dockerLabels":[]}]}`, "Start of list"},
		{"invalid UTF-8", "{\"family\":\"a\xff\"}", "UTF-8"},
		{"invalid UTF-8 in what is skipped", "{\"nobody\":\"a\xff\"}", "UTF-8"},
		{"lone surrogate", `{"family":"\ud800"}`, "surrogate"},
		{"control character", "{\"family\":\"a\nb\"}", "not valid JSON"},
		{"deep", strings.Repeat(`{"x":`, 1e5), "levels deep"},
		{"deep lists", `{"x":` + strings.Repeat(`[`, 1e5), "levels deep"},
		{"many containers in few bytes", `{"containerDefinitions":[` + strings.Repeat(`{},`, 300000) + `{}]}`, "too many elements"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, body := post(t, srv.URL, "RegisterTaskDefinition", []byte(c.body), nil)
			if st != 400 || !strings.Contains(body, `"__type":"SerializationException"`) || !strings.Contains(body, c.text) {
				t.Errorf("%d %.300s", st, body)
			}
		})
	}
	if len(*got) != 0 {
		t.Errorf("the handler was called %d times", len(*got))
	}
}

func TestOddJSON(t *testing.T) {
	srv, got := registrar(t, 1<<20)
	for _, body := range []string{
		``, `{}`, " \n{} ", `{"family":null,"nobody":{"knows":["this",{"x":1e999}]}}`, `{"containerDefinitions":[null,{"memory":5.0,"cpu":1e2}]}`,
		`{"\u0066amily":"x"}`, `{"containerDefinitions":[` + strings.Repeat(`{},`, 999) + `{}]}`,
	} {
		if st, answer := post(t, srv.URL, "RegisterTaskDefinition", []byte(body), nil); st != 200 || answer != "{}" {
			t.Errorf("%.100s: %d %s", body, st, answer)
		}
	}
	if len(*got) != 7 {
		t.Fatalf("%d calls", len(*got))
	}
	if d := (*got)[4].ContainerDefinitions; len(d) != 1 || *d[0].Memory != 5 || d[0].Cpu != 100 {
		t.Errorf("%+v", d)
	}
	if f := (*got)[5].Family; f == nil || *f != "x" {
		t.Error("an escaped name isn't found")
	}
	if n := len((*got)[6].ContainerDefinitions); n != 1000 {
		t.Errorf("%d containers", n)
	}
}

// manyParts has names that would make a tree of half a million nodes.
func manyParts() string {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "p%d%s=&", i, strings.Repeat(".a", 98))
	}
	return b.String()
}

func TestBadQuery(t *testing.T) {
	srv, got := registrar(t, 1<<20)
	form := func(r *http.Request) {
		r.Header.Del("X-Amz-Target")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range []struct{ body, code string }{
		{"Action=AssumeRole&DurationSeconds=x", "MalformedInput"},
		{"Action=AssumeRole&DurationSeconds.1=1", "MalformedInput"},
		{"Action=AssumeRole&Tags.member.x.Key=1", "MalformedInput"},
		{"Action=AssumeRole&" + strings.Repeat("a.", 200) + "=1", "MalformedInput"},
		{"Action=AssumeRole&" + manyParts(), "MalformedInput"},
		{"Action=AssumeRole&%zz", "MalformedQueryString"},
		{"Action=AssumeRole&a;b", "MalformedQueryString"},
		{"Action=Assume", "InvalidAction"},
		{"Version=2011-06-15", "MissingAction"},
		{"Action=GetCallerIdentity", "UnsupportedOperation"},
	} {
		if st, body := post(t, srv.URL, "", []byte(c.body), form); st != 400 || !strings.Contains(body, "<Code>"+c.code+"</Code>") {
			t.Errorf("%.60s: %d %s", c.body, st, body)
		}
	}
	if len(*got) != 0 {
		t.Errorf("the handler was called %d times", len(*got))
	}
	if st, body := post(t, srv.URL, "", []byte("Action=AssumeRole&Version=2011-06-15&Tags.member.7.Key=a&Tags.member.3.Key=b"), form); st != 200 || !strings.Contains(body, "AssumeRoleResult") {
		t.Errorf("%d %s", st, body)
	}
}

func TestUnknownThings(t *testing.T) {
	srv, _ := registrar(t, 1<<20)
	for _, c := range []struct {
		name, op string
		status   int
		change   func(*http.Request)
		want     string
	}{
		{"operation", "MakeCoffee", 400, nil, "UnknownOperationException"},
		{"AWS's operation", "CreateCluster", 400, nil, "UnsupportedFeatureException"},
		{"target", "", 400, func(r *http.Request) { r.Header.Set("X-Amz-Target", "Nobody_2000.Do") }, "UnknownOperationException"},
		{"no target", "", 400, func(r *http.Request) { r.Header.Del("X-Amz-Target") }, "UnknownOperationException"},
		{"path", "RegisterTaskDefinition", 404, func(r *http.Request) { r.URL.Path = "/index.html" }, "UnknownOperationException"},
		{"method", "RegisterTaskDefinition", 400, func(r *http.Request) { r.Method = http.MethodPut }, "UnknownOperationException"},
		{"encoding", "RegisterTaskDefinition", 400, func(r *http.Request) { r.Header.Set("Content-Encoding", "br") }, "SerializationException"},
		{"no gzip", "RegisterTaskDefinition", 400, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, "SerializationException"},
	} {
		if st, body := post(t, srv.URL, c.op, []byte(`{}`), c.change); st != c.status || !strings.Contains(body, `"__type":"`+c.want+`"`) {
			t.Errorf("%s: %d %s", c.name, st, body)
		}
	}
	res, err := http.Get(srv.URL + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != 404 || !strings.Contains(string(b), "UnknownOperationException") {
		t.Errorf("%d %s", res.StatusCode, b)
	}
}

func TestBodyLimits(t *testing.T) {
	srv, got := registrar(t, 64<<10)
	big := append([]byte(`{"family":"`), bytes.Repeat([]byte("x"), 200<<10)...)
	st, body := post(t, srv.URL, "RegisterTaskDefinition", big, nil)
	if st != 413 || !strings.Contains(body, "RequestEntityTooLargeException") {
		t.Errorf("%d %s", st, body)
	}
	st, body = post(t, srv.URL, "RegisterTaskDefinition", big, func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(big)), -1 // chunked
	})
	if st != 413 || !strings.Contains(body, "RequestEntityTooLargeException") {
		t.Errorf("chunked: %d %s", st, body)
	}
	zipped := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(b)
		w.Close()
		return z.Bytes()
	}
	gz := func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }
	st, body = post(t, srv.URL, "RegisterTaskDefinition", zipped(bytes.Repeat([]byte(" "), 50<<20)), gz)
	if st != 413 || !strings.Contains(body, "RequestEntityTooLargeException") {
		t.Errorf("a gzip bomb: %d %s", st, body)
	}
	if len(*got) != 0 {
		t.Fatalf("the handler was called")
	}
	st, body = post(t, srv.URL, "RegisterTaskDefinition", zipped([]byte(`{"family":"zipped"}`)), gz)
	if st != 200 || len(*got) != 1 || *(*got)[0].Family != "zipped" {
		t.Errorf("gzip: %d %s", st, body)
	}
}

// TestMemoryOfHugeBodies sends far more than MaxBody and looks at what the process took for it.
func TestMemoryOfHugeBodies(t *testing.T) {
	srv, _ := registrar(t, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	body := make([]byte, 64<<20)
	taken := uint64(len(body))
	req, err := http.NewRequest(http.MethodPost, srv.URL, struct{ io.Reader }{bytes.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition")
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, req, hashOf(body), "ecs", testRegion, testNow); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		res.Body.Close()
		if res.StatusCode != 413 {
			t.Errorf("%s", res.Status)
		}
	} else if !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") && !strings.Contains(err.Error(), "EOF") {
		t.Fatal(err) // beyond what is drained the connection may be cut
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc - taken; used > 16<<20 {
		t.Errorf("%d MiB were allocated for a body that is refused", used>>20)
	}
}

func TestGenericErrors(t *testing.T) {
	srv, _ := registrar(t, 1<<20)
	cfg := awsConfig(srv.URL)
	cfg.APIOptions = nil
	srv2 := serve(t, nil, ecsService(), stsService())
	cfg.BaseEndpoint = &srv2.URL
	var api smithy.APIError
	_, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
	if !errors.As(err, &api) || api.ErrorCode() != "UnsupportedOperation" {
		t.Errorf("%v", err)
	}
}

func TestStartLiveTail(t *testing.T) {
	svc := logsService()
	gone := make(chan struct{})
	HandleStream(svc, "StartLiveTail", func(ctx context.Context, in *cloudwatchlogs.StartLiveTailInput, send func(string, any) error) error {
		switch in.LogGroupIdentifiers[0] {
		case "missing":
			return fault.New(fault.ResourceNotFound, "no such group")
		case "timeout":
			if err := send("sessionStart", &logtypes.LiveTailSessionStart{}); err != nil {
				return err
			}
			return fault.New("SessionTimeoutException", "three hours are over")
		case "quiet":
			return nil
		}
		if err := send("sessionStart", &logtypes.LiveTailSessionStart{SessionId: aws.String(RequestID(ctx)), LogGroupIdentifiers: in.LogGroupIdentifiers}); err != nil {
			return err
		}
		for i := range 3 {
			if err := send("sessionUpdate", &logtypes.LiveTailSessionUpdate{SessionResults: []logtypes.LiveTailSessionLogEvent{
				{Message: aws.String(strings.Repeat("é", i)), Timestamp: aws.Int64(int64(i))}}}); err != nil {
				return err
			}
		}
		<-ctx.Done()
		close(gone)
		return ctx.Err()
	})
	srv := serve(t, nil, svc)
	cfg := awsConfig(srv.URL)
	// A client for each stream: the SDK's streams of one client share a decoder, and race on it.
	client := func() *cloudwatchlogs.Client {
		return cloudwatchlogs.NewFromConfig(cfg, dialing(srv.Listener.Addr().String()))
	}
	tail := func(group string) (*cloudwatchlogs.StartLiveTailOutput, error) {
		return client().StartLiveTail(t.Context(), &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group}})
	}
	var missing *logtypes.ResourceNotFoundException
	if _, err := tail("missing"); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
	out, err := tail("group")
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	start, ok := (<-stream.Events()).(*logtypes.StartLiveTailResponseStreamMemberSessionStart)
	if !ok || start.Value.LogGroupIdentifiers[0] != "group" || *start.Value.SessionId == "" {
		t.Fatalf("%+v %v", start, stream.Err())
	}
	for i := range 3 {
		up, ok := (<-stream.Events()).(*logtypes.StartLiveTailResponseStreamMemberSessionUpdate)
		if !ok || *up.Value.SessionResults[0].Message != strings.Repeat("é", i) {
			t.Fatalf("%+v %v", up, stream.Err())
		}
	}
	stream.Close()
	<-gone
	if out, err = tail("timeout"); err != nil {
		t.Fatal(err)
	}
	for range out.GetStream().Events() {
	}
	var timeout *logtypes.SessionTimeoutException
	if err := out.GetStream().Err(); !errors.As(err, &timeout) {
		t.Errorf("%v", err)
	}
	if out, err = tail("quiet"); err != nil {
		t.Fatal(err)
	}
	if e, ok := <-out.GetStream().Events(); ok || out.GetStream().Err() != nil {
		t.Errorf("%v %v", e, out.GetStream().Err())
	}
}

// dialing makes a client reach an address whatever host it asks for: the SDK puts "streaming-" before the endpoint's host,
// which an address can't have.
func dialing(addr string) func(*cloudwatchlogs.Options) {
	return func(o *cloudwatchlogs.Options) {
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}}}
	}
}
