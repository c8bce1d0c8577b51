package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Protection asks ECS for a task's protection from scale-in, with the agent's key.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
type Protection interface {
	Get(ctx context.Context, cluster, task string) (*ProtectionState, error)
	// Set protects a task for some minutes, or ECS's default of them where minutes is nil, or ends its protection.
	Set(ctx context.Context, cluster, task string, enabled bool, minutes *int32) (*ProtectionState, error)
}

// ProtectionState is the answer of the endpoint.
type ProtectionState struct {
	Enabled bool       `json:"ProtectionEnabled"`
	Until   *time.Time `json:"ExpirationDate,omitempty"`
	TaskARN string     `json:"TaskArn"`
}

// ProtectionFailure is ECS's word that a task cannot be protected: TASK_NOT_VALID and the like.
type ProtectionFailure struct {
	ARN    string `json:"Arn"`
	Reason string `json:"Reason"`
	Detail string `json:"Detail,omitempty"`
}

func (f *ProtectionFailure) Error() string { return f.Reason + ": " + f.Detail }

// ProtectionError is an exception of ECS.
type ProtectionError struct {
	ARN     string `json:"Arn"`
	Code    string `json:"Code"`
	Message string `json:"Message"`
	// Status is the HTTP status of ECS's answer.
	Status int `json:"-"`
}

func (e *ProtectionError) Error() string { return e.Code + ": " + e.Message }

const maxProtectionBody = 4 << 10

func (s *Server) getProtection(r *http.Request, t *Task, _ int) (any, error) {
	if s.cfg.Protection == nil {
		return nil, unavailable(t)
	}
	state, err := s.cfg.Protection.Get(r.Context(), t.Cluster, t.ARN)
	return protectionAnswer(t, state, err)
}

func (s *Server) putProtection(r *http.Request, t *Task, _ int) (any, error) {
	if s.cfg.Protection == nil {
		return nil, unavailable(t)
	}
	var in struct {
		ProtectionEnabled *bool
		ExpiresInMinutes  *int32
	}
	dec := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxProtectionBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, protectionError(t, http.StatusBadRequest, "InvalidParameterException", fmt.Sprintf("the request is not a task protection: %v", err))
	}
	if in.ProtectionEnabled == nil {
		return nil, protectionError(t, http.StatusBadRequest, "InvalidParameterException", "ProtectionEnabled must be set")
	}
	state, err := s.cfg.Protection.Set(r.Context(), t.Cluster, t.ARN, *in.ProtectionEnabled, in.ExpiresInMinutes)
	return protectionAnswer(t, state, err)
}

func protectionAnswer(t *Task, state *ProtectionState, err error) (any, error) {
	var failure *ProtectionFailure
	var refused *ProtectionError
	switch {
	case errors.As(err, &failure):
		return map[string]any{"failure": failure}, nil
	case errors.As(err, &refused):
		return nil, &status{code: refused.Status, text: refused.Code, body: map[string]any{"error": refused}}
	case err != nil:
		return nil, err
	}
	return map[string]any{"protection": state}, nil
}

func protectionError(t *Task, code int, name, message string) error {
	return &status{code: code, text: message, body: map[string]any{"error": ProtectionError{ARN: t.ARN, Code: name, Message: message}}}
}

func unavailable(t *Task) error {
	return protectionError(t, http.StatusNotImplemented, "UnsupportedFeatureException", "this agent has no task protection")
}
