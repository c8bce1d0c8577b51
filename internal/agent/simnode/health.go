package simnode

import (
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/runtime/fake"
)

// Exec is how a process in a container fares, which is mostly a health check: it succeeds at once, unless the container's
// labels have it fail or hang now.
func Exec(c *runtime.Status, _ *runtime.ExecSpec) fake.Behaviour {
	age, l := time.Since(c.StartedAt), c.Labels
	ill := l[labelHealth] == "unhealthy" || age < duration(l[labelWellAfter], 0)
	if v, ok := l[labelIllAfter]; ok {
		ill = ill || age >= duration(v, 0)
	}
	switch {
	case l[labelHealth] == "hanging":
		return fake.Behaviour{After: -1}
	case ill:
		return fake.Behaviour{ExitCode: 1, Lines: []fake.Line{{Text: "unhealthy, as its label says"}}}
	}
	return fake.Behaviour{}
}
