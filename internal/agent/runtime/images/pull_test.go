package images

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

func TestPull(t *testing.T) {
	reg, s := newRegistry(t), newStore(t, "")
	img := testImage(t, "", layer(t, file{"one", "1"}, file{"both", "below"}), layer(t, file{"both", "above"}))
	ref := reg.push(t, "team/app:v1", img)
	var last [2]int64
	got, err := s.Pull(t.Context(), ref, runtime.PullOptions{Progress: func(done, total int64) { last = [2]int64{done, total} }})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Layers) != 2 || contents(t, got.Layers, "both") != "above" || contents(t, got.Layers, "one") != "1" {
		t.Errorf("layers %v", got.Layers)
	}
	if want := digestString(t, img); got.Digest != want || got.Name != ref {
		t.Errorf("%s %s, want %s %s", got.Name, got.Digest, ref, want)
	}
	want := runtime.ImageConfig{
		Entrypoint: []string{"/bin/app"}, Cmd: []string{"serve"}, Env: []string{"A=1"}, User: "7:8", WorkingDir: "/srv",
		StopSignal: "SIGINT", Volumes: []string{"/a", "/z"}, OS: "linux", Architecture: thisMachine().(machine).architecture,
	}
	if d := cmp.Diff(want, got.Config); d != "" {
		t.Error(d)
	}
	if last[0] == 0 || last[0] != last[1] || last[0] != got.Size {
		t.Errorf("progress ended at %v, size is %d", last, got.Size)
	}
	// The compressed layers are not kept: the manifest and the config are.
	if blobs, dirs := s.blobsAndSnapshots(t); blobs != 2 || dirs != 3 {
		t.Errorf("%d blobs, %d snapshots", blobs, dirs)
	}
}

func TestPullPolicies(t *testing.T) {
	reg, s := newRegistry(t), newStore(t, "")
	var asked atomic.Int32
	var down atomic.Bool
	reg.around = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		asked.Add(1)
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		next.ServeHTTP(w, r)
	}
	first, second := testImage(t, "", layer(t, file{"v", "1"})), testImage(t, "", layer(t, file{"v", "2"}))
	ref := reg.push(t, "app", first)
	pull := func(policy runtime.PullPolicy, content string, requests bool) {
		t.Helper()
		asked.Store(0)
		got, err := s.Pull(t.Context(), ref, runtime.PullOptions{Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		if c := contents(t, got.Layers, "v"); c != content {
			t.Errorf("policy %d: got version %s, want %s", policy, c, content)
		}
		if (asked.Load() > 0) != requests {
			t.Errorf("policy %d: %d requests", policy, asked.Load())
		}
	}
	pull(runtime.PullDefault, "1", true)
	pull(runtime.PullDefault, "1", true)
	if asked.Load() != 1 {
		t.Errorf("an image that had not changed took %d requests", asked.Load())
	}
	reg.push(t, "app", second)
	pull(runtime.PullPreferCached, "1", false)
	pull(runtime.PullOnce, "1", false)
	pull(runtime.PullDefault, "2", true)
	down.Store(true)
	pull(runtime.PullDefault, "2", true)
	if _, err := s.Pull(t.Context(), ref, runtime.PullOptions{Policy: runtime.PullAlways}); err == nil || !strings.Contains(err.Error(), "502 Bad Gateway") {
		t.Errorf("always: %v", err)
	}
}

func TestPullByDigest(t *testing.T) {
	reg, s := newRegistry(t), newStore(t, "")
	img := testImage(t, "", layer(t, file{"v", "1"}))
	idx := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: testImage(t, "riscv64", layer(t, file{"v", "r"})), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "riscv64"}}},
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: thisMachine().(machine).architecture}}})
	reg.push(t, "app:multi", idx)
	for _, c := range []struct{ ref, digest string }{
		{"app:multi", digestString(t, img)},
		{"app@" + digestString(t, idx), digestString(t, idx)},
		{"app:multi@" + digestString(t, img), digestString(t, img)},
	} {
		got, err := s.Pull(t.Context(), reg.host+"/"+c.ref, runtime.PullOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != c.digest || contents(t, got.Layers, "v") != "1" {
			t.Errorf("%s: %s, want %s", c.ref, got.Digest, c.digest)
		}
	}
	// They share one view of one layer.
	if _, dirs := s.blobsAndSnapshots(t); dirs != 2 {
		t.Errorf("%d snapshots", dirs)
	}
}

func TestPullShared(t *testing.T) {
	reg, s := newRegistry(t), newStore(t, "")
	ref := reg.push(t, "app", testImage(t, "", layer(t, file{"v", "1"})))
	open, seen := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var manifests atomic.Int32
	reg.around = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
			manifests.Add(1)
			once.Do(func() { close(seen) })
			<-open
		}
		next.ServeHTTP(w, r)
	}
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Pull(t.Context(), ref, runtime.PullOptions{}) })
	}
	<-seen
	for joined := 0; joined < len(errs); {
		s.flights.mu.Lock()
		for _, f := range s.flights.by {
			joined = f.waiters
		}
		s.flights.mu.Unlock()
	}
	close(open)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if manifests.Load() != 1 {
		t.Errorf("the registry was asked %d times", manifests.Load())
	}
}
