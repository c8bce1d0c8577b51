package exampleimages

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// epoch is when everything in the images was made, so that digests depend on what is in them alone.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// entry is a file of a layer: a directory if its path ends in a slash, a symbolic link if it has a target.
type entry struct {
	path, target string
	mode         int64
	body         []byte
}

// base is what programs expect of any system.
func base() []entry {
	return []entry{
		{path: "bin/", mode: 0o755}, {path: "dev/", mode: 0o755}, {path: "etc/", mode: 0o755}, {path: "home/", mode: 0o755},
		{path: "proc/", mode: 0o755}, {path: "root/", mode: 0o700}, {path: "sbin/", mode: 0o755}, {path: "sys/", mode: 0o755},
		{path: "tmp/", mode: 0o1777}, {path: "usr/", mode: 0o755}, {path: "usr/bin/", mode: 0o755}, {path: "usr/sbin/", mode: 0o755},
		{path: "var/", mode: 0o755}, {path: "var/tmp/", mode: 0o1777},
		{path: "etc/passwd", mode: 0o644, body: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{path: "etc/group", mode: 0o644, body: []byte("root:x:0:\nnobody:x:65534:\n")},
	}
}

// applets are links to bin/busybox, one for each line of busybox --list-full.
func applets(list string) []entry {
	var links []entry
	for _, p := range strings.Fields(list) {
		p = strings.TrimPrefix(path.Clean("/"+p), "/")
		if p == "bin/busybox" || p == "linuxrc" {
			continue
		}
		up := strings.Repeat("../", strings.Count(p, "/"))
		links = append(links, entry{path: p, mode: 0o777, target: up + "bin/busybox"})
	}
	slices.SortFunc(links, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return links
}

// image is an image of one layer for this machine's architecture.
func image(files []entry, config v1.Config) (v1.Image, error) {
	var b bytes.Buffer
	if err := writeLayer(&b, files); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: epoch}, CreatedBy: "roadstead.dev/roadstead/internal/exampleimages",
	}})
	if err != nil {
		return nil, err
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Created, cf.Config = "linux", runtime.GOARCH, v1.Time{Time: epoch}, config
	return mutate.ConfigFile(img, cf)
}

func writeLayer(w io.Writer, files []entry) error {
	tw := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.body)), ModTime: epoch, Format: tar.FormatPAX}
		switch {
		case f.target != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.target
		case strings.HasSuffix(f.path, "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		if _, err := tw.Write(f.body); err != nil {
			return fmt.Errorf("layer: %s: %w", f.path, err)
		}
	}
	return tw.Close()
}

// checkStatic sees that a program needs no loader, for there is none in the image.
func checkStatic(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static: install Debian's package busybox-static", program)
		}
	}
	return nil
}
