package logs

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// fluentd speaks the forward protocol, in its Forward mode: a batch is one message, and is acknowledged as one.
//
// https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
// https://docs.docker.com/engine/logging/drivers/fluentd/
type fluentd struct {
	link      link
	tag       string
	ack       bool
	subSecond bool
	async     bool
	// retryWait is the least pause before a batch is sent again.
	retryWait time.Duration
	// count is how many fields every record has, and fields are these, encoded.
	count  uint32
	fields []byte

	buf, in []byte
}

var _ protocol = (*fluentd)(nil)

// ackMax bounds what an acknowledgement may be, in bytes; a real one has some thirty.
const ackMax = 4 << 10

var errAck = errors.New("fluentd: the acknowledgement is not that of the batch")

func newFluentd(src Source) (*fluentd, error) {
	opts := src.Options
	network, address, err := fluentdAddress(opts["fluentd-address"])
	if err != nil {
		return nil, err
	}
	f := &fluentd{link: link{network: network, address: address, timeout: linkTimeout}}
	if opts["fluentd-async"] != "" && opts["fluentd-async-connect"] != "" {
		return nil, errors.New("conflicting options: cannot specify both 'fluentd-async' and 'fluentd-async-connect'")
	}
	var connect bool
	for name, to := range map[string]*bool{
		"fluentd-async": &f.async, "fluentd-async-connect": &connect, "fluentd-request-ack": &f.ack, "fluentd-sub-second-precision": &f.subSecond,
	} {
		if *to, err = boolOption(opts, name, false); err != nil {
			return nil, err
		}
	}
	f.async = f.async || connect
	if err := f.limits(opts); err != nil {
		return nil, err
	}
	if f.tag, err = src.Info.tag(opts); err != nil {
		return nil, err
	}
	fields := map[string]string{"container_id": src.Info.ContainerID, "container_name": src.Info.ContainerName}
	more, err := src.Info.attributes(opts, nil)
	maps.Copy(fields, more)
	delete(fields, "source") // these two are each event's own
	delete(fields, "log")
	f.count = uint32(len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f.fields = msgp.AppendString(msgp.AppendString(f.fields, name), fields[name])
	}
	return f, err
}

func (f *fluentd) shape() shape { return shape{max: eventBytes, empty: true, pause: f.retryWait} }

// limits reads what bounds the driver's own buffer and its patience. The files are the buffer, and the patience has no end.
func (f *fluentd) limits(opts map[string]string) (err error) {
	if v := opts["fluentd-buffer-limit"]; v != "" {
		if _, err := parseSize(v, 1024); err != nil {
			return fmt.Errorf("invalid value for log opt 'fluentd-buffer-limit': %w", err)
		}
	}
	if v := opts["fluentd-max-retries"]; v != "" {
		if _, err := strconv.ParseUint(v, 10, 32); err != nil {
			return fmt.Errorf("invalid value for log opt 'fluentd-max-retries': %w", err)
		}
	}
	if v := opts["fluentd-retry-wait"]; v != "" {
		if f.retryWait, err = time.ParseDuration(v); err != nil {
			return fmt.Errorf("invalid value for log opt 'fluentd-retry-wait': %w", err)
		}
	}
	return nil
}

// boolOption reads an option that is true or false.
func boolOption(opts map[string]string, name string, otherwise bool) (bool, error) {
	v := opts[name]
	if v == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, fmt.Errorf("invalid value for log opt '%s': %w", name, err)
	}
	return b, nil
}

// fluentdAddress reads [tcp://]host[:port] or unix:///path.
func fluentdAddress(address string) (network, at string, err error) {
	const port = "24224"
	if address == "" {
		return "tcp", "127.0.0.1:" + port, nil
	}
	if !strings.Contains(address, "://") {
		address = "tcp://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", "", fmt.Errorf("invalid fluentd-address %s: %w", address, err)
	}
	switch u.Scheme {
	case "unix":
		if strings.TrimLeft(u.Path, "/") == "" {
			return "", "", errors.New("path is empty")
		}
		return "unix", u.Path, nil
	case "tcp":
	default:
		return "", "", fmt.Errorf("unsupported scheme: '%s'", u.Scheme)
	}
	if u.Path != "" {
		return "", "", errors.New("should not contain a path element")
	}
	host := u.Hostname()
	if host == "" {
		host = "127.0.0.1"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "", "", fmt.Errorf("invalid port: %q", p)
		}
		return "tcp", net.JoinHostPort(host, p), nil
	}
	return "tcp", net.JoinHostPort(host, port), nil
}

func (f *fluentd) open(ctx context.Context) error {
	if f.async {
		return nil
	}
	return f.link.with(ctx, nil)
}

func (f *fluentd) close() { f.link.close() }

func (f *fluentd) deliver(ctx context.Context, events []event) (int, error) {
	chunk := ""
	if f.ack {
		var id [16]byte
		rand.Read(id[:])
		chunk = base64.StdEncoding.EncodeToString(id[:])
	}
	f.buf = f.encode(f.buf[:0], events, chunk)
	err := f.link.with(ctx, func() error {
		if !f.ack {
			return f.link.write(ctx, f.buf)
		}
		if _, err := f.link.conn.Write(f.buf); err != nil {
			return err
		}
		return f.acknowledged(chunk)
	})
	if err != nil {
		return 0, err
	}
	return len(events), nil
}

// encode appends [tag, [[time, record]...], {"chunk": id, "size": n}].
func (f *fluentd) encode(b []byte, events []event, chunk string) []byte {
	b = msgp.AppendArrayHeader(b, 3)
	b = msgp.AppendString(b, f.tag)
	b = msgp.AppendArrayHeader(b, uint32(len(events)))
	for i := range events {
		e := &events[i]
		b = msgp.AppendArrayHeader(b, 2)
		b = f.appendTime(b, e.time())
		b = append(msgp.AppendMapHeader(b, f.count+2), f.fields...)
		b = msgp.AppendString(msgp.AppendString(b, "source"), e.stream())
		b = msgp.AppendString(msgp.AppendString(b, "log"), e.Text)
	}
	if chunk == "" {
		b = msgp.AppendMapHeader(b, 1)
	} else {
		b = msgp.AppendMapHeader(b, 2)
		b = msgp.AppendString(msgp.AppendString(b, "chunk"), chunk)
	}
	return msgp.AppendInt(msgp.AppendString(b, "size"), len(events))
}

// appendTime appends seconds, or the protocol's EventTime: extension 0 of two 32-bit numbers.
func (f *fluentd) appendTime(b []byte, t time.Time) []byte {
	if !f.subSecond {
		return msgp.AppendInt64(b, t.Unix())
	}
	b = append(b, 0xd7, 0x00) // fixext 8, type 0
	b = binary.BigEndian.AppendUint32(b, uint32(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// acknowledged reads {"ack": chunk} within the link's deadline.
func (f *fluentd) acknowledged(chunk string) error {
	f.in = f.in[:0]
	for {
		got, err := decodeAck(f.in)
		switch {
		case err == nil && got == chunk:
			return nil
		case err == nil:
			return errAck
		case !errors.Is(err, msgp.ErrShortBytes) || len(f.in) >= ackMax:
			return fmt.Errorf("%w: %w", errAck, err)
		}
		f.in = slices.Grow(f.in, 256)
		n, err := f.link.conn.Read(f.in[len(f.in):cap(f.in)])
		f.in = f.in[:len(f.in)+n]
		if n == 0 && err != nil {
			return fmt.Errorf("fluentd: no acknowledgement: %w", err)
		}
	}
}

// decodeAck reads an acknowledgement: a map in which ack is a string. It fails with msgp.ErrShortBytes if more is needed.
func decodeAck(b []byte) (string, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return "", err
	}
	for ; n > 0; n-- {
		var key []byte
		if key, b, err = msgp.ReadStringZC(b); err != nil {
			return "", err
		}
		if string(key) == "ack" {
			ack, _, err := msgp.ReadStringBytes(b)
			return ack, err
		}
		if b, err = msgp.Skip(b); err != nil {
			return "", err
		}
	}
	return "", errAck
}
