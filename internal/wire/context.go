package wire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"time"
)

// KeySource finds access keys.
type KeySource interface {
	// Key gives the key with an id; fault.ResourceNotFound when there is none. sessionToken is what came with the request,
	// for keys that are known by their token; it is held against the answer's all the same.
	Key(ctx context.Context, accessKeyID, sessionToken string) (Key, error)
}

// Key is an access key with whom it stands for. It holds secrets: never log one.
type Key struct {
	Secret string
	// SessionToken must come with each request, when it isn't empty.
	SessionToken string
	// Expires is when the key ends; the zero time is never.
	Expires time.Time
	// Unchecked takes any signature: nothing is known of the key but that it is let in, as a simulation does.
	Unchecked bool
	Caller    Caller
}

// Caller is who signed a request.
type Caller struct {
	AccessKeyID, ARN, UserID, Account string
	// Type is what kind of principal it is.
	Type CallerType
}

// CallerType is a kind of principal, named as CloudTrail's userIdentity does where it has it.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
type CallerType string

// The kinds of principals.
const (
	CallerRoot        CallerType = "Root"
	CallerAssumedRole CallerType = "AssumedRole"
	// CallerAgent is a container instance's agent, which at AWS has the role of its machine.
	CallerAgent CallerType = "Agent"
)

type requestInfo struct {
	id     string
	caller Caller
	// body is that of a JSON request whose handler asks for extra members.
	body []byte
}

type requestKey struct{}

func withRequest(ctx context.Context, i *requestInfo) context.Context {
	return context.WithValue(ctx, requestKey{}, i)
}

// CallerFrom gives the caller of the request that a handler's context belongs to; the zero Caller in any other context.
func CallerFrom(ctx context.Context) Caller {
	if i, ok := ctx.Value(requestKey{}).(*requestInfo); ok {
		return i.caller
	}
	return Caller{}
}

// RequestID gives the id that the client sees in x-amzn-RequestId; empty outside of a request.
func RequestID(ctx context.Context) string {
	if i, ok := ctx.Value(requestKey{}).(*requestInfo); ok {
		return i.id
	}
	return ""
}

// Extra gives a string member of the request that AWS's clients send and the SDK's struct lacks; "" if there is none. Only
// operations that Service.KeepExtra names have it.
func Extra(ctx context.Context, name string) string {
	i, ok := ctx.Value(requestKey{}).(*requestInfo)
	if !ok || len(i.body) == 0 {
		return ""
	}
	var members map[string]json.RawMessage
	var text string
	// The body has been decoded once, so it is JSON; a member of another type is as if absent.
	if json.Unmarshal(i.body, &members) != nil || json.Unmarshal(members[name], &text) != nil {
		return ""
	}
	return text
}

// newRequestID makes a random UUID, as AWS's request ids are.
func newRequestID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails (crypto/rand)
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	var b [36]byte
	hex.Encode(b[:8], u[:4])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:], u[10:])
	return string(b[:])
}
