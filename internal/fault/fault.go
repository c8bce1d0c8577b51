// Package fault has the kinds of error that a caller of the API can cause or must know of. A handler returns one, wrapped
// or not; package wire turns it into each protocol's own form. Everything else is an internal error: the caller is told
// nothing of it and the log everything.
package fault

import (
	"errors"
	"fmt"
)

// Kind is an exception's name as AWS's SDKs know it, such as ClusterNotFoundException.
type Kind string

// The exceptions of the ECS API and those common to all of AWS's.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
const (
	Client              Kind = "ClientException"
	InvalidParameter    Kind = "InvalidParameterException"
	ClusterNotFound     Kind = "ClusterNotFoundException"
	ClusterHasInstances Kind = "ClusterContainsContainerInstancesException"
	ClusterHasTasks     Kind = "ClusterContainsTasksException"
	ClusterHasServices  Kind = "ClusterContainsServicesException"
	AttributeLimit      Kind = "AttributeLimitExceededException"
	TargetNotFound      Kind = "TargetNotFoundException"
	TargetNotConnected  Kind = "TargetNotConnectedException"
	ResourceInUse       Kind = "ResourceInUseException"
	NamespaceNotFound   Kind = "NamespaceNotFoundException"
	NoUpdateAvailable   Kind = "NoUpdateAvailableException"
	UpdateInProgress    Kind = "UpdateInProgressException"
	MissingVersion      Kind = "MissingVersionException"
	ServiceNotFound     Kind = "ServiceNotFoundException"
	Conflict            Kind = "ConflictException"
	ResourceNotFound    Kind = "ResourceNotFoundException"
	Unsupported         Kind = "UnsupportedFeatureException"
	AccessDenied        Kind = "AccessDeniedException"
	LimitExceeded       Kind = "LimitExceededException"
	Throttling          Kind = "ThrottlingException"
	Server              Kind = "ServerException"
	Unavailable         Kind = "ServiceUnavailableException"
	Validation          Kind = "ValidationException"
)

// Error is an answer to the caller: what went wrong, and what to do about it. Message never holds a secret.
type Error struct {
	Kind    Kind
	Message string
	// Cause is for the log alone.
	Cause error
	// Fields are members of the exception's shape beside its message, by their wire names: resourceIds, validSequenceToken...
	Fields map[string]any
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Kind, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Kind, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an error of a kind; the message is formatted as by fmt.Sprintf.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of a kind with a cause for the log.
func Wrap(cause error, kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// Is tells whether err is, or wraps, an error of that kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}
