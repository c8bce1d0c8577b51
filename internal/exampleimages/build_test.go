package exampleimages

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestBuild(t *testing.T) {
	dir := t.TempDir()
	if err := Build(t.Context(), dir, Config{}); err != nil {
		t.Fatal(err)
	}
	first := read(t, dir)
	for _, c := range []struct{ file, name, program string }{{"hello.tar", HelloName, "hello"}, {"busybox.tar", BusyboxName, "bin/busybox"}} {
		tag, err := name.NewTag(c.name)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(filepath.Join(dir, c.file), &tag)
		if err != nil {
			t.Fatal(err)
		}
		files := extract(t, img)
		if files[c.program] == nil || files[c.program].Mode != 0o755 {
			t.Errorf("%s: %s is %+v", c.file, c.program, files[c.program])
		}
		for n, h := range files {
			if h.Typeflag == tar.TypeSymlink && files[path.Join(path.Dir(n), h.Linkname)] == nil {
				t.Errorf("%s: %s leads to %s, which is not there", c.file, n, h.Linkname)
			}
		}
	}
	if err := Build(t.Context(), dir, Config{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, read(t, dir)) {
		t.Error("built again, the images are different ones")
	}
}

func read(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	for _, n := range []string{"hello.tar", "busybox.tar"} {
		b, err := os.ReadFile(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func extract(t *testing.T, img v1.Image) map[string]*tar.Header {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	files := map[string]*tar.Header{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(h.Name, "/")] = h
	}
}

func TestBusyboxHasToBeStatic(t *testing.T) {
	for _, program := range []string{"/usr/bin/apt-get", filepath.Join(t.TempDir(), "none")} {
		_, err := Busybox(t.Context(), Config{Busybox: program})
		if err == nil || !strings.Contains(err.Error(), "install Debian's package busybox-static") {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// TestHello runs the program of the hello image as a plain process.
func TestHello(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hello")
	if out, err := exec.Command("go", "build", "-o", program, web).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range []struct {
		name string
		end  func(*testing.T, *exec.Cmd, string)
		code int
	}{
		{"SIGTERM", func(t *testing.T, cmd *exec.Cmd, _ string) {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}, 0},
		{"exit", func(t *testing.T, _ *exec.Cmd, url string) { get(t, url+"/exit?code=7", 200) }, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(program)
			cmd.Env = []string{"HELLO_PORT=0", "HELLO_X=shown", "SECRET=hidden"}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			url := listening(t, out)
			get(t, url+"/healthz", 200)
			get(t, url+"/metadata", 404)
			if env := get(t, url+"/env", 200); !strings.Contains(env, "HELLO_X=shown") || strings.Contains(env, "hidden") {
				t.Errorf("environment: %s", env)
			}
			c.end(t, cmd, url)
			err = cmd.Wait()
			if cmd.ProcessState.ExitCode() != c.code {
				t.Errorf("ended with %v, want code %d", err, c.code)
			}
		})
	}
}

// listening waits for the line that says where the program listens; later ones are dropped.
func listening(t *testing.T, out io.Reader) string {
	t.Helper()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, lines)
	_, port, ok := strings.Cut(strings.TrimSpace(line), "[::]:")
	if !ok {
		t.Fatalf("%q does not say where it listens", line)
	}
	return "http://127.0.0.1:" + port
}

func get(t *testing.T, url string, status int) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Errorf("%s: %s", url, resp.Status)
	}
	return string(body)
}
