package eventbridge

import (
	"context"
	"net/textproto"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/events"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// mostConnections is a quota of EventBridge's, of connections and of API destinations.
const mostConnections = 3000

// login is what a request says of a connection's credentials.
type login struct {
	kind       string
	name       *string
	value      *string
	parameters *types.ConnectionHttpParameters
}

// checkHeaders refuses what is not a header that may be set.
func checkHeaders(in map[string]string) error {
	for name, value := range in {
		if err := checkHeader(name, value); err != nil {
			return err
		}
	}
	return nil
}

// own are headers that the sender itself sets.
var own = []string{"Connection", "Content-Encoding", "Content-Length", "Host", "Max-Forwards", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Via"}

func checkHeader(name, value string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
	if name == "" || bad || slices.Contains(own, canonical) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fault.New(fault.Validation, "The header %s can't be set.", constraint.Shown(name))
	}
	return nil
}

// read puts a login into a connection: what is not given stays as it is in the connection and its credentials.
func (l *login) read(c *state.EventConnection, with *events.Credentials) error {
	var wrong checks
	if l.kind != "" && l.kind != c.Type {
		c.Type, c.Login, with.Value = l.kind, "", ""
	}
	if l.name != nil {
		c.Login = *l.name
	}
	if l.value != nil {
		with.Value = *l.value
	}
	wrong.Text(&c.Login, "authParameters.name", constraint.Form{Min: 1, Max: 512})
	if with.Value == "" || len(with.Value) > 512 {
		// The value itself is not said back.
		wrong.Add("'***'", "authParameters.value", "Member must have length between 1 and 512")
	}
	if err := wrong.err(); err != nil {
		return err
	}
	if c.Type == state.ConnectionAPIKey {
		if err := checkHeader(c.Login, with.Value); err != nil {
			return err
		}
	}
	if l.parameters == nil {
		return nil
	}
	c.Parameters, with.Values = nil, map[int]string{}
	add := func(in string, key, value *string, secret bool) error {
		p := state.EventParameter{In: in, Key: str(key), Value: str(value), Secret: secret}
		if p.Key == "" || len(p.Key) > 512 || len(p.Value) > 512 {
			return fault.New(fault.Validation, "A key of invocationHttpParameters is from 1 to 512 characters long, and a value at most 512.")
		}
		if in == state.ParameterHeader {
			if err := checkHeader(p.Key, p.Value); err != nil {
				return err
			}
		}
		if secret {
			with.Values[len(c.Parameters)], p.Value = p.Value, ""
		}
		c.Parameters = append(c.Parameters, p)
		return nil
	}
	var errs []error
	for _, p := range l.parameters.HeaderParameters {
		errs = append(errs, add(state.ParameterHeader, p.Key, p.Value, p.IsValueSecret))
	}
	for _, p := range l.parameters.QueryStringParameters {
		errs = append(errs, add(state.ParameterQuery, p.Key, p.Value, p.IsValueSecret))
	}
	for _, p := range l.parameters.BodyParameters {
		errs = append(errs, add(state.ParameterBody, p.Key, p.Value, p.IsValueSecret))
	}
	if len(errs) > 100 {
		return fault.New(fault.Validation, "A connection can have at most 100 parameters.")
	}
	return first(errs...)
}

// CreateConnection makes a connection of basic or API key credentials, which are kept encrypted.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateConnection.html
func (a *API) CreateConnection(ctx context.Context, in *sdk.CreateConnectionInput) (*sdk.CreateConnectionOutput, error) {
	var c checks
	made := &state.EventConnection{Name: c.Text(in.Name, "name", nameForm), ID: uuid.NewString(), Description: c.Optional(in.Description, "description", descriptionForm),
		Type: string(in.AuthorizationType), Created: a.now(), Modified: a.now()}
	c.Enum(made.Type, "authorizationType", state.ConnectionBasic, state.ConnectionOAuth, state.ConnectionAPIKey)
	if in.AuthParameters == nil {
		c.Add("null", "authParameters", "Member must not be null")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	p := in.AuthParameters
	err := first(unsupported(made.Type == state.ConnectionOAuth || p.OAuthParameters != nil, state.ConnectionOAuth), unsupported(in.KmsKeyIdentifier != nil, "KmsKeyIdentifier"),
		unsupported(in.InvocationConnectivityParameters != nil || p.ConnectivityParameters != nil, "ConnectivityParameters"))
	if err != nil {
		return nil, err
	}
	l := login{parameters: p.InvocationHttpParameters}
	switch {
	case made.Type == state.ConnectionBasic && p.BasicAuthParameters != nil && p.ApiKeyAuthParameters == nil:
		l.name, l.value = p.BasicAuthParameters.Username, p.BasicAuthParameters.Password
	case made.Type == state.ConnectionAPIKey && p.ApiKeyAuthParameters != nil && p.BasicAuthParameters == nil:
		l.name, l.value = p.ApiKeyAuthParameters.ApiKeyName, p.ApiKeyAuthParameters.ApiKeyValue
	default:
		return nil, fault.New(fault.Validation, "AuthParameters must be those of the AuthorizationType.")
	}
	var with events.Credentials
	if err := l.read(made, &with); err != nil {
		return nil, err
	}
	if err := events.Seal(a.Keeper, made, with); err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		switch {
		case tx.EventConnections.Get(made.Name) != nil:
			return fault.New(resourceExists, "Connection %s already exists.", made.Name)
		case tx.EventConnections.Len() >= mostConnections:
			return fault.New(fault.LimitExceeded, "The requested resource exceeds the maximum number allowed.")
		}
		tx.EventConnections.Put(made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	w := a.wireConnection(made)
	return &sdk.CreateConnectionOutput{ConnectionArn: w.ConnectionArn, ConnectionState: w.ConnectionState, CreationTime: w.CreationTime, LastModifiedTime: w.LastModifiedTime}, nil
}

// UpdateConnection changes what is given of a connection.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_UpdateConnection.html
func (a *API) UpdateConnection(ctx context.Context, in *sdk.UpdateConnectionInput) (*sdk.UpdateConnectionOutput, error) {
	var c checks
	name, l := c.Text(in.Name, "name", nameForm), login{kind: string(in.AuthorizationType)}
	c.Optional(in.Description, "description", descriptionForm)
	c.Enum(l.kind, "authorizationType", state.ConnectionBasic, state.ConnectionOAuth, state.ConnectionAPIKey)
	p := in.AuthParameters
	if p == nil {
		p = &types.UpdateConnectionAuthRequestParameters{}
	}
	err := first(c.err(), unsupported(l.kind == state.ConnectionOAuth || p.OAuthParameters != nil, state.ConnectionOAuth), unsupported(in.KmsKeyIdentifier != nil, "KmsKeyIdentifier"),
		unsupported(in.InvocationConnectivityParameters != nil || p.ConnectivityParameters != nil, "ConnectivityParameters"))
	if err != nil {
		return nil, err
	}
	l.parameters = p.InvocationHttpParameters
	if b := p.BasicAuthParameters; b != nil {
		l.name, l.value = b.Username, b.Password
	}
	if k := p.ApiKeyAuthParameters; k != nil {
		l.name, l.value = k.ApiKeyName, k.ApiKeyValue
	}
	var changed state.EventConnection
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := connection(&tx.Tables, name)
		if err != nil {
			return err
		}
		with, err := events.Open(a.Keeper, old)
		if err != nil {
			return err
		}
		changed = *old
		if in.Description != nil {
			changed.Description = *in.Description
		}
		if err := l.read(&changed, &with); err != nil {
			return err
		}
		changed.Modified = a.now()
		if err := events.Seal(a.Keeper, &changed, with); err != nil {
			return err
		}
		tx.EventConnections.Put(&changed)
		return nil
	})
	if err != nil {
		return nil, err
	}
	w := a.wireConnection(&changed)
	return &sdk.UpdateConnectionOutput{ConnectionArn: w.ConnectionArn, ConnectionState: w.ConnectionState, CreationTime: w.CreationTime,
		LastModifiedTime: w.LastModifiedTime, LastAuthorizedTime: w.LastAuthorizedTime}, nil
}

func connection(t *state.Tables, name string) (*state.EventConnection, error) {
	c := t.EventConnections.Get(name)
	if c == nil {
		return nil, fault.New(fault.ResourceNotFound, "Failed to describe the connection(s). Connection '%s' does not exist.", name)
	}
	return c, nil
}

// wireConnection describes a connection. Its credentials need no authorization, so it is always authorized.
func (a *API) wireConnection(c *state.EventConnection) types.Connection {
	arn := events.ConnectionARN(a.Place, c)
	return types.Connection{ConnectionArn: &arn, Name: &c.Name, AuthorizationType: types.ConnectionAuthorizationType(c.Type), ConnectionState: types.ConnectionStateAuthorized,
		CreationTime: moment(c.Created), LastModifiedTime: moment(c.Modified), LastAuthorizedTime: moment(c.Modified)}
}

// DescribeConnection describes a connection without its secrets.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeConnection.html
func (a *API) DescribeConnection(_ context.Context, in *sdk.DescribeConnectionInput) (*sdk.DescribeConnectionOutput, error) {
	var wrong checks
	name := wrong.Text(in.Name, "name", nameForm)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	c, err := connection(a.tables(), name)
	if err != nil {
		return nil, err
	}
	p := &types.ConnectionAuthResponseParameters{}
	if c.Type == state.ConnectionBasic {
		p.BasicAuthParameters = &types.ConnectionBasicAuthResponseParameters{Username: &c.Login}
	} else {
		p.ApiKeyAuthParameters = &types.ConnectionApiKeyAuthResponseParameters{ApiKeyName: &c.Login}
	}
	if len(c.Parameters) > 0 {
		p.InvocationHttpParameters = &types.ConnectionHttpParameters{}
	}
	for i := range c.Parameters {
		one, h := &c.Parameters[i], p.InvocationHttpParameters
		value := ptr(one.Value)
		switch one.In {
		case state.ParameterHeader:
			h.HeaderParameters = append(h.HeaderParameters, types.ConnectionHeaderParameter{Key: &one.Key, Value: value, IsValueSecret: one.Secret})
		case state.ParameterQuery:
			h.QueryStringParameters = append(h.QueryStringParameters, types.ConnectionQueryStringParameter{Key: &one.Key, Value: value, IsValueSecret: one.Secret})
		case state.ParameterBody:
			h.BodyParameters = append(h.BodyParameters, types.ConnectionBodyParameter{Key: &one.Key, Value: value, IsValueSecret: one.Secret})
		}
	}
	w := a.wireConnection(c)
	return &sdk.DescribeConnectionOutput{AuthParameters: p, AuthorizationType: w.AuthorizationType, ConnectionArn: w.ConnectionArn, ConnectionState: w.ConnectionState,
		CreationTime: w.CreationTime, Description: ptr(c.Description), LastAuthorizedTime: w.LastAuthorizedTime, LastModifiedTime: w.LastModifiedTime, Name: w.Name}, nil
}

// ListConnections lists connections by name.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListConnections.html
func (a *API) ListConnections(_ context.Context, in *sdk.ListConnectionsInput) (*sdk.ListConnectionsOutput, error) {
	var c checks
	prefix, p := c.Optional(in.NamePrefix, "namePrefix", nameForm), pageOf(&c, in.Limit, in.NextToken)
	if err := c.err(); err != nil {
		return nil, err
	}
	out := &sdk.ListConnectionsOutput{}
	out.Connections, out.NextToken = cut(p, a.tables().EventConnections.All(), func(c *state.EventConnection) string { return c.Name }, func(c *state.EventConnection) bool {
		return strings.HasPrefix(c.Name, prefix) && (in.ConnectionState == "" || in.ConnectionState == types.ConnectionStateAuthorized)
	}, a.wireConnection)
	return out, nil
}

// DeleteConnection deletes a connection. API destinations that use it can be called no more.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeleteConnection.html
func (a *API) DeleteConnection(ctx context.Context, in *sdk.DeleteConnectionInput) (*sdk.DeleteConnectionOutput, error) {
	var c checks
	name := c.Text(in.Name, "name", nameForm)
	if err := c.err(); err != nil {
		return nil, err
	}
	var w types.Connection
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := connection(&tx.Tables, name)
		if err != nil {
			return err
		}
		w = a.wireConnection(old)
		tx.EventConnections.Delete(name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sdk.DeleteConnectionOutput{ConnectionArn: w.ConnectionArn, ConnectionState: types.ConnectionStateDeleting, CreationTime: w.CreationTime,
		LastModifiedTime: w.LastModifiedTime, LastAuthorizedTime: w.LastAuthorizedTime}, nil
}
