package metadata

import (
	"context"
	"net/http"
	"time"
)

// Lend gives the credentials with which a task acts in a role, valid for a while yet. It may be called at once from many
// goroutines.
type Lend func(ctx context.Context, r Role) (*Credentials, error)

// Role is a role that a task's containers have.
type Role struct{ Task, ARN string }

// Credentials are temporary ones, in the form that every AWS SDK reads.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
type Credentials struct {
	RoleARN         string    `json:"RoleArn"`
	AccessKeyID     string    `json:"AccessKeyId"`
	SecretAccessKey string    `json:"SecretAccessKey"`
	Token           string    `json:"Token"`
	Expiration      time.Time `json:"Expiration"`
}

// refusal is the stock agent's form of an error of this path.
type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"HTTPErrorCode"`
}

func (s *Server) credentials(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, name, message string) {
		s.write(w, code, refusal{Code: name, Message: message, Status: code})
	}
	role, ok := s.cfg.Source.FindRole(r.PathValue("id"))
	if !ok || s.cfg.Lend == nil {
		refuse(http.StatusBadRequest, "InvalidIdInRequest", "CredentialsV2Request: no task has these credentials")
		return
	}
	if !s.allow(role.Task) {
		refuse(http.StatusTooManyRequests, "ThrottlingException", "CredentialsV2Request: too many requests")
		return
	}
	c, err := s.cfg.Lend(r.Context(), role)
	if err != nil {
		s.cfg.Log.Warn("no credentials for a task's role", "task", role.Task, "role", role.ARN, "err", err)
		refuse(http.StatusServiceUnavailable, "CredentialsUninitialized", "CredentialsV2Request: the credentials could not be had just now")
		return
	}
	s.write(w, http.StatusOK, c)
}
