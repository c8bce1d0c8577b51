package exampleimages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// The images' names.
const (
	HelloName   = "roadstead/hello:latest"
	BusyboxName = "roadstead/busybox:latest"
)

// web is the program that is in the hello image.
const web = "roadstead.dev/roadstead/internal/exampleimages/web"

// Config says what images are made of. The zero value is right.
type Config struct {
	// Go is the go command: "go" if empty. It is run in Module, or in this process's directory, which has to be in the module.
	Go, Module string
	// Busybox is a static busybox: /bin/busybox of Debian's busybox-static if empty.
	Busybox string
}

func (c Config) withDefaults() Config {
	if c.Go == "" {
		c.Go = "go"
	}
	if c.Busybox == "" {
		c.Busybox = "/bin/busybox"
	}
	return c
}

// Build writes hello.tar and busybox.tar into dir, as archives that docker load and roadstead image import read. What is
// there is replaced as a whole.
func Build(ctx context.Context, dir string, cfg Config) error {
	cfg = cfg.withDefaults()
	hello, err := Hello(ctx, cfg)
	if err != nil {
		return err
	}
	busybox, err := Busybox(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(
		write(filepath.Join(dir, "hello.tar"), HelloName, hello),
		write(filepath.Join(dir, "busybox.tar"), BusyboxName, busybox))
}

// Hello is the image of the web server in the package web.
func Hello(ctx context.Context, cfg Config) (v1.Image, error) {
	cfg = cfg.withDefaults()
	tmp, err := os.MkdirTemp("", "roadstead-hello-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "hello")
	// No version control stamp and no build id: the same source gives the same bytes, wherever it is.
	cmd := exec.CommandContext(ctx, cfg.Go, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, web)
	cmd.Dir = cfg.Module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", web, err, text)
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	return image(append(base(), entry{path: "hello", mode: 0o755, body: program}), v1.Config{
		Entrypoint:   []string{"/hello"},
		Env:          []string{"PATH=/"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		WorkingDir:   "/",
	})
}

// Busybox is the image of a static busybox with all its applets.
func Busybox(ctx context.Context, cfg Config) (v1.Image, error) {
	cfg = cfg.withDefaults()
	program, err := os.ReadFile(cfg.Busybox)
	if err != nil {
		return nil, fmt.Errorf("%w: install Debian's package busybox-static", err)
	}
	if err := checkStatic(cfg.Busybox); err != nil {
		return nil, err
	}
	list, err := exec.CommandContext(ctx, cfg.Busybox, "--list-full").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list-full: %w", cfg.Busybox, err)
	}
	files := append(base(), entry{path: "bin/busybox", mode: 0o755, body: program})
	return image(append(files, applets(string(list))...), v1.Config{
		Cmd:        []string{"sh"},
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		WorkingDir: "/",
	})
}

func write(path, tag string, img v1.Image) (err error) {
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".image-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(tarball.Write(ref, img, f), f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
