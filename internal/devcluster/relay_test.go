package devcluster

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"roadstead.dev/roadstead/internal/servercert"
)

// relayServer is a relay that listens.
func relayServer(t *testing.T, secret string) (*relay, *httptest.Server) {
	t.Helper()
	authority, err := servercert.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRelay(secret, authority.Certificate(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	return r, srv
}

func always() bool { return true }

// echo is a leader that says what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	w.Header().Set("X-Leader", "yes")
	_, _ = io.WriteString(w, r.Host+" "+r.URL.Path+" "+host+" "+string(b)+" "+r.Header.Get(relayHeader)+r.Header.Get("Authorization"))
}

func ask(t *testing.T, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestRelay: what is asked of a server that does not lead is asked of the leader as it came, and the leader's address is nobody's affair.
func TestRelay(t *testing.T) {
	leader, at := relayServer(t, "s")
	leader.lead(http.HandlerFunc(echo), always)
	standby, front := relayServer(t, "s")
	standby.follow(at.URL)
	host := strings.TrimPrefix(front.URL, "http://")
	if code, said := ask(t, front.URL+"/a", "body", "Authorization", "signed"); code != 200 || said != host+" /a 127.0.0.1 body signed" {
		t.Errorf("%d %s", code, said)
	}
	// Whom a stranger names as the one he asks for does not count.
	if _, said := ask(t, at.URL, "", "X-Forwarded-For", "10.9.9.9", relayHeader, "guess"); !strings.Contains(said, " 127.0.0.1 ") {
		t.Errorf("a stranger's word for another address: %s", said)
	}
	if _, said := ask(t, at.URL, "", "X-Forwarded-For", "10.9.9.9", relayHeader, "s"); !strings.Contains(said, " 10.9.9.9 ") {
		t.Errorf("another server's word: %s", said)
	}
	// Two that each take the other for the leader do not send a request round.
	leader.follow(front.URL)
	var leads atomic.Bool
	leader.mu.Lock()
	leader.leading = leads.Load
	leader.mu.Unlock()
	if code, said := ask(t, front.URL, ""); code != 503 || !strings.Contains(said, "ServiceUnavailableException") {
		t.Errorf("in a circle: %d %s", code, said)
	}
	leads.Store(true)
	if code, _ := ask(t, front.URL, ""); code != 200 {
		t.Errorf("once one leads again: %d", code)
	}
}

// TestRelayTakesOver: a request that finds the leader dead waits for the next, here this server itself, and is whole then.
func TestRelayTakesOver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	standby, front := relayServer(t, "s")
	asked := make(chan string, 1)
	transport := standby.transport
	standby.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		select {
		case asked <- r.URL.Host:
		default:
		}
		return transport.RoundTrip(r)
	})
	standby.follow(dead)
	answer := make(chan string, 1)
	go func() {
		code, said := ask(t, front.URL+"/b", "the whole body")
		if code != 200 {
			said = http.StatusText(code)
		}
		answer <- said
	}()
	if host := <-asked; "http://"+host != dead {
		t.Errorf("asked %s", host)
	}
	standby.lead(http.HandlerFunc(echo), always)
	if said := <-answer; !strings.Contains(said, "/b 127.0.0.1 the whole body") {
		t.Error(said)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestRelayWebsocket: an agent's connection goes through, over TLS of the installation's own CA.
func TestRelayWebsocket(t *testing.T) {
	authority, err := servercert.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := servercert.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	serving, err := authority.Serve([]string{"127.0.0.1"}).Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	back := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, append([]byte("leader: "), b...)); err != nil {
				return
			}
		}
	}))
	back.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*serving}}
	back.StartTLS()
	defer back.Close()
	for _, trusted := range []bool{true, false} {
		ca := authority.Certificate()
		if !trusted {
			ca = stranger.Certificate()
		}
		standby, err := newRelay("s", ca, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		standby.follow(back.URL)
		front := httptest.NewServer(standby)
		defer front.Close()
		c, _, err := websocket.Dial(t.Context(), front.URL+"/acs/ws", nil)
		if !trusted {
			if err == nil {
				t.Error("a leader with a stranger's certificate was taken for one")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.Read(t.Context()); err != nil || string(b) != "leader: hello" {
			t.Errorf("%s, %v", b, err)
		}
	}
}
