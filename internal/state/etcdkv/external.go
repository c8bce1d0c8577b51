package etcdkv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ExternalConfig is for an etcd, or a cluster of them, that runs elsewhere.
type ExternalConfig struct {
	Common
	// Endpoints are its client addresses, such as https://10.0.0.1:2379.
	Endpoints []string
	TLS       *tls.Config
	// Username and Password are for an etcd with authentication.
	Username, Password string
	// MaxTxnOps and MaxRequestBytes are how that etcd is configured; its defaults, 128 and 1.5 MiB, if 0.
	MaxTxnOps, MaxRequestBytes int
	// DialTimeout is how long the first connection may take. 10 s if 0.
	DialTimeout time.Duration
}

func (c *ExternalConfig) setDefaults() {
	c.Common.setDefaults()
	if c.MaxTxnOps == 0 {
		c.MaxTxnOps = 128
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = 3 << 19
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
}

// External connects to an etcd that runs elsewhere.
func External(ctx context.Context, cfg ExternalConfig) (*KV, error) {
	cfg.setDefaults()
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("etcdkv: no endpoints configured")
	}
	log := newLogger(cfg.Log)
	log.ready()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.Username, Password: cfg.Password,
		DialTimeout: cfg.DialTimeout, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		MaxCallSendMsgSize: cfg.MaxRequestBytes + 1<<20,
		Logger:             log.zap(),
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %q: %w", cfg.Endpoints, err)
	}
	kv := newKV(cfg.Common, log, client, limitsOf(cfg.MaxTxnOps, cfg.MaxRequestBytes), client.Close)
	if err := kv.reach(ctx, cfg.DialTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to etcd at %q: %w", cfg.Endpoints, err), kv.Close())
	}
	return kv, nil
}

// reach asks for something, to find a wrong address at the start.
func (kv *KV) reach(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := kv.client.Get(ctx, kv.key(leaderKey), clientv3.WithKeysOnly())
	return err
}
