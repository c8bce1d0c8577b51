// Package agent makes a machine a container instance: it registers with a server, keeps a session with it over a websocket
// and has the engine run what the server asks for. It knows the protocol (package acs) and nothing else of the server.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/agent/engine"
	"roadstead.dev/roadstead/internal/agent/execcmd"
	"roadstead.dev/roadstead/internal/agent/journal"
	"roadstead.dev/roadstead/internal/agent/logs"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/agent/sdkhttp"
	domain "roadstead.dev/roadstead/internal/ecs"
)

// Config is what an Agent needs. ServerURL, Region, Credentials, Images, Runtime and Log must be set.
type Config struct {
	// ServerURL is the endpoint of the ECS API, http or https.
	ServerURL string
	// Cluster is a name or an ARN; empty is "default", which is made if it is not there. MakeCluster makes any that is not.
	Cluster     string
	MakeCluster bool
	Region      string
	Credentials aws.CredentialsProvider
	// HTTPClient is for the API and the websocket; nil is a new one. It must not have a Timeout: that would end sessions.
	HTTPClient *http.Client
	// DataDir keeps the journal, the instance's identity, logs and volumes, for one agent at a time. Empty keeps nothing:
	// for simulated agents. RunDir is for what need not outlive a restart of the machine, best on a tmpfs; default DataDir/run.
	DataDir, RunDir string
	// Attributes are custom ones, sent with the first registration, and Tags likewise.
	Attributes []domain.Attribute
	Tags       []domain.Tag
	// Resources is what the machine offers; nil finds it out, less ReservedMemoryMiB, with ReservedPorts taken.
	Resources         *domain.Resources
	ReservedMemoryMiB int32
	ReservedPorts     []domain.Port
	// Version and Commit are shown as the instance's versionInfo, RuntimeVersion as its dockerVersion.
	Version, Commit, RuntimeVersion string

	// Simulated is for an agent whose runtime runs nothing: it offers every capability that a definition can ask for, and
	// touches no file. Resources must be set.
	Simulated bool
	// IdentityDocument is the machine's EC2 instance identity document, sent with registrations; empty for none.
	IdentityDocument string

	Images  runtime.Images
	Runtime runtime.Runtime
	Network engine.Network
	Logs    engine.Logs
	// ExecLogs is where sessions of ECS Exec are logged; nil has those fail that are to be logged.
	ExecLogs logs.LogsAPI
	// Metadata is the endpoint that containers ask about themselves; nil for none.
	Metadata    *MetadataConfig
	PullPolicy  runtime.PullPolicy
	StopTimeout time.Duration
	LogsWait    time.Duration
	Log         *slog.Logger
	// OnConnected, if set, is called each time a session with the server begins. It must not block.
	OnConnected func()
}

// Agent is one container instance.
type Agent struct {
	cfg      Config
	engine   *engine.Engine
	api      *ecs.Client
	identity identity
	lender   *lender
	checkup  *checkup
	exec     *execcmd.Manager
	// lock and journal are open from New until Run has ended; nil without a DataDir.
	lock    *os.File
	journal *journal.File
	// endpoint is the last that DiscoverPollEndpoint gave.
	endpoint string
	// connected is the last session's, for connections beside it.
	connected atomic.Pointer[connected]
}

// connected is where and as whom a session was opened.
type connected struct{ endpoint, arn string }

// ErrFatal is wrapped by errors of Run after which another try would come to the same end.
var ErrFatal = errors.New("the agent cannot run like this")

// New checks the configuration and reads what an earlier run has left.
func New(cfg Config) (*Agent, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg}
	records, err := a.open()
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	var endpoint *engine.Endpoint
	if cfg.Metadata != nil {
		endpoint = &cfg.Metadata.Endpoint
	}
	a.lender = newLender(cfg)
	a.checkup = newCheckup(cfg.Runtime)
	a.exec = execcmd.New(execcmd.Config{Runtime: cfg.Runtime, Dial: a.dialExec, OpenLog: a.openExecLog, Log: cfg.Log})
	a.engine = engine.New(engine.Config{
		Secrets:  &secretSource{cfg, a.lender},
		Endpoint: endpoint, Zone: zone(cfg.Attributes),
		Runtime: cfg.Runtime, Images: cfg.Images, Journal: a.tasks(), Recovered: records, DataDir: cfg.DataDir, RunDir: cfg.RunDir,
		Network: cfg.Network, Logs: cfg.Logs, Log: cfg.Log,
		Simulated: cfg.Simulated, Region: cfg.Region, PullPolicy: cfg.PullPolicy, StopTimeout: cfg.StopTimeout, LogsWait: cfg.LogsWait,
	})
	a.api = ecs.New(ecs.Options{
		Region: cfg.Region, Credentials: cfg.Credentials, BaseEndpoint: &cfg.ServerURL, HTTPClient: sdkhttp.New(cfg.HTTPClient),
		// The agent has its own way of trying again.
		RetryMaxAttempts: 1,
	})
	return a, nil
}

func (c *Config) complete() error {
	u, err := url.Parse(c.ServerURL)
	switch {
	case err != nil:
		return fmt.Errorf("agent: server URL: %w", err)
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return fmt.Errorf("agent: server URL %q is not an http or https address", c.ServerURL)
	case c.Region == "" || c.Credentials == nil || c.Images == nil || c.Runtime == nil || c.Log == nil:
		return fmt.Errorf("agent: region, credentials, images, runtime and log must be set")
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	return nil
}

// open takes the data directory for this agent alone, and reads what an earlier run has left.
func (a *Agent) open() ([]*journal.Record, error) {
	dir := a.cfg.DataDir
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	var err error
	if a.lock, err = os.OpenFile(filepath.Join(dir, "agent.lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if err := unix.Flock(int(a.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("agent: another one runs with data directory %s: %w", dir, err)
	}
	if err := a.identity.load(a.identityPath(), a.cfg.Log); err != nil {
		return nil, err
	}
	var records []*journal.Record
	a.journal, records, err = journal.Open(filepath.Join(dir, "journal"), a.cfg.Log)
	return records, err
}

// tasks is the engine's journal.
func (a *Agent) tasks() engine.Journal {
	if a.journal == nil {
		return journal.None{}
	}
	return a.journal
}

// close lets another agent have the data directory.
func (a *Agent) close() error {
	var errs []error
	if a.journal != nil {
		errs = append(errs, a.journal.Close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
	}
	return errors.Join(errs...)
}

// zone is the availability zone among a machine's attributes.
func zone(attributes []domain.Attribute) string {
	for _, at := range attributes {
		if at.Name == domain.AttributeZone {
			return at.Value
		}
	}
	return ""
}

func (a *Agent) identityPath() string { return filepath.Join(a.cfg.DataDir, "agent.json") }

func (a *Agent) cluster() string {
	if a.cfg.Cluster == "" {
		return "default"
	}
	return a.cfg.Cluster
}

// Run runs tasks and keeps a session with the server until ctx ends, and then leaves their containers running. It returns an
// error only where going on is of no use: what is on the machine cannot be found out, or (wrapping ErrFatal) the server
// refuses this agent for good. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func(context.Context) error{a.engine.Run, a.serve, a.exec.Run}
	ran := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			err := part(ctx)
			if err != nil {
				cancel()
			}
			ran <- err
		}()
	}
	err := a.follow(ctx)
	cancel()
	var runErr error
	for range parts {
		runErr = errors.Join(runErr, <-ran)
	}
	if runErr != nil {
		err = runErr
	}
	return errors.Join(err, a.close())
}

// follow keeps the machine registered and connected. Tasks run on whatever becomes of it.
func (a *Agent) follow(ctx context.Context) error {
	select {
	case <-a.engine.Ready():
	case <-ctx.Done():
		return nil
	}
	var wait backoff
	registered := false
	for ctx.Err() == nil {
		begin := time.Now()
		err := a.once(ctx, &registered)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, ErrFatal) {
			return err
		}
		if time.Since(begin) > goodWhile {
			wait.reset()
		}
		delay := wait.next()
		if errors.Is(err, errInactive) {
			delay = inactiveWait
		}
		a.cfg.Log.Warn("not connected to the server", "server", a.cfg.ServerURL, "retry", delay.Round(time.Millisecond), "err", err)
		if !pause(ctx, delay) {
			return nil
		}
	}
	return nil
}

// once registers if need be and holds one session until it ends. It always returns an error: why it ended.
func (a *Agent) once(ctx context.Context, registered *bool) error {
	if !*registered {
		if err := a.register(ctx); err != nil {
			return err
		}
		*registered = true
	}
	conn, err := a.dial(ctx)
	if errors.Is(err, errUnknownInstance) {
		// The server has lost us, or is another one: it gets to know us anew.
		a.cfg.Log.Warn("the server does not know this instance", "instance", a.identity.InstanceARN)
		*registered = false
		if err := a.setInstance(""); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	a.cfg.Log.Info("connected", "instance", a.identity.InstanceARN)
	if a.cfg.OnConnected != nil {
		a.cfg.OnConnected()
	}
	return newSession(a, conn).run(ctx)
}

// pause waits; false says that ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
