// Package exampleimages builds the images of the examples, tests and benchmarks, without Docker: a static Go program and
// Debian's static busybox, each in an image of one layer. The same inputs give the same digests.
package exampleimages
