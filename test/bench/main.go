// Command bench measures how fast a task starts: Roadstead, bare crun, docker run and Docker Swarm, in turns, in one run, so
// that a noisy machine is as noisy to each. What is timed is the same for all: from the request to the moment when the
// container's process has connected to a socket of ours. It needs root and a built bin/roadstead with bin/images; it installs
// Debian's docker.io for itself and runs a dockerd of its own beside any other.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// subject is one system under test. launch asks for n containers that connect to addr, and returns when that is asked for;
// clear removes them.
type subject interface {
	name() string
	launch(ctx context.Context, n int, addr string) error
	clear(ctx context.Context) error
	close()
}

type result struct {
	Subject string    `json:"subject"`
	Size    int       `json:"size"`
	Seconds []float64 `json:"seconds"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	sizes := flag.String("sizes", "1,20,100", "how many containers at once")
	rounds := flag.Int("rounds", 7, "how often each is measured")
	only := flag.String("only", "roadstead,crun,docker,swarm", "which systems")
	out := flag.String("json", "", "file for the results as JSON")
	flag.Parse()
	if os.Geteuid() != 0 {
		return errors.New("containers need root")
	}
	subjects, err := prepare(ctx, strings.Split(*only, ","))
	for _, s := range subjects {
		defer s.close()
	}
	if err != nil {
		return err
	}
	var results []result
	for _, text := range strings.Split(*sizes, ",") {
		var size int
		if _, err := fmt.Sscan(text, &size); err != nil || size < 1 {
			return fmt.Errorf("--sizes: %q is not a number of containers", text)
		}
		rs, err := measureAll(ctx, subjects, size, *rounds)
		if err != nil {
			return err
		}
		results = append(results, rs...)
	}
	table(results)
	if *out == "" {
		return nil
	}
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, b, 0o644)
}

// measureAll takes the subjects in turns, so that what the machine does meanwhile falls on all of them.
func measureAll(ctx context.Context, subjects []subject, size, rounds int) ([]result, error) {
	results := make([]result, len(subjects))
	for round := range rounds + 1 { // the first warms caches and is not counted
		for i, s := range subjects {
			fmt.Fprintf(os.Stderr, "\r%-60s", fmt.Sprintf("%d at once, round %d of %d: %s", size, round, rounds, s.name()))
			d, err := measure(ctx, s, size)
			if err != nil {
				return nil, fmt.Errorf("%s, %d at once: %w", s.name(), size, err)
			}
			results[i].Subject, results[i].Size = s.name(), size
			if round > 0 {
				results[i].Seconds = append(results[i].Seconds, d.Seconds())
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	return results, nil
}

// measure times one launch until all its containers have connected.
func measure(ctx context.Context, s subject, size int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	conns := make(chan net.Conn, size)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(conns)
				return
			}
			conns <- c
		}
	}()
	start := time.Now()
	launched := make(chan error, 1)
	go func() { launched <- s.launch(ctx, size, l.Addr().String()) }()
	var open []net.Conn
	for len(open) < size {
		select {
		case c := <-conns:
			open = append(open, c)
		case err := <-launched:
			if err != nil {
				return 0, err
			}
			launched = nil
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d have connected: %w", len(open), size, ctx.Err())
		}
	}
	took := time.Since(start)
	if launched != nil {
		if err := <-launched; err != nil {
			return 0, err
		}
	}
	l.Close()
	for _, c := range open { // the containers' programs end with their connection
		c.Close()
	}
	return took, s.clear(ctx)
}

func table(results []result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprintln(w, "at once\tsystem\tp50\tmin\tmax\tx crun\t")
	base := map[int]float64{}
	for _, r := range results {
		if r.Subject == "crun" {
			base[r.Size] = median(r.Seconds)
		}
	}
	for _, r := range results {
		ratio := "-"
		if b := base[r.Size]; b > 0 {
			ratio = fmt.Sprintf("%.2f", median(r.Seconds)/b)
		}
		fmt.Fprintf(w, "%d\t%s\t%.0f ms\t%.0f ms\t%.0f ms\t%s\t\n", r.Size, r.Subject, 1000*median(r.Seconds), 1000*slices.Min(r.Seconds), 1000*slices.Max(r.Seconds), ratio)
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
