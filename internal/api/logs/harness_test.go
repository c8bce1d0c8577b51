package logs_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"roadstead.dev/roadstead/internal/api/logs"
	"roadstead.dev/roadstead/internal/api/sts"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/logstore"
	"roadstead.dev/roadstead/internal/wire"
)

const (
	region  = "us-east-1"
	account = "000000000000"
	keyID   = "AKIDEXAMPLE"
	secret  = "not-a-secret-of-anything"
)

type oneKey struct{}

func (oneKey) Key(_ context.Context, id, _ string) (wire.Key, error) {
	if id != keyID {
		return wire.Key{}, fault.New(fault.ResourceNotFound, "no such key")
	}
	return wire.Key{Secret: secret, Caller: wire.Caller{
		AccessKeyID: keyID, ARN: "arn:aws:iam::" + account + ":root", UserID: account, Account: account,
	}}, nil
}

// newStore runs a store until the test ends.
func newStore(t testing.TB, cfg logstore.Config) *logstore.Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.ReserveBytes == 0 {
		cfg.ReserveBytes = 1 << 20
	}
	store, err := logstore.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

func newService(t testing.TB, store *logstore.Store, change func(*logs.Config)) *logs.Service {
	t.Helper()
	cfg := logs.Config{Store: store, Region: region, Account: account}
	if change != nil {
		change(&cfg)
	}
	s, err := logs.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve answers the service's operations, and STS's, on a loopback port.
func serve(t testing.TB, s *logs.Service) string {
	t.Helper()
	h, err := wire.New(wire.Config{Services: []*wire.Service{s.Register(), new(sts.API).Service()}, Keys: oneKey{}, Region: region, Account: account, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// client is the SDK's, pointed at url. StartLiveTail's host has a prefix that no loopback name has, so the dialer ignores it.
func client(url string) *cloudwatchlogs.Client {
	addr := strings.TrimPrefix(url, "http://")
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return cloudwatchlogs.New(cloudwatchlogs.Options{
		Region:           region,
		BaseEndpoint:     aws.String(url),
		Credentials:      credentials.NewStaticCredentialsProvider(keyID, secret, ""),
		RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, addr)
		}}},
	})
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCallerIdentity(t *testing.T) {
	url := serve(t, newService(t, newStore(t, logstore.Config{}), nil))
	out, err := awssts.New(awssts.Options{
		Region: region, BaseEndpoint: aws.String(url), Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	}).GetCallerIdentity(context.Background(), &awssts.GetCallerIdentityInput{})
	ok(t, err)
	if *out.Account != account || *out.Arn != "arn:aws:iam::000000000000:root" || *out.UserId != account {
		t.Errorf("caller is %s %s %s", *out.Account, *out.Arn, *out.UserId)
	}
}
