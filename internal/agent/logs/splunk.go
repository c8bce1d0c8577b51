package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// splunk posts lines to Splunk's HTTP event collector.
//
// https://docs.docker.com/engine/logging/drivers/splunk/, https://docs.splunk.com/Documentation/Splunk/latest/Data/HECExamples
type splunk struct {
	client *http.Client
	url    string
	auth   string
	verify bool
	format string
	// common is what every message has; its event and time are each line's.
	common splunkMessage
	tag    string
	attrs  map[string]string
	prefix string
	gzip   bool
	level  int
	// dropped is told of lines that the collector refuses for what they are.
	dropped func(bytes int, err error)
}

var _ protocol = (*splunk)(nil)

// splunkBatch is how many lines are in one request.
const splunkBatch = 1000

// splunkAnswer is how much of a refusal is told, in bytes.
const splunkAnswer = 512

type splunkMessage struct {
	Event      any    `json:"event"`
	Time       string `json:"time"`
	Host       string `json:"host"`
	Source     string `json:"source,omitempty"`
	SourceType string `json:"sourcetype,omitempty"`
	Index      string `json:"index,omitempty"`
}

type splunkEvent struct {
	Line   any               `json:"line"`
	Source string            `json:"source"`
	Tag    string            `json:"tag,omitempty"`
	Attrs  map[string]string `json:"attrs,omitempty"`
}

func newSplunk(src Source, host string, dropped func(int, error)) (*splunk, error) {
	opts := src.Options
	s := &splunk{dropped: dropped, format: opts["splunk-format"], common: splunkMessage{
		Host: host, Source: opts["splunk-source"], SourceType: opts["splunk-sourcetype"], Index: opts["splunk-index"],
	}}
	var err error
	if s.url, err = splunkURL(opts); err != nil {
		return nil, err
	}
	if opts["splunk-token"] == "" {
		return nil, errors.New("splunk: splunk-token is expected")
	}
	s.auth = "Splunk " + opts["splunk-token"]
	if s.verify, err = boolOption(opts, "splunk-verify-connection", true); err != nil {
		return nil, err
	}
	if err := s.compression(opts); err != nil {
		return nil, err
	}
	switch s.format {
	case "":
		s.format = "inline"
	case "inline", "json", "raw":
	default:
		return nil, fmt.Errorf("unknown format specified %s, supported formats are inline, json and raw", s.format)
	}
	if template, given := opts["tag"]; !given || template != "" { // empty is for no tag
		if s.tag, err = src.Info.tag(opts); err != nil {
			return nil, err
		}
	}
	if s.attrs, err = src.Info.attributes(opts, nil); err != nil {
		return nil, err
	}
	s.prefix = s.rawPrefix()
	s.client, err = splunkClient(opts)
	return s, err
}

func (s *splunk) shape() shape { return shape{max: eventBytes, empty: true} }

// rawPrefix is what is before each line in the raw format.
func (s *splunk) rawPrefix() string {
	var b strings.Builder
	if s.tag != "" {
		b.WriteString(s.tag + " ")
	}
	for _, k := range slices.Sorted(maps.Keys(s.attrs)) {
		b.WriteString(k + "=" + s.attrs[k] + " ")
	}
	return b.String()
}

func (s *splunk) compression(opts map[string]string) (err error) {
	if s.gzip, err = boolOption(opts, "splunk-gzip", false); err != nil {
		return err
	}
	s.level = gzip.DefaultCompression
	if v := opts["splunk-gzip-level"]; v != "" {
		if s.level, err = strconv.Atoi(v); err != nil {
			return fmt.Errorf("invalid value for log opt 'splunk-gzip-level': %w", err)
		}
		if s.level < gzip.DefaultCompression || s.level > gzip.BestCompression {
			return fmt.Errorf("not supported level '%s' for splunk-gzip-level (supported values between %d and %d)", v, gzip.DefaultCompression, gzip.BestCompression)
		}
	}
	return nil
}

func splunkURL(opts map[string]string) (string, error) {
	given := opts["splunk-url"]
	if given == "" {
		return "", errors.New("splunk: splunk-url is expected")
	}
	u, err := url.Parse(given)
	if err != nil {
		return "", fmt.Errorf("splunk: failed to parse %s as url value in splunk-url", given)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("splunk: expected format scheme://dns_name_or_ip:port for splunk-url")
	}
	u.Path = "/services/collector/event/1.0"
	return u.String(), nil
}

func splunkClient(opts map[string]string) (*http.Client, error) {
	cfg := &tls.Config{ServerName: opts["splunk-caname"], MinVersion: tls.VersionTLS12}
	var err error
	if cfg.InsecureSkipVerify, err = boolOption(opts, "splunk-insecureskipverify", false); err != nil {
		return nil, err
	}
	if path := opts["splunk-capath"]; path != "" {
		if cfg.RootCAs, err = certificates(path); err != nil {
			return nil, err
		}
	}
	return &http.Client{
		Timeout:   3 * linkTimeout,
		Transport: &http.Transport{TLSClientConfig: cfg, Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute, MaxIdleConns: 1},
		// The token is for the collector alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (s *splunk) open(ctx context.Context) error {
	if !s.verify {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, s.url, nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("splunk: failed to verify connection - %s", answer(resp))
	}
	return nil
}

func (s *splunk) close() { s.client.CloseIdleConnections() }

// deliver sends one request. Lines of one that is refused for what is in it are tried apart.
func (s *splunk) deliver(ctx context.Context, events []event) (int, error) {
	events = events[:min(len(events), splunkBatch)]
	body, err := s.body(events)
	if err != nil || len(body) == 0 {
		return len(events), err
	}
	status, err := s.post(ctx, body)
	switch {
	case err == nil:
		return len(events), nil
	case status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge:
		return 0, err
	case len(events) == 1:
		s.dropped(len(events[0].Text), err)
		return 1, nil
	}
	half := len(events) / 2
	n, err := s.deliver(ctx, events[:half])
	if err != nil || n < half {
		return n, err
	}
	rest, err := s.deliver(ctx, events[half:])
	return n + rest, err
}

func (s *splunk) post(ctx context.Context, body []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", s.auth)
	if s.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, fmt.Errorf("splunk: failed to send event - %s", answer(resp))
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection is used again
	return resp.StatusCode, err
}

// answer is a refusal's status and the beginning of its text.
func answer(resp *http.Response) string {
	text, err := io.ReadAll(io.LimitReader(resp.Body, splunkAnswer))
	if err != nil {
		return resp.Status
	}
	return fmt.Sprintf("%s - %q", resp.Status, text)
}

func (s *splunk) body(events []event) ([]byte, error) {
	var b bytes.Buffer
	var w io.Writer = &b
	var zip *gzip.Writer
	if s.gzip {
		var err error
		if zip, err = gzip.NewWriterLevel(&b, s.level); err != nil {
			return nil, err
		}
		w = zip
	}
	n := 0
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range events {
		m, ok := s.message(&events[i])
		if !ok {
			continue
		}
		n++
		if err := enc.Encode(m); err != nil {
			return nil, err
		}
	}
	if n == 0 {
		return nil, nil
	}
	if zip != nil {
		if err := zip.Close(); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// message is an event as the collector takes it; false for one that it does not take, being blank.
func (s *splunk) message(e *event) (*splunkMessage, bool) {
	m := s.common
	m.Time = strconv.FormatFloat(float64(e.time().UnixNano())/float64(time.Second), 'f', 6, 64)
	if s.format == "raw" {
		if strings.TrimSpace(e.Text) == "" {
			return nil, false
		}
		m.Event = s.prefix + e.Text
		return &m, true
	}
	line := splunkEvent{Line: e.Text, Source: e.stream(), Tag: s.tag, Attrs: s.attrs}
	if s.format == "json" && json.Valid([]byte(e.Text)) {
		line.Line = json.RawMessage(e.Text)
	}
	m.Event = line
	return &m, true
}
