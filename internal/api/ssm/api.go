// Package ssm answers the Parameter Store's operations of AWS Systems Manager. Values of every type are sealed by a secrets.Keeper.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/Welcome.html
package ssm

import (
	"context"
	"errors"
	"reflect"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// Exceptions that only this service has.
const (
	notFound          fault.Kind = "ParameterNotFound"
	versionNotFound   fault.Kind = "ParameterVersionNotFound"
	alreadyExists     fault.Kind = "ParameterAlreadyExists"
	patternMismatch   fault.Kind = "ParameterPatternMismatchException"
	invalidPattern    fault.Kind = "InvalidAllowedPatternException"
	hierarchyLimit    fault.Kind = "HierarchyLevelLimitExceededException"
	maxVersions       fault.Kind = "ParameterMaxVersionLimitExceeded"
	labelLimit        fault.Kind = "ParameterVersionLabelLimitExceeded"
	invalidFilterKey  fault.Kind = "InvalidFilterKey"
	invalidFilterOpt  fault.Kind = "InvalidFilterOption"
	invalidNextToken  fault.Kind = "InvalidNextToken"
	invalidResourceID fault.Kind = "InvalidResourceId"
	tooManyTags       fault.Kind = "TooManyTagsError"
)

// Config is what the API needs. All but Sessions, StreamURL and Now must be set.
type Config struct {
	Store  *state.Store
	Keeper *secrets.Keeper
	Place  ecs.Place
	// Allow says whether a caller may read the value of a parameter; its error, a *fault.Error, is the answer if not.
	Allow func(ctx context.Context, caller wire.Caller, p *secrets.Parameter) error
	// Sessions are those of ECS Exec, and StreamURL says where the client of one comes; nil leaves their operations unsupported.
	Sessions  Sessions
	StreamURL func(ctx context.Context, session string) string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// API has the operations as methods, which may be called at once from many goroutines.
type API struct{ Config }

// New checks a configuration.
func New(c Config) (*API, error) {
	if c.Store == nil || c.Keeper == nil || c.Allow == nil || c.Place.Region == "" || c.Place.Account == "" {
		return nil, errors.New("ssm api: Store, Keeper, Place and Allow must be set")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &API{c}, nil
}

// Service makes the wire's service of the operations.
func (a *API) Service() *wire.Service {
	w := wire.NewService(wire.ServiceConfig{
		Name: "ssm", SigningName: "ssm", Protocol: wire.JSON11, TargetPrefix: "AmazonSSM", APIVersion: "2014-11-06",
		Client: reflect.TypeFor[*sdk.Client](), Unsupported: fault.Unsupported, Internal: "InternalServerError",
	})
	wire.Handle(w, "PutParameter", a.PutParameter)
	wire.Handle(w, "GetParameter", a.GetParameter)
	wire.Handle(w, "GetParameters", a.GetParameters)
	wire.Handle(w, "GetParametersByPath", a.GetParametersByPath)
	wire.Handle(w, "GetParameterHistory", a.GetParameterHistory)
	wire.Handle(w, "DescribeParameters", a.DescribeParameters)
	wire.Handle(w, "DeleteParameter", a.DeleteParameter)
	wire.Handle(w, "DeleteParameters", a.DeleteParameters)
	wire.Handle(w, "LabelParameterVersion", a.LabelParameterVersion)
	wire.Handle(w, "UnlabelParameterVersion", a.UnlabelParameterVersion)
	wire.Handle(w, "AddTagsToResource", a.AddTagsToResource)
	wire.Handle(w, "RemoveTagsFromResource", a.RemoveTagsFromResource)
	wire.Handle(w, "ListTagsForResource", a.ListTagsForResource)
	wire.Handle(w, "ResumeSession", a.ResumeSession)
	wire.Handle(w, "TerminateSession", a.TerminateSession)
	return w
}

func (a *API) now() ecs.Millis { return ecs.MillisOf(a.Now()) }
