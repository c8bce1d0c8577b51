package wire

import (
	"context"
	"fmt"
	"reflect"
	"sort"

	"github.com/aws/smithy-go/middleware"

	"roadstead.dev/roadstead/internal/fault"
)

// Protocol is one of AWS's forms of request and answer.
type Protocol uint8

// The protocols. https://smithy.io/2.0/aws/protocols/index.html
const (
	JSON10 Protocol = iota
	JSON11
	Query
	EC2Query
)

func (p Protocol) json() bool { return p == JSON10 || p == JSON11 }

// ServiceConfig describes an AWS service.
type ServiceConfig struct {
	// Name is for logs and metrics: "ecs".
	Name string
	// SigningName is the service in a SigV4 scope; Name if empty.
	SigningName string
	Protocol    Protocol
	// TargetPrefix is what stands before the dot in X-Amz-Target; JSON services have one.
	TargetPrefix string
	// APIVersion is the Version parameter of a Query service; XMLNamespace is of its answers.
	APIVersion, XMLNamespace string
	// Client is the SDK's client, reflect.TypeFor[*ecs.Client](). Its methods are the operations that AWS has: one without a
	// handler answers Unsupported, any other name UnknownOperationException or InvalidAction.
	Client reflect.Type
	// Unsupported is answered for AWS's operations that have no handler; UnsupportedFeatureException if empty.
	Unsupported fault.Kind
	// Internal is answered for a handler's error that isn't a *fault.Error; ServerException in JSON and InternalFailure in
	// Query if empty.
	Internal fault.Kind
	// Status has the HTTP status of exceptions that differ from the rule in errors.go.
	Status map[fault.Kind]int
	// Unions are those that this package doesn't know of itself.
	Unions []Union
	// Unsigned are a Query service's operations that AWS takes without a signature, their caller being proved by a token in
	// the request (AssumeRoleWithWebIdentity). The handler's Caller is then the zero Caller.
	Unsigned []string
}

// Service is an AWS service with its handlers. Register them all before the Server serves.
type Service struct {
	cfg        ServiceConfig
	planner    *planner
	operations map[string]operationType
	handled    map[string]*handler
}

// operationType has an operation's structs, as the SDK's client has them.
type operationType struct{ in, out reflect.Type }

// handler is a registered operation.
type handler struct {
	op  string
	in  *shape
	out *shape // nil for a stream
	// call gets a pointer to In and gives a pointer to Out.
	call   func(ctx context.Context, in any) (any, error)
	stream func(ctx context.Context, in any, send func(string, any) error) error
	// extra says that the handler may ask for members that in has not.
	extra bool
}

// NewService panics when the configuration can't be right.
func NewService(cfg ServiceConfig) *Service {
	if cfg.Name == "" || cfg.Client == nil {
		panic("wire: a service needs a name and the SDK's client type")
	}
	if cfg.Protocol.json() != (cfg.TargetPrefix != "") {
		panic(fmt.Sprintf("wire: %s: a JSON service has a target prefix, a Query service has none", cfg.Name))
	}
	if cfg.SigningName == "" {
		cfg.SigningName = cfg.Name
	}
	if cfg.Unsupported == "" {
		cfg.Unsupported = fault.Unsupported
	}
	if cfg.Internal == "" {
		cfg.Internal = "InternalFailure"
		if cfg.Protocol.json() {
			cfg.Internal = fault.Server
		}
	}
	return &Service{cfg: cfg, planner: newPlanner(cfg), operations: operationsOf(cfg.Client), handled: map[string]*handler{}}
}

// operationsOf lists the client's methods of the form Op(ctx, *OpInput, ...func(*Options)) (*OpOutput, error).
func operationsOf(client reflect.Type) map[string]operationType {
	ops := map[string]operationType{}
	for i := range client.NumMethod() {
		m := client.Method(i)
		t := m.Type
		if t.NumIn() != 4 || t.NumOut() != 2 || !t.IsVariadic() || t.In(2).Kind() != reflect.Pointer || t.Out(0).Kind() != reflect.Pointer {
			continue
		}
		in, out := t.In(2).Elem(), t.Out(0).Elem()
		if in.Name() == m.Name+"Input" && out.Kind() == reflect.Struct && out.Name() == m.Name+"Output" {
			ops[m.Name] = operationType{in: in, out: out}
		}
	}
	if len(ops) == 0 {
		panic(fmt.Sprintf("wire: %s has no operations", client))
	}
	return ops
}

// Handled lists the operations that have a handler, sorted.
func (s *Service) Handled() []string { return sortedKeys(s.handled) }

// Operations lists all operations that AWS has, sorted.
func (s *Service) Operations() []string { return sortedKeys(s.operations) }

// Name gives the service's name.
func (s *Service) Name() string { return s.cfg.Name }

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// Handle registers an operation's handler. In and Out are the SDK's OpInput and OpOutput. It panics when the operation isn't
// AWS's, is registered already, or the types aren't its own.
//
// The handler gets an In that nobody else holds. It returns a *fault.Error (wrapped or not) for what the caller did; any other
// error is logged and becomes a 500. A nil slice or map in Out is left out of the answer, an empty one is given as empty.
func Handle[In, Out any](s *Service, op string, fn func(ctx context.Context, in *In) (*Out, error)) {
	in, out := reflect.TypeFor[In](), reflect.TypeFor[Out]()
	s.check(op, in)
	if want := s.operations[op].out; want != out {
		panic(fmt.Sprintf("wire: %s.%s answers %s, not %s", s.cfg.Name, op, want, out))
	}
	s.handled[op] = &handler{
		op: op, in: s.planner.plan(in), out: s.planner.plan(out),
		call: func(ctx context.Context, in any) (any, error) {
			out, err := fn(ctx, in.(*In))
			if err != nil {
				return nil, err
			}
			if out == nil {
				return nil, fmt.Errorf("the handler of %s gave neither an answer nor an error", op)
			}
			return out, nil
		},
	}
}

// HandleStream registers an operation that answers an event stream. send writes one event, eventType being the union's member
// name ("sessionStart") and event a pointer to its struct; it blocks as long as the client reads slowly, and its error (the
// client has gone) ends the handler. send must not be called by two goroutines at once, nor after fn returned. An error
// returned before the first send is answered as by Handle; a later one becomes the stream's last message.
func HandleStream[In any](s *Service, op string, fn func(ctx context.Context, in *In, send func(eventType string, event any) error) error) {
	in := reflect.TypeFor[In]()
	s.check(op, in)
	if _, ok := reflect.PointerTo(s.operations[op].out).MethodByName("GetStream"); !ok || !s.cfg.Protocol.json() {
		panic(fmt.Sprintf("wire: %s.%s answers no event stream", s.cfg.Name, op))
	}
	s.handled[op] = &handler{
		op: op, in: s.planner.plan(in),
		stream: func(ctx context.Context, in any, send func(string, any) error) error {
			return fn(ctx, in.(*In), send)
		},
	}
}

// KeepExtra lets the handler of a JSON operation, registered already, ask by Extra for members that In lacks. The body is
// then kept as long as the handler works, so it is for operations with small requests.
func (s *Service) KeepExtra(op string) {
	h := s.handled[op]
	if h == nil || !s.cfg.Protocol.json() {
		panic(fmt.Sprintf("wire: %s.%s is not registered, or is no JSON operation", s.cfg.Name, op))
	}
	h.extra = true
}

func (s *Service) check(op string, in reflect.Type) {
	want, ok := s.operations[op]
	switch {
	case !ok:
		panic(fmt.Sprintf("wire: %s has no operation %s", s.cfg.Name, op))
	case s.handled[op] != nil:
		panic(fmt.Sprintf("wire: %s.%s has a handler already", s.cfg.Name, op))
	case want.in != in:
		panic(fmt.Sprintf("wire: %s.%s takes %s, not %s", s.cfg.Name, op, want.in, in))
	}
}

var typeMetadata = reflect.TypeFor[middleware.Metadata]()
