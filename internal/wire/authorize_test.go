package wire

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"roadstead.dev/roadstead/internal/fault"
)

// TestAuthorize is asked after the signature and before anything of the body is read.
func TestAuthorize(t *testing.T) {
	var asked []string
	s, err := New(Config{
		Services: []*Service{ecsService()}, Keys: oneKey(), Region: testRegion, Now: func() time.Time { return testNow },
		Authorize: func(_ Caller, service, operation string) error {
			asked = append(asked, service+":"+operation)
			return fault.New(fault.AccessDenied, "not you")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	send := func(secret string) (int, string) {
		req := mustRequest(t, http.MethodPost, "http://localhost/")
		const body = `{"clusters":[nonsense`
		req.Body = http.NoBody
		req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.DescribeClusters")
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: secret}, req, hashOf([]byte(body)), "ecs", testRegion, testNow); err != nil {
			t.Fatal(err)
		}
		signed := httptest.NewRequest(http.MethodPost, "http://localhost/", strings.NewReader(body))
		signed.Header, signed.Host = req.Header, req.URL.Host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, signed)
		return w.Code, w.Body.String()
	}
	if code, body := send("wrong"); code == http.StatusOK || len(asked) != 0 {
		t.Errorf("wrong signature: %d %s, asked %v", code, body, asked)
	}
	code, body := send(testSecret)
	if code != http.StatusBadRequest || !strings.Contains(body, "AccessDeniedException") || !strings.Contains(body, "not you") || len(asked) != 1 || asked[0] != "ecs:DescribeClusters" {
		t.Errorf("%d %s, asked %v", code, body, asked)
	}
	req := mustRequest(t, http.MethodGet, "http://localhost/ws")
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, req, hashOf(nil), "ecs", testRegion, testNow); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(req, "ecs", "Poll", nil); !fault.Is(err, fault.AccessDenied) || asked[1] != "ecs:Poll" {
		t.Errorf("%v, asked %v", err, asked)
	}
}
