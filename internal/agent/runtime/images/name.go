package images

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// dangling is the repository under which an image is kept that lost its name to a newer one while it was in use.
const dangling = "roadstead.local/replaced"

// ErrName is wrapped by what is returned for a name that is no image's.
var ErrName = errors.New("invalid reference")

// Normalize gives a reference in full, as Docker does: busybox is docker.io/library/busybox:latest. A digest wins over a tag
// beside it.
func Normalize(name string) (string, error) {
	ref, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", fmt.Errorf("%w %q: %w", ErrName, name, err)
	}
	return ref.String(), nil
}

// digestOf gives the digest by which a normalised name asks, empty for a tag.
func digestOf(name string) digest.Digest {
	if _, d, ok := strings.Cut(name, "@"); ok {
		return digest.Digest(d)
	}
	return ""
}

// domainOf gives the registry of a normalised name.
func domainOf(name string) string {
	domain, _, _ := strings.Cut(name, "/")
	return domain
}

// importedName gives the name that an archive has for an image, or "" if it has none that can be used.
func importedName(annotations map[string]string, keys ...string) string {
	for _, key := range keys {
		name := annotations[key]
		// A bare tag, as some write it in an OCI layout, names no repository.
		if !strings.ContainsAny(name, "/:") {
			continue
		}
		if full, err := Normalize(name); err == nil {
			return full
		}
	}
	return ""
}
