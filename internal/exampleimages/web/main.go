// Command web is the program of the roadstead/hello image: a small web server to see a task by.
//
//	GET /          says hello, from which task and container
//	GET /env       the names of its environment variables, and the values of those that begin with HELLO_
//	GET /metadata  what the agent's metadata endpoint says of the container
//	GET /healthz   200, or 503 once it is stopping
//	GET /exit?code=N  ends it
//
// HELLO_PORT is where it listens (8080), HELLO_LOG_EVERY a duration between lines that it logs by itself, HELLO_EXIT_AFTER a
// duration after which it ends, HELLO_EXIT_CODE with which code, and HELLO_STOP_DELAY how long it takes to stop when it gets
// SIGTERM. "web health" asks a running one how it is, for a container's health check.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	if len(os.Args) > 1 && os.Args[1] == "health" {
		if err := health(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code, err := serve()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func port() string {
	if p := os.Getenv("HELLO_PORT"); p != "" {
		return p
	}
	return "8080"
}

// duration reads a duration from the environment; 0 if there is none.
func duration(name string) (time.Duration, error) {
	text := os.Getenv(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

type settings struct {
	logEvery, exitAfter, stopDelay time.Duration
	exitCode                       int
}

func read() (s settings, err error) {
	var errs [4]error
	s.logEvery, errs[0] = duration("HELLO_LOG_EVERY")
	s.exitAfter, errs[1] = duration("HELLO_EXIT_AFTER")
	s.stopDelay, errs[2] = duration("HELLO_STOP_DELAY")
	if text := os.Getenv("HELLO_EXIT_CODE"); text != "" {
		s.exitCode, errs[3] = strconv.Atoi(text)
	}
	return s, errors.Join(errs[:]...)
}

// serve runs until it is told to end and gives the exit code.
func serve() (int, error) {
	s, err := read()
	if err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	exits := make(chan int, 1)
	l, err := net.Listen("tcp", ":"+port())
	if err != nil {
		return 0, err
	}
	srv := &http.Server{Handler: logged(handler(ctx, exits)), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	log.Printf("hello: listening on %s", l.Addr())
	code, err := wait(ctx, s, exits, failed)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Printf("hello: requests are still under way: %v", err)
	}
	log.Printf("hello: ending with code %d", code)
	return code, nil
}

func wait(ctx context.Context, s settings, exits <-chan int, failed <-chan error) (int, error) {
	var lines, end <-chan time.Time
	if s.logEvery > 0 {
		t := time.NewTicker(s.logEvery)
		defer t.Stop()
		lines = t.C
	}
	if s.exitAfter > 0 {
		end = time.After(s.exitAfter)
	}
	for n := 1; ; {
		select {
		case <-lines:
			log.Printf("hello: line %d", n)
			n++
		case <-end:
			return s.exitCode, nil
		case code := <-exits:
			return code, nil
		case err := <-failed:
			return 0, err
		case <-ctx.Done():
			log.Printf("hello: told to stop")
			time.Sleep(s.stopDelay)
			return 0, nil
		}
	}
}

func health() error {
	c := &http.Client{Timeout: 2 * time.Second}
	resp, err := c.Get("http://127.0.0.1:" + port() + "/healthz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("unhealthy: %s", resp.Status)
	}
	return nil
}
