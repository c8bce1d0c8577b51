package ecsapi

import "roadstead.dev/roadstead/internal/fault"

// enumeration is one of AWS's types of named values.
type enumeration[E any] interface {
	~string
	Values() []E
}

// included reads an include list, and refuses a word that AWS does not have.
func included[F interface {
	comparable
	enumeration[F]
}](in []F) (map[F]bool, error) {
	out := make(map[F]bool, len(in))
	for _, f := range in {
		if !known(f) {
			return nil, fault.New(fault.InvalidParameter, "Invalid value for include: %q.", string(f))
		}
		out[f] = true
	}
	return out, nil
}

// known tells whether AWS has the value in its enumeration.
func known[E interface {
	comparable
	enumeration[E]
}](e E) bool {
	for _, v := range e.Values() {
		if v == e {
			return true
		}
	}
	return false
}
