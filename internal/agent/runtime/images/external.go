package images

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	contentproxy "github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/diff"
	diffproxy "github.com/containerd/containerd/v2/core/diff/proxy"
	"github.com/containerd/containerd/v2/core/leases"
	leasesproxy "github.com/containerd/containerd/v2/core/leases/proxy"
	snapshotsproxy "github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// messageLimit is containerd's own for its clients.
const messageLimit = 16 << 20

// dialContainerd speaks to a containerd that runs already. It must be on this machine: its layers' directories are used.
func dialContainerd(ctx context.Context, address, snapshotter string) (*backend, error) {
	path := strings.TrimPrefix(address, "unix://")
	conn, err := grpc.NewClient("passthrough:///"+path,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageLimit), grpc.MaxCallSendMsgSize(messageLimit)))
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w", address, err)
	}
	if err := makeNamespace(ctx, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("containerd at %s: %w", address, err), conn.Close())
	}
	manager := leasesproxy.NewLeaseManager(leasesapi.NewLeasesClient(conn))
	return &backend{
		content:     contentproxy.NewContentStore(contentapi.NewContentClient(conn)),
		images:      &remoteImages{imagesapi.NewImagesClient(conn)},
		snapshots:   snapshotsproxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), snapshotter),
		snapshotter: snapshotter,
		leases:      manager,
		applier:     diffproxy.NewDiffApplier(diffapi.NewDiffClient(conn)).(diff.Applier),
		shared:      true,
		collect:     func(ctx context.Context) error { return collectRemote(ctx, manager) },
		sync:        func() error { return nil },
		close:       conn.Close,
	}, nil
}

// makeNamespace also shows that containerd answers.
func makeNamespace(ctx context.Context, conn *grpc.ClientConn) error {
	// Older ones want to know in which namespace it happens that one is made.
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, Namespace), 10*time.Second)
	defer cancel()
	_, err := namespacesapi.NewNamespacesClient(conn).Create(ctx,
		&namespacesapi.CreateNamespaceRequest{Namespace: &namespacesapi.Namespace{Name: Namespace}})
	if err = errgrpc.ToNative(err); err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// collectRemote has containerd collect garbage now: it does so when a lease is deleted synchronously.
func collectRemote(ctx context.Context, manager leases.Manager) error {
	ctx = namespaces.WithNamespace(ctx, Namespace)
	l, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Hour))
	if err != nil {
		return err
	}
	return manager.Delete(ctx, l, leases.SynchronousDelete)
}
