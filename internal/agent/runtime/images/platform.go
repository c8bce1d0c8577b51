package images

import (
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// machine matches what this machine runs natively: its own architecture and the older variants of it, and not another
// architecture that it could run, too (386 on amd64), as ECS has it.
type machine struct {
	platforms.MatchComparer
	architecture string
}

func thisMachine() platforms.MatchComparer {
	spec := platforms.DefaultSpec()
	return machine{platforms.Only(spec), spec.Architecture}
}

func (m machine) Match(p ocispec.Platform) bool {
	return p.Architecture == m.architecture && m.MatchComparer.Match(p)
}
