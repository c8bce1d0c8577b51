package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"roadstead.dev/roadstead/internal/fault"
)

// Config is a Server's.
type Config struct {
	Services []*Service
	Keys     KeySource
	// Region is the only one that a signature may name; Account is this installation's.
	Region, Account string
	// Now is the clock that signatures are held against; time.Now if nil.
	Now func() time.Time
	// Log gets one line for each request; slog.Default() if nil.
	Log *slog.Logger
	// MaxBody bounds a request's body, in bytes, before and after decompression; 8 MiB if zero.
	MaxBody int64
	// MaxBodies bounds the sum of all larger bodies being read and decoded, in bytes; those above it wait. 16 MaxBody if zero.
	MaxBodies int64
	// Authorize says whether a caller may call an operation of a service, by the service's signing name; its error, a
	// fault.AccessDenied, is the answer if not. Nil lets every caller call everything.
	Authorize func(c Caller, service, operation string) error
	// Observe is told of each request after its answer, if not nil. It must not block.
	Observe func(Observation)
}

// Observation is what metrics want to know of a request.
type Observation struct {
	Service, Operation string // empty when unknown; an operation only if AWS has it
	Status             int
	Error              fault.Kind // empty for a success
	Duration           time.Duration
	BytesIn, BytesOut  int64
}

// Server is the endpoint: an http.Handler for all services. It is safe for concurrent use.
type Server struct {
	cfg       Config
	byTarget  map[string]*Service
	bySigning map[string][]*Service
	bodies    *semaphore.Weighted
}

var _ http.Handler = (*Server)(nil)

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	if cfg.Keys == nil || cfg.Region == "" || len(cfg.Services) == 0 {
		return nil, errors.New("wire: a server needs keys, a region and services")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 8 << 20
	}
	if cfg.MaxBodies == 0 {
		cfg.MaxBodies = 16 * cfg.MaxBody
	}
	if cfg.MaxBodies < cfg.MaxBody {
		return nil, fmt.Errorf("wire: MaxBodies %d is less than MaxBody %d", cfg.MaxBodies, cfg.MaxBody)
	}
	s := &Server{cfg: cfg, byTarget: map[string]*Service{}, bySigning: map[string][]*Service{},
		bodies: semaphore.NewWeighted(cfg.MaxBodies)}
	for _, svc := range cfg.Services {
		if p := svc.cfg.TargetPrefix; p != "" {
			if s.byTarget[p] != nil {
				return nil, fmt.Errorf("wire: two services have the target prefix %s", p)
			}
			s.byTarget[p] = svc
		}
		s.bySigning[svc.cfg.SigningName] = append(s.bySigning[svc.cfg.SigningName], svc)
	}
	return s, nil
}

// exchange is one request on its way.
type exchange struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	id    string
	start time.Time
	query url.Values

	route    route
	handler  *handler
	caller   Caller
	held     int64 // bytes taken of Server.bodies
	bytesIn  int64
	bytesOut int64
	status   int
	fault    *fault.Error
}

// ServeHTTP answers one request: it finds the service, authenticates, decodes, calls, encodes, measures and logs.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{s: s, w: w, r: r, id: newRequestID(), start: time.Now()}
	w.Header().Set("X-Amzn-Requestid", x.id)
	defer x.finish()
	if err := x.serve(); err != nil {
		x.fail(err)
	}
}

func (x *exchange) serve() (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	defer x.release()
	body, err := x.receive()
	if err != nil {
		return err
	}
	svc := x.route.service
	if _, ok := svc.operations[x.route.op]; !ok {
		return x.unknownOperation()
	}
	if x.s.cfg.Authorize != nil {
		if err := x.s.cfg.Authorize(x.caller, svc.cfg.SigningName, x.route.op); err != nil {
			return err
		}
	}
	x.handler = svc.handled[x.route.op]
	if x.handler == nil {
		return fault.New(svc.cfg.Unsupported, "%s is an operation of AWS that Roadstead does not have yet.", x.route.op)
	}
	in := reflect.New(x.handler.in.typ)
	if err := x.decode(body, in.Elem()); err != nil {
		return err
	}
	info := &requestInfo{id: x.id, caller: x.caller}
	if x.handler.extra {
		info.body = bytes.Clone(body)
	}
	// What a handler holds from here on is its own: the body's memory is free.
	x.release()
	ctx := withRequest(x.r.Context(), info)
	if x.handler.stream != nil {
		return x.stream(ctx, in.Interface())
	}
	out, err := x.handler.call(ctx, in.Interface())
	if err != nil {
		return err
	}
	return x.answer(out)
}

func (x *exchange) decode(body []byte, v reflect.Value) error {
	var err error
	if x.route.service.cfg.Protocol.json() {
		err = decodeJSON(body, x.handler.in, v)
	} else {
		err = decodeQuery(x.route.form, x.handler.in, v)
	}
	if err != nil {
		return fault.Wrap(nil, kindSerialization, "%s", err.Error())
	}
	return nil
}

func (x *exchange) unknownOperation() error {
	svc := x.route.service
	if svc.cfg.Protocol.json() {
		return fault.New(kindUnknownOp, "%s has no operation %s.", svc.cfg.Name, clipped(x.route.op))
	}
	return fault.New(kindUnknownOp, "Could not find operation %s for version %s", clipped(x.route.op), svc.cfg.APIVersion)
}

// answer writes a success.
func (x *exchange) answer(out any) error {
	svc, v := x.route.service, reflect.ValueOf(out).Elem()
	if svc.cfg.Protocol.json() {
		p := jsonBuffers.Get().(*[]byte)
		defer jsonBuffers.Put(p)
		b, err := appendJSON((*p)[:0], x.handler.out, v)
		if err != nil {
			return fmt.Errorf("encoding the answer of %s: %w", x.handler.op, err)
		}
		if cap(b) <= maxPooled {
			*p = b
		}
		x.write(http.StatusOK, b)
		return nil
	}
	b, err := encodeXML(&svc.cfg, x.handler.op, x.id, x.handler.out, v)
	if err != nil {
		return fmt.Errorf("encoding the answer of %s: %w", x.handler.op, err)
	}
	x.write(http.StatusOK, b)
	return nil
}

// maxPooled is the largest buffer kept for the next answer.
const maxPooled = 1 << 20

var jsonBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// fail writes an error in the form of the protocol at hand.
func (x *exchange) fail(err error) {
	cfg := &x.route.config
	f := asFault(cfg, err)
	x.fault = f
	if x.status != 0 {
		return // the answer has begun: only the log can tell
	}
	if x.r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		x.status = statusClientGone
		return
	}
	st := status(cfg, f.Kind)
	if x.route.status != 0 && f.Kind == kindUnknownOp {
		st = x.route.status
	}
	h := x.w.Header()
	if cfg.Protocol.json() {
		h.Set("X-Amzn-Errortype", string(f.Kind))
		x.write(st, appendErrorJSON(nil, f))
		return
	}
	x.write(st, encodeErrorXML(cfg, f, st, x.id))
}

// statusClientGone is only for the log: nobody reads it. nginx has given it this number.
const statusClientGone = 499

func (x *exchange) write(status int, body []byte) {
	h := x.w.Header()
	switch x.route.config.Protocol {
	case JSON10:
		h.Set("Content-Type", "application/x-amz-json-1.0")
	case JSON11:
		h.Set("Content-Type", "application/x-amz-json-1.1")
	case Query:
		h.Set("Content-Type", "text/xml")
	case EC2Query:
		h.Set("Content-Type", "text/xml;charset=UTF-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.status = status
	x.w.WriteHeader(status)
	n, err := x.w.Write(body)
	x.bytesOut = int64(n)
	if err != nil && x.fault == nil {
		x.s.cfg.Log.Debug("answer not delivered", "request", x.id, "err", err)
	}
}

// finish logs and measures.
func (x *exchange) finish() {
	d := time.Since(x.start)
	o := Observation{Service: x.route.config.Name, Status: x.status, Duration: d, BytesIn: x.bytesIn, BytesOut: x.bytesOut}
	if svc := x.route.service; svc != nil {
		if _, ok := svc.operations[x.route.op]; ok {
			o.Operation = x.route.op
		}
	}
	attrs := []slog.Attr{slog.String("request", x.id), slog.String("service", o.Service), slog.String("op", logName(x.route.op)),
		slog.String("caller", x.caller.ARN), slog.Int("status", x.status), slog.Duration("duration", d),
		slog.Int64("in", x.bytesIn), slog.Int64("out", x.bytesOut)}
	level := slog.LevelInfo
	if f := x.fault; f != nil {
		o.Error = f.Kind
		attrs = append(attrs, slog.String("error", string(f.Kind)))
		if x.status >= 500 {
			level = slog.LevelError
			attrs = append(attrs, slog.String("message", f.Message))
		}
		if f.Cause != nil {
			attrs = append(attrs, slog.Any("cause", f.Cause))
		}
	}
	x.s.cfg.Log.LogAttrs(x.r.Context(), level, "request", attrs...)
	if x.s.cfg.Observe != nil {
		x.s.cfg.Observe(o)
	}
}

// logName keeps what a caller sent as an operation's name from filling the log.
func logName(op string) string { return strings.ToValidUTF8(clipped(op), "?") }
