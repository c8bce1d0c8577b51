// Package images keeps a node's images: it pulls them from registries, reads them from archives and unpacks their layers,
// so that a container is an overlay over directories that are here already. docs/design/images.md says how.
//
// It is containerd's content store, metadata and snapshotter, as libraries in this process, or those of a containerd
// that runs already. No call to containerd is made for a container of an image that is ready.
package images
