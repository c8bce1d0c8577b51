package state

// batch is a group of Updates that become durable together.
type batch struct {
	changes []change
	index   map[string]int
	// bytes is the size of what is to be written, by Limits' measure.
	bytes int
	// tables are those after the batch, from when it takes no more Updates.
	tables *Tables
	// done is closed once the fate of the batch is known; err is set before it.
	done chan struct{}
	err  error
}

func newBatch() *batch { return &batch{index: map[string]int{}, done: make(chan struct{})} }

func (b *batch) empty() bool { return len(b.changes) == 0 }

// fail lets the batch's Updates return with an error.
func (b *batch) fail(err error) {
	b.err = err
	close(b.done)
}

// fits tells whether a Tx's changes can join. What is written twice counts once only if that is seen cheaply, so the
// answer may be no where there is just enough room.
func (b *batch) fits(changes []change, ops, bytes int) bool {
	if len(b.changes)+len(changes) > ops {
		return false
	}
	return b.bytes+sizeOf(changes) <= bytes
}

// join adds a Tx's changes.
func (b *batch) join(changes []change) {
	for _, c := range changes {
		i, ok := b.index[c.key]
		if !ok {
			b.index[c.key] = len(b.changes)
			b.changes = append(b.changes, c)
			b.bytes += c.size()
			continue
		}
		was := &b.changes[i]
		b.bytes += len(c.value) - len(was.value)
		was.new, was.value = c.new, c.value
	}
}

// ops is what is to be written.
func (b *batch) ops() []Op {
	ops := make([]Op, 0, len(b.changes))
	for _, c := range b.changes {
		if c.old == nil && c.new == nil {
			continue
		}
		ops = append(ops, Op{Key: c.key, Value: c.value})
	}
	return ops
}

// opOverhead is what a store adds to a key and a value on their way, at most: lengths, tags, a flag.
const opOverhead = 24

func (c *change) size() int { return len(c.key) + len(c.value) + opOverhead }

func sizeOf(changes []change) int {
	n := 0
	for i := range changes {
		n += changes[i].size()
	}
	return n
}
