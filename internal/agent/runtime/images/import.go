package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// archiveEntries is how many files an archive may have. An image has a few for each of at most 500 layers.
const archiveEntries = 20000

// ErrArchive is wrapped by what is returned for an archive that cannot be read as images.
var ErrArchive = errors.New("not a usable image archive")

// Import reads a docker-save or OCI-layout archive, as it is or compressed by gzip or zstd, and unpacks the images in it for
// this machine's platform. On an error nothing of it is listed.
func (s *Store) Import(ctx context.Context, r io.Reader) ([]*runtime.Image, error) {
	return s.ImportAs(ctx, r, "")
}

// ImportAs imports an archive of one image by a name of the caller's choice, or, with none, by the names in the archive.
func (s *Store) ImportAs(ctx context.Context, r io.Reader, name string) ([]*runtime.Image, error) {
	if name != "" {
		full, err := Normalize(name)
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		if digestOf(full) != "" {
			return nil, fmt.Errorf("import: %w %q: an image cannot be given a name with a digest", ErrName, name)
		}
		name = full
	}
	ctx, cancel := s.context(ctx)
	defer cancel()
	var list []*runtime.Image
	err := s.work(ctx, func(ctx context.Context) (err error) {
		list, err = s.importArchive(ctx, r, name)
		return err
	})
	if err != nil {
		return nil, explain(ctx, fmt.Errorf("import: %w", err))
	}
	return list, nil
}

func (s *Store) importArchive(ctx context.Context, r io.Reader, name string) ([]*runtime.Image, error) {
	index, err := s.ingest(ctx, r)
	if err != nil {
		return nil, err
	}
	var idx ocispec.Index
	if err := s.readJSON(ctx, index, manifestLimit, nil, &idx); err != nil {
		return nil, errors.Join(ErrArchive, err)
	}
	found, err := s.group(idx, name)
	if err != nil {
		return nil, err
	}
	// All are looked at before any is recorded: an archive is imported as a whole, or not.
	for i := range found {
		found[i].c, err = s.choose(ctx, found[i].names[0], found[i].desc, nil)
		if err != nil {
			return nil, err
		}
		if err := s.unpack(ctx, found[i].c, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", found[i].names[0], err)
		}
	}
	var list []*runtime.Image
	for _, f := range found {
		entries, err := s.install(ctx, f.names, f.c, map[string]string{LabelImported: "true"}, nil)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			image := e.image
			list = append(list, &image)
		}
	}
	return list, nil
}

// found is an image in an archive.
type found struct {
	names []string
	desc  ocispec.Descriptor
	c     *chosen
}

// group puts the entries of an archive's index together by image.
func (s *Store) group(idx ocispec.Index, name string) ([]found, error) {
	var list []found
	at := map[string]int{}
	for _, d := range idx.Manifests {
		if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
			continue
		}
		n := name
		if n == "" {
			n = importedName(d.Annotations, images.AnnotationImageName, ocispec.AnnotationRefName)
		}
		if n == "" {
			return nil, fmt.Errorf("%w: the image %s in it has no name: give one", ErrArchive, d.Digest)
		}
		i, ok := at[d.Digest.String()]
		if !ok {
			i = len(list)
			at[d.Digest.String()] = i
			list = append(list, found{desc: ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}})
		}
		list[i].names = append(list[i].names, n)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: there is no image in it", ErrArchive)
	}
	if name != "" && len(list) > 1 {
		return nil, fmt.Errorf("%w: there are %d images in it, which cannot all be %s", ErrArchive, len(list), name)
	}
	return list, nil
}

// ingest puts an archive's files into the content store and gives the index of what it holds.
func (s *Store) ingest(ctx context.Context, r io.Reader) (ocispec.Descriptor, error) {
	plain, err := compression.DecompressStream(r)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer plain.Close()
	pr, pw := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := check(plain, pw)
		pw.CloseWithError(err)
		checked <- err
	}()
	index, err := archive.ImportIndex(ctx, s.back.content, pr)
	pr.CloseWithError(errors.New("import ended"))
	if wrong := <-checked; err != nil && wrong != nil && errors.Is(err, wrong) {
		err = wrong
	}
	if err != nil && ctx.Err() == nil && !diskFull(err) {
		err = fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return index, err
}

// check passes an archive on file by file, as long as it looks like one of images: containerd's importer puts each file of
// it into the store under its digest, whatever it is called, and however many there are.
func check(r io.Reader, w io.Writer) error {
	tr, tw := tar.NewReader(r), tar.NewWriter(w)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return errors.New("it is empty")
			}
			return tw.Close()
		}
		if err != nil {
			return fmt.Errorf("read tar: %w", err)
		}
		if n >= archiveEntries {
			return fmt.Errorf("more than %d files", archiveEntries)
		}
		if err := checkHeader(h); err != nil {
			return err
		}
		out := &tar.Header{Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Size: h.Size, Mode: 0o644}
		if err := tw.WriteHeader(out); err != nil {
			return fmt.Errorf("file %q: %w", h.Name, err)
		}
		if _, err := io.Copy(tw, tr); err != nil {
			return fmt.Errorf("file %q: %w", h.Name, err)
		}
	}
}

func checkHeader(h *tar.Header) error {
	inside := func(name string) bool {
		clean := path.Clean(name)
		return !path.IsAbs(clean) && clean != ".." && !strings.HasPrefix(clean, "../")
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeSymlink:
		if !inside(path.Join(path.Dir(h.Name), h.Linkname)) || path.IsAbs(h.Linkname) {
			return fmt.Errorf("link %q to %q leads out of the archive", h.Name, h.Linkname)
		}
	default:
		return fmt.Errorf("%q is neither a file nor a directory", h.Name)
	}
	if !inside(h.Name) {
		return fmt.Errorf("file %q is outside of the archive", h.Name)
	}
	return nil
}
