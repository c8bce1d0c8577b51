package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

func (m *Manager) sweepIDs(ctx context.Context, ids []string, live func(string) bool) (errs []error) {
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return append(errs, err)
		}
		if live(id) {
			continue
		}
		if !idForm.MatchString(id) {
			errs = append(errs, os.RemoveAll(filepath.Join(m.store.netnsDir(), id)))
			continue
		}
		if err := m.sweepOne(id); err != nil {
			errs = append(errs, fmt.Errorf("sweep network of %s: %w", id, err))
		}
	}
	return errs
}

func (m *Manager) sweepOne(id string) error {
	defer m.ids.lock(id)()
	return m.teardown(id)
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
