package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"roadstead.dev/roadstead/internal/agent/engine"
	"roadstead.dev/roadstead/internal/agent/metadata"
	"roadstead.dev/roadstead/internal/agent/sdkhttp"
)

// MetadataConfig is where containers ask about themselves.
type MetadataConfig struct {
	engine.Endpoint
	// Listeners take their requests; Run closes them.
	Listeners []net.Listener
}

// How long a role's credentials last, and how long before their end there are new ones: SDKs in containers ask again some
// minutes before it.
const (
	roleLasts   = 6 * time.Hour
	roleRenewed = time.Hour
)

// serve answers containers until ctx ends.
func (a *Agent) serve(ctx context.Context) error {
	m := a.cfg.Metadata
	if m == nil {
		return nil
	}
	srv := &http.Server{
		Handler: metadata.New(metadata.Config{
			Source: a.engine.Metadata(), Lend: a.lender.lend, Protection: protection{a.api}, Log: a.cfg.Log,
		}),
		ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	errs := make(chan error, len(m.Listeners))
	for _, l := range m.Listeners {
		go func() { errs <- srv.Serve(l) }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-errs:
	}
	return errors.Join(err, srv.Close())
}

// lender has roles' credentials of the server's STS, each until it is nearly over.
type lender struct {
	client *sts.Client

	mu    sync.Mutex
	roles map[metadata.Role]*aws.CredentialsCache
}

// maxRoles bounds what is remembered: a machine has fewer tasks, and what is forgotten is had anew.
const maxRoles = 1024

func newLender(c Config) *lender {
	return &lender{
		client: sts.New(sts.Options{Region: c.Region, Credentials: c.Credentials, BaseEndpoint: &c.ServerURL, HTTPClient: sdkhttp.New(c.HTTPClient)}),
		roles:  map[metadata.Role]*aws.CredentialsCache{},
	}
}

func (l *lender) lend(ctx context.Context, r metadata.Role) (*metadata.Credentials, error) {
	c, err := l.role(r).Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	return &metadata.Credentials{
		RoleARN: r.ARN, AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, Token: c.SessionToken, Expiration: c.Expires.UTC(),
	}, nil
}

func (l *lender) role(r metadata.Role) *aws.CredentialsCache {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.roles[r]; c != nil {
		return c
	}
	if len(l.roles) >= maxRoles {
		clear(l.roles)
	}
	provider := stscreds.NewAssumeRoleProvider(l.client, r.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = r.Task, roleLasts
	})
	c := aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = roleRenewed })
	l.roles[r] = c
	return c
}

// protection asks the server's ECS.
type protection struct{ api *ecs.Client }

func (p protection) Get(ctx context.Context, cluster, task string) (*metadata.ProtectionState, error) {
	out, err := p.api.GetTaskProtection(ctx, &ecs.GetTaskProtectionInput{Cluster: &cluster, Tasks: []string{task}})
	if err != nil {
		return nil, protectionError(task, err)
	}
	return protectionState(task, out.ProtectedTasks, out.Failures)
}

func (p protection) Set(ctx context.Context, cluster, task string, enabled bool, minutes *int32) (*metadata.ProtectionState, error) {
	out, err := p.api.UpdateTaskProtection(ctx, &ecs.UpdateTaskProtectionInput{
		Cluster: &cluster, Tasks: []string{task}, ProtectionEnabled: enabled, ExpiresInMinutes: minutes,
	})
	if err != nil {
		return nil, protectionError(task, err)
	}
	return protectionState(task, out.ProtectedTasks, out.Failures)
}

func protectionState(task string, protected []types.ProtectedTask, failures []types.Failure) (*metadata.ProtectionState, error) {
	if len(failures) > 0 {
		f := failures[0]
		return nil, &metadata.ProtectionFailure{ARN: aws.ToString(f.Arn), Reason: aws.ToString(f.Reason), Detail: aws.ToString(f.Detail)}
	}
	if len(protected) == 0 {
		return nil, errors.New("the server answered nothing about the task")
	}
	s := &metadata.ProtectionState{Enabled: protected[0].ProtectionEnabled, TaskARN: task}
	if at := protected[0].ExpirationDate; at != nil {
		utc := at.UTC()
		s.Until = &utc
	}
	return s, nil
}

// protectionError passes an exception of the API on, and nothing else of an error.
func protectionError(task string, err error) error {
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		return err
	}
	code := http.StatusBadRequest
	if refused.ErrorFault() == smithy.FaultServer {
		code = http.StatusInternalServerError
	}
	return &metadata.ProtectionError{ARN: task, Code: refused.ErrorCode(), Message: refused.ErrorMessage(), Status: code}
}
