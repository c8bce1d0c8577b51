package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// keyOf gives the digest by which an image is held: the manifest's, whatever it was asked for by.
func (s *Store) keyOf(image *runtime.Image) string {
	if name, err := Normalize(image.Name); err == nil {
		if e := s.cached(name); e != nil && e.image.Digest == image.Digest {
			return e.key
		}
	}
	return image.Digest
}

// Hold keeps an image from being removed, also by later processes, until Release or Settle.
func (s *Store) Hold(image *runtime.Image, holder string) {
	s.holds.add(holder, s.keyOf(image))
}

// Release ends a Hold. It is no error if there is none.
func (s *Store) Release(holder string) {
	if key := s.holds.drop(holder); key != "" {
		s.released(key)
	}
}

// released collects images that were replaced while they were held.
func (s *Store) released(keys ...string) {
	for _, e := range s.entries() {
		if slices.Contains(keys, e.key) && e.record.Labels[labelReplaced] != "" {
			s.busy.begin()
			s.busy.end(true, s.collect)
			return
		}
	}
}

// Settle ends the holds of an earlier process whose holders are not live, and that were not made again in this one. Holders
// are containers: the layers of one that live leaves out may go.
func (s *Store) Settle(live func(holder string) bool) {
	s.released(s.holds.settle(live)...)
}

// Remove deletes an image by its name, and what only it needs. It fails with ErrInUse while anybody holds the image.
func (s *Store) Remove(ctx context.Context, name string) error {
	full := name
	if !strings.HasPrefix(name, dangling+"@") {
		var err error
		if full, err = Normalize(name); err != nil {
			return fmt.Errorf("remove image: %w", err)
		}
	}
	ctx, cancel := s.context(ctx)
	defer cancel()
	if err := s.locks.Lock(ctx, "image:"+full); err != nil {
		return err
	}
	defer s.locks.Unlock("image:" + full)
	e := s.cached(full)
	if e == nil {
		return fmt.Errorf("remove image %s: %w", name, runtime.ErrNotFound)
	}
	held, err := s.drop(ctx, e)
	if err != nil {
		return fmt.Errorf("remove image %s: %w", name, err)
	}
	if len(held) > 0 {
		more := ""
		if len(held) > 3 {
			held, more = held[:3], fmt.Sprintf(" and %d more", len(held)-3)
		}
		return fmt.Errorf("remove image %s: %w by %s%s", name, ErrInUse, strings.Join(held, ", "), more)
	}
	s.busy.begin()
	s.busy.end(true, s.collect)
	s.busy.settle()
	return nil
}

// drop deletes an image's record, unless somebody holds the image; what it kept is collected later. Whoever holds an image and
// finds it listed afterwards has it for good.
func (s *Store) drop(ctx context.Context, e *entry) (held []string, err error) {
	name := e.record.Name
	s.mu.Lock()
	if held = s.holds.of(e.key); len(held) > 0 || s.ready[name] != e {
		s.mu.Unlock()
		return held, nil
	}
	delete(s.ready, name)
	s.mu.Unlock()
	err = s.back.images.Delete(ctx, name, images.SynchronousDelete())
	if err == nil || errdefs.IsNotFound(err) {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready[name] == nil {
		s.ready[name] = e
	}
	return nil, err
}

// keepReplaced records an image once more, under a name of its digest, because its name goes to another.
func (s *Store) keepReplaced(ctx context.Context, old *entry) error {
	r := images.Image{Name: dangling + "@" + old.key, Target: old.record.Target, Labels: map[string]string{labelReplaced: old.record.Name}}
	for _, k := range []string{labelView, labelManifest, labelKeep + s.back.snapshotter} {
		r.Labels[k] = old.record.Labels[k]
	}
	_, err := s.put(ctx, r)
	return err
}

// dropReplaced deletes the replaced images that nobody holds.
func (s *Store) dropReplaced(ctx context.Context) error {
	var errs []error
	for _, e := range s.entries() {
		if e.record.Labels[labelReplaced] == "" || time.Since(e.record.UpdatedAt) < s.cfg.Grace {
			continue
		}
		held, err := s.drop(ctx, e)
		if err != nil {
			errs = append(errs, err)
		} else if len(held) == 0 {
			s.log.Debug("dropped a replaced image", "name", e.record.Labels[labelReplaced], "digest", e.key)
		}
	}
	return errors.Join(errs...)
}

func (s *Store) entries() []*entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*entry, 0, len(s.ready))
	for _, e := range s.ready {
		list = append(list, e)
	}
	return list
}

// List gives the images that are ready, by name.
func (s *Store) List(context.Context) ([]*runtime.Image, error) {
	entries := s.entries()
	slices.SortFunc(entries, func(a, b *entry) int { return strings.Compare(a.record.Name, b.record.Name) })
	list := make([]*runtime.Image, len(entries))
	for i, e := range entries {
		image := e.image
		list[i] = &image
	}
	return list, nil
}
