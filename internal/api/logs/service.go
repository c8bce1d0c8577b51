// Package logs answers the operations of Amazon CloudWatch Logs from a logstore.Store.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html
package logs

import (
	"errors"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/wire"
)

// Config says whose log groups these are. Store, Region and Account are required.
type Config struct {
	Store           *logstore.Store
	Region, Account string
	// Now is the clock of the bound on startFromHead; time.Now if nil.
	Now func() time.Time
	// TailEvery is how often a Live Tail session is told what came in (1 s, and sooner after a silence); TailFor is how long
	// it lasts (3 h); TailSessions how many there may be at once (15).
	TailEvery, TailFor time.Duration
	TailSessions       int
}

// Service has a handler for each operation that is served. Its methods may be called from many goroutines.
type Service struct {
	store    *logstore.Store
	cfg      Config
	sessions chan struct{} // one place for each Live Tail session
}

// New makes a Service.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Region == "" || cfg.Account == "" {
		return nil, errors.New("logs: Store, Region and Account are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.TailEvery == 0 {
		cfg.TailEvery = time.Second
	}
	if cfg.TailFor == 0 {
		cfg.TailFor = 3 * time.Hour
	}
	if cfg.TailSessions == 0 {
		cfg.TailSessions = 15
	}
	return &Service{store: cfg.Store, cfg: cfg, sessions: make(chan struct{}, cfg.TailSessions)}, nil
}

// Register makes the wire's service with all handlers.
func (s *Service) Register() *wire.Service {
	w := wire.NewService(wire.ServiceConfig{
		Name:         "logs",
		SigningName:  "logs",
		Protocol:     wire.JSON11,
		TargetPrefix: "Logs_20140328",
		APIVersion:   "2014-03-28",
		Client:       reflect.TypeFor[*cloudwatchlogs.Client](),
		Unsupported:  fault.Unsupported,
		Internal:     fault.Unavailable,
	})
	wire.Handle(w, "CreateLogGroup", s.CreateLogGroup)
	wire.Handle(w, "DescribeLogGroups", s.DescribeLogGroups)
	wire.Handle(w, "DeleteLogGroup", s.DeleteLogGroup)
	wire.Handle(w, "PutLogGroupDeletionProtection", s.PutLogGroupDeletionProtection)
	wire.Handle(w, "PutRetentionPolicy", s.PutRetentionPolicy)
	wire.Handle(w, "DeleteRetentionPolicy", s.DeleteRetentionPolicy)
	wire.Handle(w, "CreateLogStream", s.CreateLogStream)
	wire.Handle(w, "DescribeLogStreams", s.DescribeLogStreams)
	wire.Handle(w, "DeleteLogStream", s.DeleteLogStream)
	wire.Handle(w, "PutLogEvents", s.PutLogEvents)
	wire.Handle(w, "GetLogEvents", s.GetLogEvents)
	wire.Handle(w, "FilterLogEvents", s.FilterLogEvents)
	wire.Handle(w, "TagLogGroup", s.TagLogGroup)
	wire.Handle(w, "UntagLogGroup", s.UntagLogGroup)
	wire.Handle(w, "ListTagsLogGroup", s.ListTagsLogGroup)
	wire.Handle(w, "TagResource", s.TagResource)
	wire.Handle(w, "UntagResource", s.UntagResource)
	wire.Handle(w, "ListTagsForResource", s.ListTagsForResource)
	wire.HandleStream(w, "StartLiveTail", s.StartLiveTail)
	return w
}
