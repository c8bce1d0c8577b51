// Package secretsmanager answers the operations of AWS Secrets Manager. Values are sealed by a secrets.Keeper before they come
// near the store.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/Welcome.html
package secretsmanager

import (
	"context"
	"errors"
	"reflect"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
	"roadstead.dev/roadstead/internal/wire"
)

// Exceptions that only this service has.
const (
	invalidRequest   fault.Kind = "InvalidRequestException"
	invalidNextToken fault.Kind = "InvalidNextTokenException"
	resourceExists   fault.Kind = "ResourceExistsException"
	decryption       fault.Kind = "DecryptionFailure"
)

// Config is what the API needs. All but Now must be set.
type Config struct {
	Store  *state.Store
	Keeper *secrets.Keeper
	Place  ecs.Place
	// Allow says whether a caller may read the value of a secret, of which there is but the Name, as it was asked for, where it is not there; its error, a *fault.Error, is the answer if not.
	Allow func(ctx context.Context, caller wire.Caller, s *secrets.Secret) error
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// API has the operations as methods, which may be called at once from many goroutines.
type API struct{ Config }

// New checks a configuration.
func New(c Config) (*API, error) {
	if c.Store == nil || c.Keeper == nil || c.Allow == nil || c.Place.Region == "" || c.Place.Account == "" {
		return nil, errors.New("secretsmanager api: Store, Keeper, Place and Allow must be set")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &API{c}, nil
}

// Service makes the wire's service of the operations.
func (a *API) Service() *wire.Service {
	w := wire.NewService(wire.ServiceConfig{
		Name: "secretsmanager", SigningName: "secretsmanager", Protocol: wire.JSON11, TargetPrefix: "secretsmanager", APIVersion: "2017-10-17",
		Client: reflect.TypeFor[*sdk.Client](), Unsupported: fault.Unsupported, Internal: "InternalServiceError",
	})
	wire.Handle(w, "CreateSecret", a.CreateSecret)
	wire.Handle(w, "PutSecretValue", a.PutSecretValue)
	wire.Handle(w, "UpdateSecret", a.UpdateSecret)
	wire.Handle(w, "GetSecretValue", a.GetSecretValue)
	wire.Handle(w, "BatchGetSecretValue", a.BatchGetSecretValue)
	wire.Handle(w, "DescribeSecret", a.DescribeSecret)
	wire.Handle(w, "ListSecrets", a.ListSecrets)
	wire.Handle(w, "ListSecretVersionIds", a.ListSecretVersionIds)
	wire.Handle(w, "UpdateSecretVersionStage", a.UpdateSecretVersionStage)
	wire.Handle(w, "DeleteSecret", a.DeleteSecret)
	wire.Handle(w, "RestoreSecret", a.RestoreSecret)
	wire.Handle(w, "TagResource", a.TagResource)
	wire.Handle(w, "UntagResource", a.UntagResource)
	wire.Handle(w, "GetRandomPassword", a.GetRandomPassword)
	return w
}

func (a *API) now() ecs.Millis { return ecs.MillisOf(a.Now()) }
