package ecsapi

import (
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/placement"
)

// maxDescribe is how many resources one Describe call takes.
const maxDescribe = 100

const reasonMissing = placement.ReasonMissing

func tooMany(what string) error {
	return fault.New(fault.InvalidParameter, "%s cannot contain more than %d entries.", what, maxDescribe)
}
