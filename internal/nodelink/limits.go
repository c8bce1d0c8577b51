package nodelink

import (
	"hash/maphash"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what one agent may ask of the server. They are far above what agents do: Amazon's sends two pages of telemetry for
// ten tasks every 20 s, and what it gathered of five minutes after a break.
const (
	// connectRate is in connections a second, of either kind.
	connectRate, connectBurst = 0.5, 20
	// execRate is in connections a second of ECS Exec's sessions, each of which has one of its own.
	execRate, execBurst = 10, 200
	// messageRate is in messages a second of a session, and frameRate in frames of a telemetry connection.
	messageRate, messageBurst = 200, 2000
	frameRate, frameBurst     = 20, 1000
)

const (
	// used requests are remembered for longer than a signature is good for, before and after its time.
	memory = 15 * time.Minute
	// grace is how long a request may come again: the dates in signatures are in seconds, so that an agent's second try may be the
	// same as its first.
	grace = 3 * time.Second
)

// gate bounds how often an agent connects, and by which requests. It is not for several goroutines at once.
type gate struct {
	connects *rate.Limiter
	used     []use
	// most is how many uses are remembered: more than connects lets through in that time.
	most int
}

func newGate(perSecond float64, burst int) gate {
	return gate{connects: rate.NewLimiter(rate.Limit(perSecond), burst), most: burst + int(perSecond*float64(memory/time.Second)) + 1}
}

// use is a signed request that was taken.
type use struct {
	request uint64
	at      time.Time
}

var usesSeed = maphash.MakeSeed()

// again notes a signed request and tells whether it was seen before: somebody replays it then, who may not have its key.
func (g *gate) again(r *http.Request, now time.Time) bool {
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = r.URL.Query().Get("X-Amz-Date")
	}
	if date == "" {
		return false
	}
	h := maphash.String(usesSeed, r.Header.Get("Authorization")+"\n"+date+"\n"+r.URL.RawQuery)
	g.used = slices.DeleteFunc(g.used, func(o use) bool { return now.Sub(o.at) > memory })
	for _, o := range g.used {
		if o.request == h {
			return now.Sub(o.at) > grace
		}
	}
	g.used = append(g.used, use{h, now})
	if len(g.used) > g.most {
		g.used = slices.Delete(g.used, 0, 1)
	}
	return false
}
