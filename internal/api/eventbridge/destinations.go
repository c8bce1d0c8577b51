package eventbridge

import (
	"context"
	"net/url"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// defaultRate is how many invocations a second an API destination sees if nothing is said.
const defaultRate = 300

var methods = []string{"POST", "GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}

// checkEndpoint refuses what cannot be called.
func checkEndpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || strings.Contains(u.Host, "*") {
		return fault.New(fault.Validation, "Parameter InvocationEndpoint is not valid. Reason: it must be an HTTP or HTTPS URL.")
	}
	return nil
}

// CreateApiDestination makes an HTTP endpoint that can be a target.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateApiDestination.html
func (a *API) CreateApiDestination(ctx context.Context, in *sdk.CreateApiDestinationInput) (*sdk.CreateApiDestinationOutput, error) {
	var c checks
	d := &state.EventDestination{
		Name: c.Text(in.Name, "name", nameForm), ID: uuid.NewString(), Description: c.Optional(in.Description, "description", descriptionForm),
		Method: string(in.HttpMethod), Endpoint: c.Text(in.InvocationEndpoint, "invocationEndpoint", endpointForm), Rate: defaultRate, Created: a.now(), Modified: a.now(),
	}
	arn := c.Text(in.ConnectionArn, "connectionArn", arnForm)
	if d.Method == "" {
		c.Add("null", "httpMethod", "Member must not be null")
	}
	c.Enum(d.Method, "httpMethod", methods...)
	c.number(in.InvocationRateLimitPerSecond, "invocationRateLimitPerSecond", 1, 10_000)
	if in.InvocationRateLimitPerSecond != nil {
		d.Rate = *in.InvocationRateLimitPerSecond
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := checkEndpoint(d.Endpoint); err != nil {
		return nil, err
	}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		used := events.ConnectionOfARN(a.Place, &tx.Tables, arn)
		switch {
		case used == nil:
			return fault.New(fault.ResourceNotFound, "Connection '%s' does not exist.", arn)
		case tx.EventDestinations.Get(d.Name) != nil:
			return fault.New(resourceExists, "An api-destination '%s' already exists.", d.Name)
		case tx.EventDestinations.Len() >= mostConnections:
			return fault.New(fault.LimitExceeded, "The requested resource exceeds the maximum number allowed.")
		}
		d.Connection = used.Name
		tx.EventDestinations.Put(d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	w := a.wireDestination(a.tables())(d)
	return &sdk.CreateApiDestinationOutput{ApiDestinationArn: w.ApiDestinationArn, ApiDestinationState: w.ApiDestinationState, CreationTime: w.CreationTime, LastModifiedTime: w.LastModifiedTime}, nil
}

// UpdateApiDestination changes what is given.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_UpdateApiDestination.html
func (a *API) UpdateApiDestination(ctx context.Context, in *sdk.UpdateApiDestinationInput) (*sdk.UpdateApiDestinationOutput, error) {
	var c checks
	name := c.Text(in.Name, "name", nameForm)
	c.Optional(in.Description, "description", descriptionForm)
	c.Optional(in.InvocationEndpoint, "invocationEndpoint", endpointForm)
	c.Enum(string(in.HttpMethod), "httpMethod", methods...)
	c.number(in.InvocationRateLimitPerSecond, "invocationRateLimitPerSecond", 1, 10_000)
	if err := c.err(); err != nil {
		return nil, err
	}
	if in.InvocationEndpoint != nil {
		if err := checkEndpoint(*in.InvocationEndpoint); err != nil {
			return nil, err
		}
	}
	var d state.EventDestination
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := destination(&tx.Tables, name)
		if err != nil {
			return err
		}
		d = *old
		if in.ConnectionArn != nil {
			used := events.ConnectionOfARN(a.Place, &tx.Tables, *in.ConnectionArn)
			if used == nil {
				return fault.New(fault.ResourceNotFound, "Connection '%s' does not exist.", *in.ConnectionArn)
			}
			d.Connection = used.Name
		}
		if in.Description != nil {
			d.Description = *in.Description
		}
		if in.InvocationEndpoint != nil {
			d.Endpoint = *in.InvocationEndpoint
		}
		if in.HttpMethod != "" {
			d.Method = string(in.HttpMethod)
		}
		if in.InvocationRateLimitPerSecond != nil {
			d.Rate = *in.InvocationRateLimitPerSecond
		}
		d.Modified = a.now()
		tx.EventDestinations.Put(&d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	w := a.wireDestination(a.tables())(&d)
	return &sdk.UpdateApiDestinationOutput{ApiDestinationArn: w.ApiDestinationArn, ApiDestinationState: w.ApiDestinationState, CreationTime: w.CreationTime, LastModifiedTime: w.LastModifiedTime}, nil
}

func destination(t *state.Tables, name string) (*state.EventDestination, error) {
	d := t.EventDestinations.Get(name)
	if d == nil {
		return nil, fault.New(fault.ResourceNotFound, "Failed to describe the api-destination(s). An api-destination '%s' does not exist.", name)
	}
	return d, nil
}

// wireDestination describes API destinations; one whose connection is gone is inactive.
func (a *API) wireDestination(t *state.Tables) func(*state.EventDestination) types.ApiDestination {
	return func(d *state.EventDestination) types.ApiDestination {
		arn := events.DestinationARN(a.Place, d)
		w := types.ApiDestination{ApiDestinationArn: &arn, ApiDestinationState: types.ApiDestinationStateInactive, Name: &d.Name, HttpMethod: types.ApiDestinationHttpMethod(d.Method),
			InvocationEndpoint: &d.Endpoint, InvocationRateLimitPerSecond: &d.Rate, CreationTime: moment(d.Created), LastModifiedTime: moment(d.Modified)}
		if c := t.EventConnections.Get(d.Connection); c != nil {
			of := events.ConnectionARN(a.Place, c)
			w.ConnectionArn, w.ApiDestinationState = &of, types.ApiDestinationStateActive
		}
		return w
	}
}

// DescribeApiDestination describes an API destination.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeApiDestination.html
func (a *API) DescribeApiDestination(_ context.Context, in *sdk.DescribeApiDestinationInput) (*sdk.DescribeApiDestinationOutput, error) {
	var c checks
	name, t := c.Text(in.Name, "name", nameForm), a.tables()
	if err := c.err(); err != nil {
		return nil, err
	}
	d, err := destination(t, name)
	if err != nil {
		return nil, err
	}
	w := a.wireDestination(t)(d)
	return &sdk.DescribeApiDestinationOutput{ApiDestinationArn: w.ApiDestinationArn, ApiDestinationState: w.ApiDestinationState, ConnectionArn: w.ConnectionArn,
		CreationTime: w.CreationTime, Description: ptr(d.Description), HttpMethod: w.HttpMethod, InvocationEndpoint: w.InvocationEndpoint,
		InvocationRateLimitPerSecond: w.InvocationRateLimitPerSecond, LastModifiedTime: w.LastModifiedTime, Name: w.Name}, nil
}

// ListApiDestinations lists API destinations by name, all or those of a connection.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListApiDestinations.html
func (a *API) ListApiDestinations(_ context.Context, in *sdk.ListApiDestinationsInput) (*sdk.ListApiDestinationsOutput, error) {
	var c checks
	prefix, p, t := c.Optional(in.NamePrefix, "namePrefix", nameForm), pageOf(&c, in.Limit, in.NextToken), a.tables()
	if err := c.err(); err != nil {
		return nil, err
	}
	out := &sdk.ListApiDestinationsOutput{}
	var of *state.EventConnection
	if in.ConnectionArn != nil {
		if of = events.ConnectionOfARN(a.Place, t, *in.ConnectionArn); of == nil {
			return nil, fault.New(fault.ResourceNotFound, "Connection '%s' does not exist.", *in.ConnectionArn)
		}
	}
	out.ApiDestinations, out.NextToken = cut(p, t.EventDestinations.All(), func(d *state.EventDestination) string { return d.Name }, func(d *state.EventDestination) bool {
		return strings.HasPrefix(d.Name, prefix) && (of == nil || d.Connection == of.Name)
	}, a.wireDestination(t))
	return out, nil
}

// DeleteApiDestination deletes an API destination. Targets that name it get nothing any more.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeleteApiDestination.html
func (a *API) DeleteApiDestination(ctx context.Context, in *sdk.DeleteApiDestinationInput) (*sdk.DeleteApiDestinationOutput, error) {
	var c checks
	name := c.Text(in.Name, "name", nameForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		if _, err := destination(&tx.Tables, name); err != nil {
			return err
		}
		tx.EventDestinations.Delete(name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteApiDestinationOutput{}, nil
}
