package fake

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

var _ runtime.Images = (*Images)(nil)

// PullBehaviour is how the pull of an image fares.
type PullBehaviour struct {
	Delay time.Duration
	// Error is what the pull fails with.
	Error string
	// Config is the image's own; without any command it is a shell.
	Config runtime.ImageConfig
}

// Images is a runtime.Images with every image there is. The zero value is ready; Behave, if set before use, decides in
// place of FromName.
type Images struct {
	Behave func(name string) PullBehaviour

	mu     sync.Mutex
	images map[string]*runtime.Image
	pulls  map[string]*pull
	holds  map[string]*runtime.Image
	// asked counts the pulls that went as far as the registry.
	asked int
}

type pull struct {
	done  chan struct{}
	image *runtime.Image
	err   error
}

// FromName reads a pull's behaviour from the image's name: one that contains "missing" is not in the registry, "denied"
// wants credentials, and "slow" takes a second.
func FromName(name string) PullBehaviour {
	var b PullBehaviour
	switch {
	case strings.Contains(name, "missing"):
		b.Error = fmt.Sprintf("failed to resolve reference %q: %s: not found", name, name)
	case strings.Contains(name, "denied"):
		b.Error = fmt.Sprintf("pull access denied for %s, repository does not exist or may require authorization", name)
	case strings.Contains(name, "slow"):
		b.Delay = time.Second
	}
	return b
}

// Pull makes an image up. Pulls of one name at one time are one; each caller may give up on its own.
func (im *Images) Pull(ctx context.Context, name string, opts runtime.PullOptions) (*runtime.Image, error) {
	im.mu.Lock()
	cached := im.images[name]
	if cached != nil && (opts.Policy == runtime.PullOnce || opts.Policy == runtime.PullPreferCached) {
		im.mu.Unlock()
		return cached, nil
	}
	p := im.pulls[name]
	if p == nil {
		p = im.begin(name)
	}
	im.mu.Unlock()
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("pull %s: %w", name, ctx.Err())
	}
	if p.err != nil && cached != nil && opts.Policy == runtime.PullDefault {
		return cached, nil
	}
	return p.image, p.err
}

// begin asks the registry; im.mu is held.
func (im *Images) begin(name string) *pull {
	b := FromName(name)
	if im.Behave != nil {
		b = im.Behave(name)
	}
	p := &pull{done: make(chan struct{})}
	im.asked++
	if b.Delay == 0 {
		im.end(name, p, b)
		return p
	}
	if im.pulls == nil {
		im.pulls = map[string]*pull{}
	}
	im.pulls[name] = p
	time.AfterFunc(b.Delay, func() {
		im.mu.Lock()
		defer im.mu.Unlock()
		delete(im.pulls, name)
		im.end(name, p, b)
	})
	return p
}

func (im *Images) end(name string, p *pull, b PullBehaviour) {
	defer close(p.done)
	if b.Error != "" {
		p.err = fmt.Errorf("%s", b.Error)
		return
	}
	if p.image = im.images[name]; p.image != nil {
		return
	}
	config := b.Config
	if len(config.Cmd) == 0 && len(config.Entrypoint) == 0 {
		config.Cmd = []string{"/bin/sh"}
	}
	p.image = &runtime.Image{Name: name, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))), Size: 1 << 20, Config: config, Created: time.Now()}
	if im.images == nil {
		im.images = map[string]*runtime.Image{}
	}
	im.images[name] = p.image
}

// Import is refused: there is nothing to unpack.
func (im *Images) Import(context.Context, io.Reader) ([]*runtime.Image, error) {
	return nil, fmt.Errorf("import image: a fake has every image already")
}

// List gives the images that were pulled.
func (im *Images) List(context.Context) ([]*runtime.Image, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	list := make([]*runtime.Image, 0, len(im.images))
	for _, image := range im.images {
		list = append(list, image)
	}
	slices.SortFunc(list, func(a, b *runtime.Image) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Remove forgets an image that nobody holds.
func (im *Images) Remove(_ context.Context, name string) error {
	im.mu.Lock()
	defer im.mu.Unlock()
	image := im.images[name]
	if image == nil {
		return fmt.Errorf("remove image %s: %w", name, runtime.ErrNotFound)
	}
	for _, held := range im.holds {
		if held == image {
			return fmt.Errorf("remove image %s: it is in use", name)
		}
	}
	delete(im.images, name)
	return nil
}

// Hold keeps an image from being removed.
func (im *Images) Hold(image *runtime.Image, holder string) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if im.holds == nil {
		im.holds = map[string]*runtime.Image{}
	}
	im.holds[holder] = image
}

// Release ends a Hold.
func (im *Images) Release(holder string) {
	im.mu.Lock()
	defer im.mu.Unlock()
	delete(im.holds, holder)
}

// Settle releases nothing: there is no earlier process.
func (im *Images) Settle(func(string) bool) {}

// Holders counts the holds that were not released, and Asked the pulls that went as far as the registry: for tests.
func (im *Images) Holders() int {
	im.mu.Lock()
	defer im.mu.Unlock()
	return len(im.holds)
}

// Asked counts the pulls that went as far as the registry.
func (im *Images) Asked() int {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.asked
}
