package images

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// holds are who uses which image. They are kept on disk too, as symbolic links from the holder's name to the image's
// digest, because containers outlive the agent, and a command that removes an image may run while no agent does. They are
// written behind the caller's back, for a container's start is not to wait for a disk's journal: a hold of the last
// moment before a kill may be missing until the agent is back and makes it again.
type holds struct {
	dir string
	log *slog.Logger

	mu sync.Mutex
	// by is the image's digest, by holder. mine are those made in this process.
	by   map[string]string
	mine map[string]bool
	// stale are the holders whose links are not as they should be.
	stale   map[string]bool
	closed  bool
	changed *sync.Cond
	written chan struct{}
}

func (h *holds) open(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	h.dir, h.log = dir, log
	h.by, h.mine, h.stale = map[string]string{}, map[string]bool{}, map[string]bool{}
	h.changed, h.written = sync.NewCond(&h.mu), make(chan struct{})
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		holder, err := url.PathUnescape(f.Name())
		if err != nil {
			continue
		}
		key, err := os.Readlink(filepath.Join(dir, f.Name()))
		if err != nil {
			return fmt.Errorf("read who uses an image: %w", err)
		}
		h.by[holder] = key
	}
	go h.write()
	return nil
}

// write brings the links up to date until close is called.
func (h *holds) write() {
	defer close(h.written)
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		for len(h.stale) == 0 {
			if h.closed {
				return
			}
			h.changed.Wait()
		}
		for holder := range h.stale {
			delete(h.stale, holder)
			key := h.by[holder]
			h.mu.Unlock()
			if err := h.link(holder, key); err != nil {
				h.log.Warn("who uses an image is not on disk as it should be", "holder", holder, "image", key, "err", err)
			}
			h.mu.Lock()
		}
	}
}

// link makes a holder's link lead to key, or removes it if there is none.
func (h *holds) link(holder, key string) error {
	path := filepath.Join(h.dir, url.PathEscape(holder))
	if key == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	err := os.Symlink(key, path)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(key, path)
}

// close writes what is not written yet.
func (h *holds) close() {
	h.mu.Lock()
	if h.changed == nil {
		h.mu.Unlock()
		return
	}
	h.closed = true
	h.changed.Signal()
	h.mu.Unlock()
	<-h.written
}

func (h *holds) add(holder, key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mine[holder] = true
	if h.by[holder] != key {
		h.by[holder] = key
		h.touch(holder)
	}
}

// touch has a holder's link written; h.mu is held.
func (h *holds) touch(holder string) {
	h.stale[holder] = true
	h.changed.Signal()
}

// drop gives what the holder held, or "".
func (h *holds) drop(holder string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := h.by[holder]
	if key != "" {
		delete(h.by, holder)
		delete(h.mine, holder)
		h.touch(holder)
	}
	return key
}

// of gives those who hold an image, in order.
func (h *holds) of(key string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for holder, k := range h.by {
		if k == key {
			list = append(list, holder)
		}
	}
	slices.Sort(list)
	return list
}

// settle drops the holds of an earlier process whose holders are not live, and gives what they held.
func (h *holds) settle(live func(holder string) bool) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var keys []string
	for holder, key := range h.by {
		if !h.mine[holder] && !live(holder) {
			keys = append(keys, key)
			delete(h.by, holder)
			h.touch(holder)
		}
	}
	return keys
}
