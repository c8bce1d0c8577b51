// Package sdkhttp lets the AWS SDK talk to a server that is as near as ours.
package sdkhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// New makes an SDK's HTTP client of c. The SDK closes a request's body as soon as the answer begins
// (smithy-go's transport/http.ClientHandler), while net/http may still look for the body's end; net/http then ends the connection
// and the answer is cut short, sometimes to nothing, which the SDK takes for an answer without members. So the body that net/http
// gets is another than the one that the SDK closes. Bodies are held in memory: this is for APIs without uploads.
func New(c *http.Client) aws.HTTPClient { return client{c} }

type client struct{ http *http.Client }

// Do implements aws.HTTPClient.
func (c client) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return c.http.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request's body: %w", err)
	}
	own := r.Clone(r.Context())
	own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	own.Body = io.NopCloser(bytes.NewReader(body))
	return c.http.Do(own)
}
