package sigv4

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"
)

// TestSDKSigns: whatever path, query and headers the SDK's signer signs, Verify accepts, and nothing else.
func TestSDKSigns(t *testing.T) {
	text := rapid.StringMatching(`[a-zA-Z0-9 /+%&=~*é'()!@:;,_.-]{0,10}`)
	header := rapid.StringMatching(`[!-~][ -~]{0,10}`)
	rapid.Check(t, func(t *rapid.T) {
		u := url.URL{Scheme: "http", Host: "example.com:8080", Path: "/" + text.Draw(t, "path")}
		q := url.Values{}
		for range rapid.IntRange(0, 4).Draw(t, "parameters") {
			q.Add(text.Draw(t, "key"), text.Draw(t, "value"))
		}
		u.RawQuery = q.Encode()
		r, err := http.NewRequest(http.MethodPost, u.String(), nil)
		if err != nil {
			t.Skip(err)
		}
		for _, h := range []string{"X-Amz-Target", "Content-Type", "X-Other"} {
			r.Header.Set(h, header.Draw(t, h))
		}
		secret := text.Draw(t, "secret")
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		payload := strings.Repeat("ab", 32)
		creds := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: secret, SessionToken: "token"}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, payload, "ecs", "us-east-1", at); err != nil {
			t.Fatal(err)
		}
		got := httptest.NewRequest(r.Method, r.URL.RequestURI(), nil)
		got.Host, got.Header = r.URL.Host, r.Header
		c, err := Parse(got, got.URL.Query())
		if err != nil {
			t.Fatal(err)
		}
		if !c.Verify(got, got.URL.Query(), payload, secret) {
			t.Fatalf("refused:\n%s", c.canonical(got, got.URL.Query(), payload))
		}
		if c.Verify(got, got.URL.Query(), payload, secret+"x") || c.Verify(got, got.URL.Query(), UnsignedPayload, secret) {
			t.Fatal("accepted another secret or payload")
		}
		got.Header.Set("X-Amz-Target", got.Header.Get("X-Amz-Target")+"x")
		if c.Verify(got, got.URL.Query(), payload, secret) {
			t.Fatal("accepted another target")
		}
	})
}

// FuzzParse: whatever a request claims, Parse gives a claim, ErrMissing or an *IncompleteError, and Verify refuses it.
func FuzzParse(f *testing.F) {
	sig := strings.Repeat("0", 64)
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20260301/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, Signature="+sig, "20260301T120000Z", "")
	f.Add("AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=, Signature=", "", "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request,SignedHeaders=;;,Signature="+sig, "20260301T120000Z", "")
	f.Add("AWS4-HMAC-SHA256", "x", "X-Amz-Algorithm=AWS4-HMAC-SHA256")
	f.Add("Bearer x", "", "a=b")
	f.Add("", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID/20260301/us-east-1/sts/aws4_request&X-Amz-Date=20260301T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature="+sig)
	f.Add("", "", "X-Amz-Signature=1&X-Amz-Expires=-5")
	f.Fuzz(func(t *testing.T, authorization, date, rawQuery string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		q, err := url.ParseQuery(rawQuery)
		if err != nil {
			return
		}
		c, err := Parse(r, q)
		var inc *IncompleteError
		switch {
		case err == nil:
			if c.Verify(r, q, UnsignedPayload, "the secret that the fuzzer doesn't know") {
				t.Fatal("a signature was guessed")
			}
		case !errors.Is(err, ErrMissing) && !errors.As(err, &inc):
			t.Fatalf("%T %v", err, err)
		}
	})
}
