package devcluster

import (
	"context"
	"net"
	"net/http"

	"google.golang.org/grpc/test/bufconn"
)

// pipeBuffer is how much a connection from within the process holds, each way, in bytes.
const pipeBuffer = 16 << 10

// pipe listens for connections from within the process: simulated nodes would take two descriptors and a port each. The
// connections have buffers, unlike net.Pipe's: HTTP leans on the kernel's.
type pipe struct{ *bufconn.Listener }

func newPipe() pipe { return pipe{bufconn.Listen(pipeBuffer)} }

// client makes HTTP requests to whoever serves the pipe, whatever their address.
func (p pipe) client() *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return p.DialContext(ctx) }
	return &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}}
}
