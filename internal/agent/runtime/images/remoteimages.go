package images

import (
	"context"

	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// remoteImages are the records of a containerd in another process. (containerd's own adapter is in its client package,
// which brings in its tasks, sandboxes and transfers, too.)
type remoteImages struct {
	client imagesapi.ImagesClient
}

var _ records = (*remoteImages)(nil)

func (r *remoteImages) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	resp, err := r.client.List(ctx, &imagesapi.ListImagesRequest{Filters: filters})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	list := make([]images.Image, 0, len(resp.Images))
	for _, i := range resp.Images {
		list = append(list, fromProto(i))
	}
	return list, nil
}

func (r *remoteImages) Create(ctx context.Context, image images.Image) (images.Image, error) {
	resp, err := r.client.Create(ctx, &imagesapi.CreateImageRequest{Image: toProto(image)})
	if err != nil {
		return images.Image{}, errgrpc.ToNative(err)
	}
	return fromProto(resp.Image), nil
}

func (r *remoteImages) Update(ctx context.Context, image images.Image, fieldpaths ...string) (images.Image, error) {
	req := &imagesapi.UpdateImageRequest{Image: toProto(image)}
	if len(fieldpaths) > 0 {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: fieldpaths}
	}
	resp, err := r.client.Update(ctx, req)
	if err != nil {
		return images.Image{}, errgrpc.ToNative(err)
	}
	return fromProto(resp.Image), nil
}

func (r *remoteImages) Delete(ctx context.Context, name string, opts ...images.DeleteOpt) error {
	var o images.DeleteOptions
	for _, opt := range opts {
		if err := opt(ctx, &o); err != nil {
			return err
		}
	}
	_, err := r.client.Delete(ctx, &imagesapi.DeleteImageRequest{Name: name, Sync: o.Synchronous})
	return errgrpc.ToNative(err)
}

func toProto(i images.Image) *imagesapi.Image {
	return &imagesapi.Image{Name: i.Name, Labels: i.Labels, Target: &types.Descriptor{
		MediaType: i.Target.MediaType, Digest: i.Target.Digest.String(), Size: i.Target.Size,
	}}
}

func fromProto(i *imagesapi.Image) images.Image {
	return images.Image{
		Name: i.GetName(), Labels: i.GetLabels(),
		Target: ocispec.Descriptor{
			MediaType: i.GetTarget().GetMediaType(), Digest: digest.Digest(i.GetTarget().GetDigest()), Size: i.GetTarget().GetSize(),
		},
		CreatedAt: i.GetCreatedAt().AsTime(), UpdatedAt: i.GetUpdatedAt().AsTime(),
	}
}
