package etcdkv

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// What etcd warns of though nothing is wrong: on a new directory it looks for the term of a snapshot that is not there yet, and
// looks again every few seconds until it is; and each half a minute it tries to remove the parts of its log that it still writes.
const (
	storageVersion = "failed to update storage version"
	logInUse       = "failed to lock file"
)

// logger hands etcd's warnings to slog. What etcd says of its configuration while it starts, and all that is not even a
// warning, is for debugging.
type logger struct {
	log     *slog.Logger
	isReady *atomic.Bool
	fields  []zapcore.Field
}

var _ zapcore.Core = (*logger)(nil)

func newLogger(log *slog.Logger) *logger {
	return &logger{log: log.With("part", "etcd"), isReady: new(atomic.Bool)}
}

func (l *logger) ready() { l.isReady.Store(true) }

func (l *logger) zap() *zap.Logger { return zap.New(l) }

func (l *logger) level(z zapcore.Level) slog.Level {
	switch {
	case z >= zapcore.ErrorLevel:
		return slog.LevelError
	case z == zapcore.WarnLevel && l.isReady.Load():
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.LevelEnabler.
func (l *logger) Enabled(z zapcore.Level) bool {
	return z >= zapcore.WarnLevel && l.log.Enabled(context.Background(), l.level(z))
}

// With implements zapcore.Core.
func (l *logger) With(fields []zapcore.Field) zapcore.Core {
	return &logger{log: l.log, isReady: l.isReady, fields: append(l.fields[:len(l.fields):len(l.fields)], fields...)}
}

// Check implements zapcore.Core.
func (l *logger) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if l.Enabled(e.Level) {
		return ce.AddCore(e, l)
	}
	return ce
}

// Write implements zapcore.Core.
func (l *logger) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, list := range [][]zapcore.Field{l.fields, fields} {
		for _, f := range list {
			f.AddTo(enc)
		}
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields))
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	level := l.level(e.Level)
	if e.Message == storageVersion || e.Message == logInUse {
		level = slog.LevelDebug
	}
	l.log.LogAttrs(context.Background(), level, e.Message, attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (l *logger) Sync() error { return nil }
