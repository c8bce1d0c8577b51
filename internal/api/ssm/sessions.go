package ssm

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"

	"roadstead.dev/roadstead/internal/fault"
)

// Sessions are those of ECS Exec, which ECS's ExecuteCommand begins. They know no others than their own ids.
type Sessions interface {
	// Resume gives a session's client a new token, and Terminate ends a session. An error is that there is no such session.
	Resume(id string) (token string, err error)
	Terminate(id string) error
}

// doesNotExist is the exception of a session that there is not, or not any more.
const doesNotExist fault.Kind = "DoesNotExistException"

func noSession(cause error, id string) error {
	return fault.Wrap(cause, doesNotExist, "Session %s does not exist.", id)
}

// ResumeSession gives the client of a session, which has lost its connection, a new token.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ResumeSession.html
func (a *API) ResumeSession(ctx context.Context, in *sdk.ResumeSessionInput) (*sdk.ResumeSessionOutput, error) {
	id, err := a.session(in.SessionId)
	if err != nil {
		return nil, err
	}
	token, err := a.Sessions.Resume(id)
	if err != nil {
		return nil, noSession(err, id)
	}
	url := a.StreamURL(ctx, id)
	return &sdk.ResumeSessionOutput{SessionId: &id, TokenValue: &token, StreamUrl: &url}, nil
}

// TerminateSession ends a session for good.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_TerminateSession.html
func (a *API) TerminateSession(_ context.Context, in *sdk.TerminateSessionInput) (*sdk.TerminateSessionOutput, error) {
	id, err := a.session(in.SessionId)
	if err != nil {
		return nil, err
	}
	if err := a.Sessions.Terminate(id); err != nil {
		return nil, noSession(err, id)
	}
	return &sdk.TerminateSessionOutput{SessionId: &id}, nil
}

// session is the id that an input names, of 1 to 96 characters.
func (a *API) session(id *string) (string, error) {
	switch {
	case id == nil || *id == "" || len(*id) > 96:
		return "", fault.New(fault.Validation, "1 validation error detected: Value at 'sessionId' failed to satisfy constraint: Member must have length between 1 and 96, inclusive")
	case a.Sessions == nil:
		return "", fault.New(fault.Unsupported, "This server has no sessions.")
	}
	return *id, nil
}
