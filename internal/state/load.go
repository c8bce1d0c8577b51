package state

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"roadstead.dev/roadstead/internal/secrets"
)

// load reads everything stored into new tables: one goroutine reads page after page, several decode them, and this one
// fills the tables in the keys' order.
func (s *Store) load(ctx context.Context, term Term) (*Tables, error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	l := &loader{term: term, pageSize: s.cfg.PageSize, work: make(chan *page), inOrder: make(chan *page, 2*runtime.GOMAXPROCS(0))}
	running.Go(func() { l.read(ctx) })
	for range runtime.GOMAXPROCS(0) {
		running.Go(l.decode)
	}
	tables := newTables(s.w)
	for p := range l.inOrder {
		<-p.decoded
		if p.err != nil {
			return nil, p.err
		}
		for _, r := range p.rows {
			tables.table(r.table).replace(nil, r.row)
		}
	}
	return tables, nil
}

// ReadSystemKeys makes a table of stored entries of [SystemKeysTable]: for a server that does not lead yet.
func ReadSystemKeys(entries []Entry) (*Records[secrets.SystemKey], error) {
	keys := newRecords(newWriter(), systemKeys)
	for _, e := range entries {
		row, key, err := keys.decode(e.Value, newInterner())
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", e.Key, err)
		}
		if key != e.Key {
			return nil, fmt.Errorf("key %q: it holds the record of %q", e.Key, key)
		}
		keys.replace(nil, row)
	}
	return keys, nil
}

type loader struct {
	term     Term
	pageSize int
	// Both get every page: work those who decode, inOrder who fills the tables.
	work, inOrder chan *page
}

type page struct {
	entries []Entry
	rows    []loadedRow
	// err is why the page could not be read or decoded.
	err error
	// decoded is closed when rows or err are set.
	decoded chan struct{}
}

type loadedRow struct {
	table tableID
	row   any
}

// read ends when everything is read, an error has been handed on, or ctx ends.
func (l *loader) read(ctx context.Context) {
	defer close(l.work)
	defer close(l.inOrder)
	for after := ""; ; {
		entries, err := l.term.Page(ctx, after, l.pageSize)
		if err == nil && len(entries) == 0 {
			return
		}
		p := &page{entries: entries, decoded: make(chan struct{})}
		if err != nil {
			p.err = fmt.Errorf("read after %q: %w", after, err)
			close(p.decoded)
		}
		select {
		case l.inOrder <- p:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		after = entries[len(entries)-1].Key
		select {
		case l.work <- p:
		case <-ctx.Done():
			return
		}
	}
}

// decode ends when there is no more work.
func (l *loader) decode() {
	in, byName := newInterner(), map[string]tableID{}
	empty := newTables(nil)
	for id := range tableCount {
		byName[empty.table(id).name()] = id
	}
	for p := range l.work {
		p.rows = make([]loadedRow, 0, len(p.entries))
		for _, e := range p.entries {
			r, err := decodeEntry(e, empty, byName, in)
			if err != nil {
				p.err = fmt.Errorf("key %q: %w", e.Key, err)
				break
			}
			p.rows = append(p.rows, r)
		}
		p.entries = nil
		close(p.decoded)
	}
}

func decodeEntry(e Entry, tables *Tables, byName map[string]tableID, in *interner) (loadedRow, error) {
	name, _, _ := strings.Cut(e.Key, "/")
	id, ok := byName[name]
	if !ok {
		return loadedRow{}, fmt.Errorf("no known table: was it written by a newer version?")
	}
	row, key, err := tables.table(id).decode(e.Value, in)
	if err != nil {
		return loadedRow{}, err
	}
	if key != e.Key {
		return loadedRow{}, fmt.Errorf("it holds the record of %q", key)
	}
	return loadedRow{id, row}, nil
}
