package logs

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// gelf sends each line as a message in Graylog's extended log format, over UDP in chunks or over TCP with a zero byte behind each.
//
// https://docs.docker.com/engine/logging/drivers/gelf/, https://go2docs.graylog.org/current/getting_in_log_data/gelf.html
type gelf struct {
	link     link
	compress string
	level    int
	// head is the beginning of every message, an object without its end: level, timestamp and the text are each event's.
	head    []byte
	dropped func(bytes int, err error)
	buf     []byte
}

var _ protocol = (*gelf)(nil)

const (
	gelfChunk     = 1420 // bytes of a datagram, as Docker's library has it
	gelfChunkHead = 12
	gelfChunks    = 128
	gelfMax       = 32 << 10 // bytes of a line: escaped, it fits 128 chunks
)

var errGELFSize = errors.New("gelf: the message is too large")

func newGELF(src Source, host string, dropped func(int, error)) (*gelf, error) {
	opts := src.Options
	g := &gelf{dropped: dropped, compress: "gzip", level: flate.BestSpeed, link: link{timeout: linkTimeout}}
	var err error
	if g.link.network, g.link.address, err = gelfAddress(opts["gelf-address"]); err != nil {
		return nil, err
	}
	if err := g.options(opts); err != nil {
		return nil, err
	}
	tag, err := src.Info.tag(opts)
	if err != nil {
		return nil, err
	}
	i := &src.Info
	fields := map[string]any{
		"version": "1.1", "host": host, "_container_id": i.ContainerID, "_container_name": i.Name(), "_image_id": i.ContainerImageID,
		"_image_name": i.ContainerImageName, "_command": i.Command(), "_tag": tag, "_created": i.ContainerCreated,
	}
	more, err := i.attributes(opts, func(name string) string {
		if name != "" && name[0] == '_' {
			return name
		}
		return "_" + name
	})
	if err != nil {
		return nil, err
	}
	for k, v := range more {
		fields[k] = v
	}
	head, err := json.Marshal(fields)
	g.head = bytes.TrimSuffix(head, []byte("}"))
	return g, err
}

func (g *gelf) shape() shape { return shape{max: gelfMax} } // Graylog takes no empty message

func (g *gelf) options(opts map[string]string) error {
	for name, value := range opts {
		tcp := g.link.network == "tcp"
		switch name {
		case "gelf-compression-level":
			n, err := strconv.Atoi(value)
			if tcp || err != nil || n < flate.DefaultCompression || n > flate.BestCompression {
				return fmt.Errorf("unknown value %q for log opt %q for gelf log driver", value, name)
			}
			g.level = n
		case "gelf-compression-type":
			if tcp || value != "gzip" && value != "zlib" && value != "none" {
				return fmt.Errorf("unknown value %q for log opt %q for gelf log driver", value, name)
			}
			g.compress = value
		case "gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay": // we never give up, and wait longer each time
			if n, err := strconv.Atoi(value); !tcp || err != nil || n < 0 {
				return fmt.Errorf("%q must be a positive integer", name)
			}
		}
	}
	return nil
}

func gelfAddress(address string) (network, at string, err error) {
	if address == "" {
		return "", "", errors.New("gelf-address is a required parameter")
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", "", err
	}
	if u.Scheme != "udp" && u.Scheme != "tcp" {
		return "", "", errors.New("gelf: endpoint needs to be TCP or UDP")
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return "", "", errors.New("gelf: please provide gelf-address as proto://host:port")
	}
	return u.Scheme, u.Host, nil
}

func (g *gelf) open(ctx context.Context) error {
	if err := g.link.with(ctx, nil); err != nil {
		return fmt.Errorf("gelf: cannot connect to GELF endpoint: %s %w", g.link.address, err)
	}
	return nil
}

func (g *gelf) close() { g.link.close() }

func (g *gelf) deliver(ctx context.Context, events []event) (int, error) {
	n := 0
	err := g.link.with(ctx, func() (err error) {
		if g.link.datagrams() {
			n, err = g.datagrams(events)
			return err
		}
		if err = g.stream(ctx, events); err == nil {
			n = len(events)
		}
		return err
	})
	return n, err
}

// message is an event's JSON.
func (g *gelf) message(e *event) ([]byte, error) {
	text, err := json.Marshal(e.Text)
	if err != nil {
		return nil, err
	}
	m := fmt.Appendf(slices.Clone(g.head), `,"level":%d,"timestamp":%.3f,"short_message":`, e.severity(), float64(e.Millis)/1000)
	return append(append(m, text...), '}'), nil
}

// stream sends events over TCP: only when all are settled have they arrived.
func (g *gelf) stream(ctx context.Context, events []event) error {
	g.buf = g.buf[:0]
	for i := range events {
		m, err := g.message(&events[i])
		if err != nil {
			return err
		}
		g.buf = append(append(g.buf, m...), 0)
	}
	return g.link.write(ctx, g.buf)
}

// datagrams sends events over UDP and tells how many it sent.
func (g *gelf) datagrams(events []event) (int, error) {
	for i := range events {
		m, err := g.message(&events[i])
		if err == nil {
			m, err = g.compressed(m)
		}
		if err == nil {
			err = g.datagram(m)
		}
		switch {
		case errors.Is(err, errGELFSize) || errors.Is(err, unix.EMSGSIZE):
			g.dropped(len(events[i].Text), err)
		case err != nil:
			return i, err
		}
	}
	return len(events), nil
}

func (g *gelf) compressed(m []byte) ([]byte, error) {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch g.compress {
	case "gzip":
		w, err = gzip.NewWriterLevel(&b, g.level)
	case "zlib":
		w, err = zlib.NewWriterLevel(&b, g.level)
	default:
		return m, nil
	}
	if err == nil {
		_, err = w.Write(m)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// datagram sends a message, in chunks if it is larger than one.
func (g *gelf) datagram(m []byte) error {
	if len(m) <= gelfChunk {
		_, err := g.link.conn.Write(m)
		return err
	}
	const room = gelfChunk - gelfChunkHead
	count := (len(m) + room - 1) / room
	if count > gelfChunks {
		return errGELFSize
	}
	var head [gelfChunkHead]byte
	head[0], head[1], head[11] = 0x1e, 0x0f, byte(count)
	rand.Read(head[2:10])
	for i := range count {
		head[10] = byte(i)
		part := m[i*room : min((i+1)*room, len(m))]
		if _, err := g.link.conn.Write(append(append(g.buf[:0], head[:]...), part...)); err != nil {
			return err
		}
	}
	return nil
}
