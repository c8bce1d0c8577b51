package sdkhttp_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"roadstead.dev/roadstead/internal/agent/sdkhttp"
)

// hasty answers before it reads the request, as a server may.
type hasty struct{ late *http.Request }

func (h *hasty) RoundTrip(r *http.Request) (*http.Response, error) {
	h.late = r
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"clusterArns":["arn"]}`)), Request: r}, nil
}

// TestBodyOutlivesTheAnswer: what net/http has not read when the answer begins is there still.
func TestBodyOutlivesTheAnswer(t *testing.T) {
	h := &hasty{}
	c := ecs.New(ecs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://roadstead"), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		HTTPClient: sdkhttp.New(&http.Client{Transport: h}),
	})
	out, err := c.ListClusters(t.Context(), &ecs.ListClustersInput{MaxResults: aws.Int32(7)})
	if err != nil || len(out.ClusterArns) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	for range 2 {
		body, err := io.ReadAll(h.late.Body)
		if err != nil || string(body) != `{"maxResults":7}` {
			t.Errorf("%q, %v", body, err)
		}
		if h.late.Body, err = h.late.GetBody(); err != nil {
			t.Fatal(err)
		}
	}
}
