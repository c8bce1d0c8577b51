package events

import (
	"fmt"
	"log/slog"
	"sync"

	"roadstead.dev/roadstead/internal/events/pattern"
	"roadstead.dev/roadstead/internal/state"
)

// Patterns finds the rules that match events, and reads each rule's pattern once. It is safe for concurrent use.
type Patterns struct {
	log *slog.Logger

	mu sync.Mutex
	// read has the patterns by the rules as they are stored; nil is one that cannot be read.
	read map[*state.EventRule]*pattern.Pattern
}

// NewPatterns makes Patterns, which tell log of those that cannot be read: PutRule lets none in.
func NewPatterns(log *slog.Logger) *Patterns {
	return &Patterns{log: log, read: map[*state.EventRule]*pattern.Pattern{}}
}

// Matching gives the rules of a bus that an event, as JSON, is for. The error says that it is no event.
func (p *Patterns) Matching(rules *state.Records[state.EventRule], bus, event string) (out []*state.EventRule, err error) {
	var decoded map[string]any
	for rule := range rules.Under(bus) {
		if !rule.Listens() {
			continue
		}
		if decoded == nil {
			if decoded, err = pattern.Decode(event); err != nil {
				return nil, fmt.Errorf("read the event: %w", err)
			}
		}
		if one := p.of(rule, rules.Len()); one != nil && one.Match(decoded) {
			out = append(out, rule)
		}
	}
	return out, nil
}

func (p *Patterns) of(rule *state.EventRule, rules int) *pattern.Pattern {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.read[rule]
	if ok {
		return one
	}
	if len(p.read) > 2*rules+64 {
		clear(p.read) // Rules that were replaced.
	}
	one, err := pattern.Parse(rule.Pattern)
	if err != nil {
		p.log.Error("a rule matches nothing: its pattern cannot be read", "rule", rule.Key(), "error", err)
	}
	p.read[rule] = one
	return one
}
