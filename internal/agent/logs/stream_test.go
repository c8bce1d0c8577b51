package logs

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer("/g")
		s, err := OpenStream(t.Context(), Config{Client: srv}, StreamConfig{Group: "/g", Stream: "session"})
		must(t, err)
		for _, part := range []string{"one\r\ntw", "o\r\n\r\n\xff\n", "$ "} {
			_, err := s.Write([]byte(part))
			must(t, err)
		}
		synctest.Wait()
		if got := srv.texts("/g", "session"); !slices.Equal(got, []string{"one", "two", "�"}) {
			t.Errorf("it has %q while it is open", got)
		}
		must(t, s.Close(t.Context()))
		if got := srv.texts("/g", "session"); !slices.Equal(got, []string{"one", "two", "�", "$ "}) {
			t.Errorf("it has %q", got)
		}
		if _, err := s.Write([]byte("late\n")); !errors.Is(err, errStreamClosed) {
			t.Errorf("a write after the end: %v", err)
		}
		must(t, srv.problem)
	})
}

func TestStreamWithoutItsGroup(t *testing.T) {
	srv := newServer()
	if _, err := OpenStream(t.Context(), Config{Client: srv}, StreamConfig{Group: "/g", Stream: "s"}); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("%v", err)
	}
	s, err := OpenStream(t.Context(), Config{Client: srv}, StreamConfig{Group: "/g", Stream: "s", CreateGroup: true})
	must(t, err)
	must(t, s.Close(t.Context()))
}

// TestStreamIsBounded: a server that is away stops the writer, and what is given up in the end is told.
func TestStreamIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer("/g")
		away := true
		srv.misbehave = func(int) (error, bool) {
			if away {
				return errBusy, false
			}
			return nil, true
		}
		s, err := OpenStream(t.Context(), Config{Client: srv}, StreamConfig{Group: "/g", Stream: "s"})
		must(t, err)
		line := append(bytes.Repeat([]byte{'x'}, 999), '\n')
		lines, ended := 0, make(chan error)
		go func() {
			for ; lines < 10_000; lines++ {
				if _, err := s.Write(line); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if most := maxStreamBytes/len(line) + 1; lines > most {
			t.Errorf("%d lines were taken, %d fit", lines, most)
		}
		srv.mu.Lock()
		away = false
		srv.mu.Unlock()
		must(t, <-ended)
		must(t, s.Close(t.Context()))
		if n := len(srv.texts("/g", "s")); n != 10_000 {
			t.Errorf("%d lines have come", n)
		}

		away = true
		s, err = OpenStream(t.Context(), Config{Client: srv}, StreamConfig{Group: "/g", Stream: "t"})
		must(t, err)
		_, err = s.Write(slices.Concat(line, line))
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); err == nil || !strings.Contains(err.Error(), "2 events are lost") {
			t.Errorf("%v", err)
		}
		must(t, srv.problem)
	})
}

// TestStreamCutsLongLines: a line without an end does not grow.
func TestStreamCutsLongLines(t *testing.T) {
	srv := newServer("/g")
	s, err := OpenStream(t.Context(), Config{Client: srv}, StreamConfig{Group: "/g", Stream: "s"})
	must(t, err)
	_, err = s.Write(append(bytes.Repeat([]byte{'y'}, 3*maxStreamLine+5), '\n'))
	must(t, err)
	must(t, s.Close(t.Context()))
	if got := srv.texts("/g", "s"); len(got) != 4 || len(got[0]) != maxStreamLine || got[3] != "yyyyy" {
		t.Errorf("%d events", len(got))
	}
}
