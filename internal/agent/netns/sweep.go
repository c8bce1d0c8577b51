package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Sweep removes the networks of containers that live does not know, and whatever else earlier runs left of this manager:
// namespaces and interfaces that nothing tells of. What belongs to others is not looked at. Setups may go on beside it,
// if live knows their ids.
func (m *Manager) Sweep(ctx context.Context, live func(id string) bool) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	ids := make([]string, 0, len(m.networks))
	for id := range m.networks {
		ids = append(ids, id)
	}
	m.mu.Unlock()
	left, err := m.store.namespaces()
	if err != nil {
		return err
	}
	errs := m.sweepIDs(ctx, append(ids, left...), live)
	return errors.Join(append(errs, m.sweepVeths())...)
}

// sweepers is how many networks are removed at once; what they wait for, they wait for together.
const sweepers = 64

func (m *Manager) sweepIDs(ctx context.Context, ids []string, live func(string) bool) []error {
	var group errgroup.Group
	group.SetLimit(sweepers)
	errs := make([]error, len(ids)+1)
	for i, id := range ids {
		if errs[len(ids)] = ctx.Err(); errs[len(ids)] != nil {
			break
		}
		if live(id) {
			continue
		}
		group.Go(func() error {
			errs[i] = m.sweepOne(id)
			return nil
		})
	}
	_ = group.Wait() // each has its own place in errs
	return errs
}

// sweepOne removes what is left of an id; one that is no id can only be a stray file.
func (m *Manager) sweepOne(id string) error {
	if !idForm.MatchString(id) {
		return os.RemoveAll(filepath.Join(m.store.netnsDir(), id))
	}
	defer m.ids.lock(id)()
	if err := m.teardown(id); err != nil {
		return fmt.Errorf("sweep network of %s: %w", id, err)
	}
	return nil
}

// sweepVeths removes interfaces of the bridge that belong to no network.
func (m *Manager) sweepVeths() error {
	names, err := m.links.veths(m.bridge)
	if err != nil {
		return err
	}
	m.mu.Lock()
	known := make(map[string]bool, len(m.networks))
	for _, a := range m.networks {
		known[a.Veth] = true
	}
	m.mu.Unlock()
	var errs []error
	for _, name := range names {
		if !known[name] {
			errs = append(errs, m.links.deleteLink(name))
		}
	}
	return errors.Join(errs...)
}
