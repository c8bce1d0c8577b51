package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"roadstead.dev/roadstead/internal/agent/fleet"
)

// server is a control plane in a process of its own.
type server struct {
	r    *run
	dir  string
	args []string
	cmd  *exec.Cmd
	// endpoint stays the same over restarts, admin does not.
	endpoint, admin string
	caller          *fleet.Caller
	ended           chan struct{}
}

// server starts a new control plane; it is to be ended.
func (r *run) server(ctx context.Context, args ...string) (*server, error) {
	r.servers++
	s := &server{r: r, dir: filepath.Join(r.dir, strconv.Itoa(r.servers)), args: args}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.end())
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithSharedConfigProfile("roadstead"),
		config.WithSharedConfigFiles([]string{filepath.Join(s.dir, "aws", "config")}),
		config.WithSharedCredentialsFiles([]string{filepath.Join(s.dir, "aws", "credentials")}))
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 256, 256
	s.caller = &fleet.Caller{URL: s.endpoint, Region: cfg.Region, Credentials: cfg.Credentials, HTTP: &http.Client{Transport: transport, Timeout: 2 * time.Minute}}
	return s, nil
}

// start starts the process and waits until it is ready. A server that was started before gets its old address.
func (s *server) start(ctx context.Context) error {
	listen := "127.0.0.1:0"
	if s.endpoint != "" {
		listen = strings.TrimPrefix(s.endpoint, "http://")
	}
	args := append([]string{"server", "--data-dir", s.dir, "--listen", listen, "--admin", "127.0.0.1:0"}, s.args...)
	if len(s.r.EtcdEndpoints) > 0 {
		args = append(args, "--etcd-endpoints", strings.Join(s.r.EtcdEndpoints, ","))
	}
	s.cmd = exec.Command(s.r.Binary, args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	stop := context.AfterFunc(ctx, func() { s.cmd.Process.Kill() })
	defer stop()
	ready, scan := false, bufio.NewScanner(out)
	for !ready && scan.Scan() {
		if _, text, ok := strings.Cut(scan.Text(), "Admin: "); ok {
			s.admin = text
		}
		if _, text, ok := strings.Cut(scan.Text(), "Endpoint: "); ok {
			s.endpoint, ready = text, true
		}
	}
	go func() {
		// The rest must be read, or the process would block on a full pipe.
		_, _ = io.Copy(io.Discard, out)
		_ = s.cmd.Wait() // how it ended is for its log
		close(s.ended)
	}()
	if ready {
		return nil
	}
	<-s.ended
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("the server did not become ready: %s", said[max(0, len(said)-2000):])
}

// kill ends the process at once.
func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.ended
}

// end ends the process and removes its data.
func (s *server) end() error {
	if s.cmd != nil && s.ended != nil {
		s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(20 * time.Second):
			s.kill()
		}
	}
	return os.RemoveAll(s.dir)
}

// memory is what the process has in RAM now, in bytes: of its own, and of files it has mapped, which the system takes back as it needs.
func (s *server) memory() (own, mapped float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		var kib float64
		if name != "RssAnon" && name != "RssFile" {
			continue
		}
		if _, err := fmt.Sscan(value, &kib); err != nil {
			return 0, 0, fmt.Errorf("read %s: %w", name, err)
		}
		if name == "RssAnon" {
			own = kib * 1024
		} else {
			mapped = kib * 1024
		}
	}
	return own, mapped, nil
}

// memoryFigure writes down what the process has in RAM.
func (s *server) memoryFigure(with string, goal float64) error {
	own, mapped, err := s.memory()
	if err != nil {
		return err
	}
	s.r.figure(Figure{With: with + ", memory of the server", Value: own / 1e9, Unit: "GB", Goal: goal, AtMost: true,
		Note: fmt.Sprintf("and %.2f GB of mapped files, the database's, which the system takes back as it needs", mapped/1e9)})
	return nil
}

// processorTime is what the process has used of the processors so far.
func (s *server) processorTime() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may have spaces.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("read stat: too short")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	const ticks = 100 // USER_HZ, the same on every architecture Linux has today
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err1, err2)
}

// spent adds the figure of what the server used of the processors for each of n things that do does: a busy machine changes it less than
// it does rates.
func (s *server) spent(n int, of, with string, do func() error) error {
	before, err := s.processorTime()
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := s.processorTime()
	if err != nil {
		return err
	}
	s.r.figure(Figure{With: with + ", processor time of the server for each " + of, Value: float64((after - before).Microseconds()) / float64(n), Unit: "µs"})
	return nil
}

// profiled writes a CPU profile of the server beside what do does, where profiles are asked for.
func (s *server) profiled(ctx context.Context, name string, do func() error) error {
	if s.r.Profiles == "" {
		return do()
	}
	profile := make(chan error, 1)
	begin := make(chan struct{})
	go func() {
		close(begin)
		profile <- s.fetchProfile(ctx, filepath.Join(s.r.Profiles, s.r.name+"-"+name+".pprof"))
	}()
	<-begin
	err := do()
	s.r.say("waiting for the profile")
	return errors.Join(err, <-profile)
}

// profileSeconds is how long a profile takes, whatever happens meanwhile.
const profileSeconds = 5

func (s *server) fetchProfile(ctx context.Context, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.admin, profileSeconds), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer resp.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}
