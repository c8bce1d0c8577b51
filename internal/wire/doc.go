// Package wire speaks AWS's protocols for services whose handlers are func(ctx, *In) (*Out, error) on the AWS SDK for Go's own
// structs: AWS JSON 1.0 and 1.1, Query and EC2 Query. One Server serves every service on one endpoint: it finds the service,
// checks the signature (SigV4), decodes, calls, encodes, counts and logs. It knows nothing of what the services do.
//
// docs/design/wire.md has the why.
package wire
