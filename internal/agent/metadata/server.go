package metadata

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// The stock agent's throttle, for each task.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
const (
	perSecond = 40
	burst     = 60
)

// maxTasks bounds how many tasks' throttles are kept; the longest silent goes.
const maxTasks = 4096

// Config is what a Server needs. Source and Log must be set.
type Config struct {
	Source Source
	// Lend gives the credentials of tasks' roles; nil gives none.
	Lend Lend
	// Protection answers the task protection endpoint; nil answers that it is not available.
	Protection Protection
	Log        *slog.Logger
	// Now is the clock of the throttle; nil is time.Now.
	Now func() time.Time
}

// Server is an http.Handler for the containers of one machine.
type Server struct {
	cfg Config
	mux *http.ServeMux

	mu        sync.Mutex
	throttles map[string]*throttle
	// last are the containers' measurements before the next ones.
	last map[string]*runtime.Stats
}

type throttle struct {
	limiter *rate.Limiter
	used    time.Time
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux(), throttles: map[string]*throttle{}, last: map[string]*runtime.Stats{}}
	for _, v := range []version{3, 4} {
		base := "GET /v" + strconv.Itoa(int(v)) + "/{id}"
		s.handle(base, func(_ *http.Request, t *Task, i int) (any, error) { return v.container(t, i), nil })
		s.handle(base+"/task", func(_ *http.Request, t *Task, _ int) (any, error) { return v.task(t), nil })
		s.handle(base+"/stats", s.stats)
		s.handle(base+"/task/stats", s.taskStats)
	}
	s.mux.HandleFunc("GET /v2/credentials/{id}", s.credentials)
	s.handle("GET /api/{id}/task-protection/v1/state", s.getProtection)
	s.handle("PUT /api/{id}/task-protection/v1/state", s.putProtection)
	return s
}

// ServeHTTP implements http.Handler. A trailing slash makes no difference, as with the stock agent.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.Path; len(p) > 1 && strings.HasSuffix(p, "/") {
		r.URL.Path, r.URL.RawPath = strings.TrimRight(p, "/"), ""
	}
	s.mux.ServeHTTP(w, r)
}

// status is an error with its HTTP status. Its text is the answer, as a JSON string or, if body is set, that.
type status struct {
	code int
	text string
	body any
}

func (e *status) Error() string { return e.text }

// handle answers a path with a document about the task of the id in it.
func (s *Server) handle(pattern string, answer func(r *http.Request, t *Task, i int) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		t, i := s.cfg.Source.Find(r.PathValue("id"))
		if t == nil {
			s.write(w, http.StatusNotFound, "task metadata: no container has this endpoint")
			return
		}
		if !s.allow(t.ARN) {
			s.write(w, http.StatusTooManyRequests, fmt.Sprintf("task metadata: more than %d requests a second", perSecond))
			return
		}
		body, err := answer(r, t, i)
		var refused *status
		switch {
		case errors.As(err, &refused) && refused.body != nil:
			s.write(w, refused.code, refused.body)
		case errors.As(err, &refused):
			s.write(w, refused.code, refused.text)
		case err != nil:
			s.cfg.Log.Warn("task metadata failed", "path", pattern, "task", t.ARN, "err", err)
			s.write(w, http.StatusInternalServerError, "task metadata: internal error")
		default:
			s.write(w, http.StatusOK, body)
		}
	})
}

func (s *Server) write(w http.ResponseWriter, code int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		s.cfg.Log.Error("encode task metadata", "err", err)
		code, b = http.StatusInternalServerError, []byte(`"task metadata: internal error"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// Who asked has gone if this fails.
	_, _ = w.Write(b)
}

// allow takes a request of a task into account.
func (s *Server) allow(task string) bool {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.throttles[task]
	if t == nil {
		if len(s.throttles) >= maxTasks {
			s.forgetOldest()
		}
		t = &throttle{limiter: rate.NewLimiter(perSecond, burst)}
		s.throttles[task] = t
	}
	t.used = now
	return t.limiter.AllowN(now, 1)
}

func (s *Server) forgetOldest() {
	oldest := ""
	for task, t := range s.throttles {
		if oldest == "" || t.used.Before(s.throttles[oldest].used) {
			oldest = task
		}
	}
	delete(s.throttles, oldest)
}

func (s *Server) stats(r *http.Request, t *Task, i int) (any, error) {
	m, err := s.measure(r, t, i)
	if err == nil && m == nil {
		return nil, &status{code: http.StatusNotFound, text: "task metadata: the container does not run"}
	}
	return m, err
}

// taskStats has null for a container that does not run, as the stock agent's.
func (s *Server) taskStats(r *http.Request, t *Task, _ int) (any, error) {
	all := make(map[string]*runtime.Stats, len(t.Containers))
	for i := range t.Containers {
		m, err := s.measure(r, t, i)
		if err != nil {
			return nil, err
		}
		all[t.Containers[i].RuntimeID] = m
	}
	return all, nil
}

// measure gives nil for a container that does not run.
func (s *Server) measure(r *http.Request, t *Task, i int) (*runtime.Stats, error) {
	c := &t.Containers[i]
	m, err := s.cfg.Source.Stats(r.Context(), c.RuntimeID)
	if errors.Is(err, runtime.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("measure container %s: %w", c.RuntimeID, err)
	}
	m.ID, m.Name = c.RuntimeID, "/"+dockerName(t, c)
	s.compare(m)
	return m, nil
}

// compare adds to a measurement what it takes the one before for: precpu_stats, and the rates of the network. Docker's API
// compares with a second before; here it is with the last time that somebody asked.
func (s *Server) compare(m *runtime.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) >= maxTasks {
		clear(s.last)
	}
	before := s.last[m.ID]
	now := *m
	s.last[m.ID] = &now
	if before == nil || !m.Read.After(before.Read) {
		return
	}
	m.PreRead, m.PreCPU = before.Read, before.CPU
	if m.Networks == nil {
		return
	}
	seconds := m.Read.Sub(before.Read).Seconds()
	m.RateStats = &runtime.NetworkRate{
		Rx: rateOf(m, before, seconds, func(i runtime.InterfaceStats) uint64 { return i.RxBytes }),
		Tx: rateOf(m, before, seconds, func(i runtime.InterfaceStats) uint64 { return i.TxBytes }),
	}
}

func rateOf(now, before *runtime.Stats, seconds float64, count func(runtime.InterfaceStats) uint64) float64 {
	sum := 0.0
	for name, i := range now.Networks {
		if was, ok := before.Networks[name]; ok && count(i) >= count(was) {
			sum += float64(count(i) - count(was))
		}
	}
	return sum / seconds
}

func revision(n int32) string { return strconv.Itoa(int(n)) }
