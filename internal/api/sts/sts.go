// Package sts answers who a caller is, as AWS Security Token Service does.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
package sts

import (
	"context"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

// Register makes the wire's service with its one operation.
func Register() *wire.Service {
	w := wire.NewService(wire.ServiceConfig{
		Name:         "sts",
		SigningName:  "sts",
		Protocol:     wire.Query,
		APIVersion:   "2011-06-15",
		XMLNamespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Client:       reflect.TypeFor[*sts.Client](),
		Unsupported:  fault.Unsupported,
	})
	wire.Handle(w, "GetCallerIdentity", GetCallerIdentity)
	return w
}

// GetCallerIdentity tells a caller whose key signed its request.
func GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	caller := wire.CallerFrom(ctx)
	if caller.ARN == "" {
		return nil, fault.New(fault.AccessDenied, "The request is not signed by a known caller.")
	}
	return &sts.GetCallerIdentityOutput{
		Account: aws.String(caller.Account),
		Arn:     aws.String(caller.ARN),
		UserId:  aws.String(caller.UserID),
	}, nil
}
