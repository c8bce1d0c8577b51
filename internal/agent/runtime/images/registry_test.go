package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func isBlob(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }

// TestPullErrors has the words that a task's stoppedReason shows behind "CannotPullContainerError: ".
// See https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html
func TestPullErrors(t *testing.T) {
	reg := newRegistry(t)
	good := testImage(t, "", layer(t, file{"v", "1"}))
	ref := reg.push(t, "app:1", good)
	other := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: good, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "riscv64"}}},
		mutate.IndexAddendum{Add: good, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "windows", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: good, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}})
	multi := reg.push(t, "app:multi", other)
	wrong := reg.push(t, "app:wrong", testImage(t, "s390x", layer(t, file{"v", "1"})))
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	free := httptest.NewServer(nil)
	closed := strings.TrimPrefix(free.URL, "http://")
	free.Close()
	for _, c := range []struct {
		name, ref string
		around    func(http.ResponseWriter, *http.Request, http.Handler)
		want      []string
	}{
		{"no such tag", reg.host + "/app:none", nil, []string{"pull image manifest has been retried 1 time(s): failed to resolve ref " + reg.host + "/app:none: ", "not found"}},
		{"no such repository", reg.host + "/none/none", nil, []string{"failed to resolve ref " + reg.host + "/none/none:latest: ", "not found"}},
		{"no such digest", reg.host + "/app@sha256:" + strings.Repeat("a", 64), nil, []string{"not found"}},
		{"invalid name", "Not A Name", nil, []string{`invalid reference "Not A Name"`, "invalid reference format"}},
		{"basic auth", ref, status(401, "WWW-Authenticate", `Basic realm="x"`), []string{"retried 1 time(s)", "pull access denied, repository does not exist or may require authorization", "no basic auth credentials"}},
		{"forbidden", ref, status(403), []string{"retried 1 time(s)", "403 Forbidden"}},
		{"down", ref, status(503), []string{"retried 3 time(s)", "503 Service Unavailable"}},
		{"refused", closed + "/app:1", nil, []string{"retried 3 time(s)", "connection refused"}},
		{"no such platform", multi, nil, []string{"image Manifest does not contain descriptor matching platform 'linux/", "image " + multi + " has no manifest for linux/", "; it has: linux/riscv64, windows/amd64"}},
		{"other platform", wrong, nil, []string{"image " + wrong + " has no manifest for", "it has: linux/s390x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg.around = c.around
			s := newStore(t, "", func(c *Config) { c.Attempts = 3 })
			_, err := s.Pull(t.Context(), c.ref, runtime.PullOptions{})
			if err == nil {
				t.Fatal("pulled")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
			nothingIn(t, s)
		})
	}
}

func TestPullWithCredentials(t *testing.T) {
	reg, s := newRegistry(t), newStore(t, "")
	ref := reg.push(t, "app", testImage(t, "", layer(t, file{"v", "1"})))
	reg.around = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}
	_, err := s.Pull(t.Context(), ref, runtime.PullOptions{Username: "me", Password: "wr0ng"})
	if err == nil || strings.Contains(err.Error(), "wr0ng") || !strings.Contains(err.Error(), "401 Unauthorized") {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := s.Pull(t.Context(), ref, runtime.PullOptions{Username: "me", Password: "s3cret"}); err != nil {
		t.Error(err)
	}
}

// TestPullWithToken is the way of Docker Hub and many others: a token from another server.
func TestPullWithToken(t *testing.T) {
	reg, s := newRegistry(t), newStore(t, "")
	ref := reg.push(t, "app", testImage(t, "", layer(t, file{"v", "1"})))
	reg.around = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/token" {
			if err := r.ParseForm(); err != nil || r.Form.Get("password") != "s3cret" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			fmt.Fprint(w, `{"access_token":"t0ken","token":"t0ken"}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer t0ken" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+reg.host+`/token",service="test",scope="repository:app:pull"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}
	if _, err := s.Pull(t.Context(), ref, runtime.PullOptions{Username: "me", Password: "s3cret"}); err != nil {
		t.Error(err)
	}
}

// TestPullFromABadRegistry: what a registry or the way to it gets wrong once is asked for again, and never believed.
func TestPullFromABadRegistry(t *testing.T) {
	data, err := random.Layer(300<<10, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		// bad is what it does at the n-th request for a blob; false passes the request on.
		bad  func(w http.ResponseWriter, r *http.Request, n int32, next http.Handler) bool
		want string
	}{
		{"errors twice", func(w http.ResponseWriter, _ *http.Request, n int32, _ http.Handler) bool {
			if n <= 4 {
				w.WriteHeader(http.StatusInternalServerError)
			}
			return n <= 4
		}, ""},
		{"is busy", func(w http.ResponseWriter, _ *http.Request, n int32, _ http.Handler) bool {
			if n <= 2 {
				w.WriteHeader(http.StatusTooManyRequests)
			}
			return n <= 2
		}, ""},
		{"cuts off", func(w http.ResponseWriter, r *http.Request, n int32, next http.Handler) bool {
			if n > 4 {
				return false
			}
			next.ServeHTTP(&cutting{ResponseWriter: w, left: 50 << 10}, r)
			panic(http.ErrAbortHandler)
		}, ""},
		{"garbles", func(w http.ResponseWriter, r *http.Request, n int32, next http.Handler) bool {
			if n > 2 {
				return false
			}
			next.ServeHTTP(&garbling{w}, r)
			return true
		}, ""},
		{"garbles always", func(w http.ResponseWriter, r *http.Request, _ int32, next http.Handler) bool {
			next.ServeHTTP(&garbling{w}, r)
			return true
		}, "retried 5 time(s)"},
		{"stalls", func(w http.ResponseWriter, r *http.Request, n int32, _ http.Handler) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", "300000")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, ""},
		{"stalls always", func(w http.ResponseWriter, r *http.Request, _ int32, _ http.Handler) bool {
			w.Header().Set("Content-Length", "300000")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, "image pull inactivity time exceeded"},
		{"cannot do ranges", func(w http.ResponseWriter, r *http.Request, _ int32, next http.Handler) bool {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return true
			}
			next.ServeHTTP(&cutting{ResponseWriter: w, left: 250 << 10}, r)
			return true
		}, "failed to copy"},
		{"says it is gone", func(w http.ResponseWriter, _ *http.Request, _ int32, _ http.Handler) bool {
			w.WriteHeader(http.StatusNotFound)
			return true
		}, "retried 1 time(s): failed to copy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg := newRegistry(t)
			ref := reg.push(t, "app", testImage(t, "", data, layer(t, file{"v", "1"})))
			var n atomic.Int32
			reg.around = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if isBlob(r) && c.bad(w, r, n.Add(1), next) {
					return
				}
				next.ServeHTTP(w, r)
			}
			s := newStore(t, "", func(c *Config) { c.Inactivity = 100 * time.Millisecond })
			got, err := s.Pull(t.Context(), ref, runtime.PullOptions{})
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				contents(t, got.Layers, "v")
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			nothingIn(t, s)
		})
	}
}

// cutting passes so many bytes on and drops the rest.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	if _, err := c.ResponseWriter.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// garbling changes a byte of every write.
type garbling struct{ http.ResponseWriter }

func (g *garbling) Write(p []byte) (int, error) {
	p = append([]byte(nil), p...)
	p[len(p)/2] ^= 1
	return g.ResponseWriter.Write(p)
}

// TestPullResumes: what an attempt got is not asked for again.
func TestPullResumes(t *testing.T) {
	data, err := random.Layer(1<<20, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	reg, s := newRegistry(t), newStore(t, "")
	ref := reg.push(t, "app", testImage(t, "", data))
	digest := digestString(t, data)
	raw, err := data.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(raw)
	if err != nil {
		t.Fatal(err)
	}
	var ranges []string
	var mu sync.Mutex
	reg.around = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasSuffix(r.URL.Path, digest) {
			next.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		first := len(ranges) == 1
		mu.Unlock()
		if first {
			http.ServeContent(&cutting{ResponseWriter: w, left: 400 << 10}, r, "", time.Time{}, bytes.NewReader(body))
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
	if _, err := s.Pull(t.Context(), ref, runtime.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	from, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(ranges[1], "bytes="), "-"))
	if err != nil || from == 0 {
		t.Errorf("ranges %q", ranges)
	}
}

// TestPullGivenUp: one caller's giving up is not another's, and when all have, the work ends.
func TestPullGivenUp(t *testing.T) {
	reg, s := newRegistry(t), newStore(t, "")
	ref := reg.push(t, "app", testImage(t, "", layer(t, file{"v", "1"})))
	asked, open, gone := make(chan struct{}, 10), make(chan struct{}), make(chan struct{}, 10)
	reg.around = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodHead {
			asked <- struct{}{}
			select {
			case <-open:
			case <-r.Context().Done():
				gone <- struct{}{}
				return
			}
		}
		next.ServeHTTP(w, r)
	}
	pull := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := s.Pull(ctx, ref, runtime.PullOptions{})
			done <- err
		}()
		return done
	}
	first, leave := context.WithCancel(t.Context())
	a := pull(first)
	<-asked
	leave()
	if err := <-a; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	<-gone
	second, leaveSecond := context.WithCancel(t.Context())
	b, c := pull(second), pull(t.Context())
	<-asked
	leaveSecond()
	if err := <-b; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	close(open)
	if err := <-c; err != nil {
		t.Error(err)
	}
}
