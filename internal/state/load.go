package state

import (
	"context"
	"fmt"
	"strings"
)

// load reads everything stored into new tables.
func (s *Store) load(ctx context.Context, term Term) (*Tables, error) {
	tables := newTables(s.w)
	byName := map[string]anyTable{}
	for id := range tableCount {
		byName[tables.table(id).name()] = tables.table(id)
	}
	in, after := newInterner(), ""
	for {
		page, err := term.Page(ctx, after, s.cfg.PageSize)
		if err != nil {
			return nil, fmt.Errorf("read after %q: %w", after, err)
		}
		if len(page) == 0 {
			return tables, nil
		}
		for _, e := range page {
			name, _, _ := strings.Cut(e.Key, "/")
			t := byName[name]
			if t == nil {
				return nil, fmt.Errorf("key %q is of no known table: was it written by a newer version?", e.Key)
			}
			row, key, err := t.decode(e.Value, in)
			if err != nil {
				return nil, fmt.Errorf("key %q: %w", e.Key, err)
			}
			if key != e.Key {
				return nil, fmt.Errorf("key %q holds the record of %q", e.Key, key)
			}
			t.replace(nil, row)
		}
		after = page[len(page)-1].Key
	}
}
