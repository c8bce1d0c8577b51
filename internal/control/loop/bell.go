package loop

import (
	"maps"
	"slices"
	"sync"
)

// Bell tells a controller of what happens and is no commit, such as an agent that connects. Ring never blocks; what is rung twice
// before the controller hears of it is heard once. The zero value is ready.
type Bell struct {
	mu   sync.Mutex
	rung map[string]bool
	wake chan struct{}
}

// AlarmBell begins what a bell is rung with for an alarm whose state changed: AlarmBell and its name.
const AlarmBell = "alarm/"

// Ring tells of a name.
func (b *Bell) Ring(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = map[string]bool{}
	}
	b.rung[name] = true
	select {
	case b.channel() <- struct{}{}:
	default:
	}
}

// channel has something in it when names wait. mu is held.
func (b *Bell) channel() chan struct{} {
	if b.wake == nil {
		b.wake = make(chan struct{}, 1)
	}
	return b.wake
}

// heard is the channel to wait on; nil, which never wakes, for no bell.
func (b *Bell) heard() <-chan struct{} {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.channel()
}

// take gives the names that were rung since the last time.
func (b *Bell) take() []string {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	names := slices.Collect(maps.Keys(b.rung))
	clear(b.rung)
	return names
}
