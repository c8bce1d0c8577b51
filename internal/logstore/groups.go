package logstore

import (
	"context"
	"sort"
	"strings"

	"roadstead.dev/roadstead/internal/fault"
)

// AlreadyExists is the kind of CloudWatch Logs' refusal to make a group or a stream twice.
const AlreadyExists fault.Kind = "ResourceAlreadyExistsException"

func noGroup() error {
	return fault.New(fault.ResourceNotFound, "The specified log group does not exist.")
}

func noStream() error {
	return fault.New(fault.ResourceNotFound, "The specified log stream does not exist.")
}

// CreateGroup makes a group of the given name, class, tags, retention and protection; id and creation time are set here.
func (s *Store) CreateGroup(ctx context.Context, g Group) error {
	return s.do(ctx, &request{size: 1024, run: func(t *tx) error {
		if s.group(g.Name) != nil {
			return fault.New(AlreadyExists, "The specified log group already exists")
		}
		made := g.clone()
		made.ID, made.Created, made.Bytes = t.nextID(), s.now(), 0
		return t.setGroup(&made)
	}})
}

// UpdateGroup changes a group's retention, class, protection or tags by fn. If fn returns an error nothing is changed.
func (s *Store) UpdateGroup(ctx context.Context, name string, fn func(*Group) error) error {
	return s.do(ctx, &request{size: 1024, deletes: true, run: func(t *tx) error {
		old := s.group(name)
		if old == nil {
			return noGroup()
		}
		g := old.clone()
		if err := fn(&g); err != nil {
			return err
		}
		g.ID, g.Name, g.Created = old.ID, old.Name, old.Created
		return t.setGroup(&g)
	}})
}

// DeleteGroup deletes a group with its streams and events. Its name is free again at once.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	return s.do(ctx, &request{size: 256, deletes: true, run: func(t *tx) error {
		g := s.group(name)
		if g == nil {
			return noGroup()
		}
		if g.Protected {
			return fault.New(fault.Validation, "The specified log group has deletion protection enabled and can't be deleted.")
		}
		for _, tag := range []byte{tagBytes, tagStream, tagName, tagDead, tagEvent, tagIndex} {
			if err := t.clear(prefixKey(tag, g.ID)); err != nil {
				return err
			}
		}
		if err := t.batch.Delete(groupKey(name), nil); err != nil {
			return err
		}
		delete(s.bytes, g.ID)
		delete(t.dirty, g.ID)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.groups, name)
		return nil
	}})
}

// group is the group of that name, nil if there is none. It must not be changed.
func (s *Store) group(name string) *Group {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.groups[name]
}

// Group describes a group.
func (s *Store) Group(name string) (Group, error) {
	if err := s.usable(); err != nil {
		return Group{}, err
	}
	g := s.group(name)
	if g == nil {
		return Group{}, noGroup()
	}
	return s.describe(g)
}

func (s *Store) describe(g *Group) (Group, error) {
	n, err := s.number(prefixKey(tagBytes, g.ID))
	if err != nil {
		return Group{}, err
	}
	c := g.clone()
	c.Bytes = int64(n)
	return c, nil
}

// GroupQuery asks for groups in the order of their names: those after After that have the prefix, contain the text and are
// of the class, at most Limit.
type GroupQuery struct {
	Prefix, Contains, Class, After string
	Limit                          int
}

// Groups lists groups, and tells whether there are more.
func (s *Store) Groups(q GroupQuery) (groups []Group, more bool, err error) {
	if err := s.usable(); err != nil {
		return nil, false, err
	}
	s.mu.RLock()
	var found []*Group
	for name, g := range s.groups {
		if name > q.After && strings.HasPrefix(name, q.Prefix) && strings.Contains(name, q.Contains) && (q.Class == "" || g.Class == q.Class) {
			found = append(found, g)
		}
	}
	s.mu.RUnlock()
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	for _, g := range found {
		if len(groups) == q.Limit {
			return groups, true, nil
		}
		d, err := s.describe(g)
		if err != nil {
			return nil, false, err
		}
		groups = append(groups, d)
	}
	return groups, false, nil
}
