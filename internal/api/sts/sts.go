// Package sts answers who a caller is and lends roles for a time, as AWS Security Token Service does.
// https://docs.aws.amazon.com/STS/latest/APIReference/Welcome.html
package sts

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

// Session is a role that somebody is to have for a time.
type Session struct {
	// RoleARN and Name are as the caller gave them, checked.
	RoleARN, Name string
	Expires       time.Time
}

// Credentials are those of a session, with its names.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	// ARN and UserID are the session's as a caller.
	ARN, UserID string
}

// Config is what the API needs.
type Config struct {
	// Lend makes a session's credentials.
	Lend func(Session) (Credentials, error)
	// Allow says whether the caller may have a role under a session name; its error, a *fault.Error, is the answer if not.
	// It is asked once the request has been checked.
	Allow func(ctx context.Context, caller wire.Caller, roleARN, sessionName string) error
	// Account is the one whose roles can be had.
	Account string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// API has the operations as methods, which may be called at once from many goroutines.
type API struct{ Config }

// New checks a configuration.
func New(c Config) (*API, error) {
	if c.Lend == nil || c.Allow == nil || c.Account == "" {
		return nil, errors.New("sts api: Lend, Allow and Account must be set")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &API{c}, nil
}

// Service makes the wire's service of the operations.
func (a *API) Service() *wire.Service {
	w := wire.NewService(wire.ServiceConfig{
		Name:         "sts",
		SigningName:  "sts",
		Protocol:     wire.Query,
		APIVersion:   "2011-06-15",
		XMLNamespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Client:       reflect.TypeFor[*sts.Client](),
		Unsupported:  fault.Unsupported,
	})
	wire.Handle(w, "GetCallerIdentity", a.GetCallerIdentity)
	wire.Handle(w, "AssumeRole", a.AssumeRole)
	return w
}

// GetCallerIdentity tells a caller whose key signed its request.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (a *API) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	caller := wire.CallerFrom(ctx)
	if caller.ARN == "" {
		return nil, fault.New(accessDenied, "The request is not signed by a known caller.")
	}
	return &sts.GetCallerIdentityOutput{
		Account: aws.String(caller.Account),
		Arn:     aws.String(caller.ARN),
		UserId:  aws.String(caller.UserID),
	}, nil
}
