package wire

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/aws/smithy-go/eventstream"

	"roadstead.dev/roadstead/internal/fault"
)

// streamWriter writes an event stream's messages, each flushed at once.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartLiveTail.html and
// https://smithy.io/2.0/aws/amazon-eventstream.html
type streamWriter struct {
	x       *exchange
	rc      *http.ResponseController
	encoder *eventstream.Encoder
	buf     bytes.Buffer
	begun   bool
}

// writeTimeout bounds how long one message may wait for a client that doesn't read.
const writeTimeout = time.Minute

// stream calls a handler that answers an event stream.
func (x *exchange) stream(ctx context.Context, in any) error {
	sw := &streamWriter{x: x, rc: http.NewResponseController(x.w), encoder: eventstream.NewEncoder()}
	err := x.handler.stream(ctx, in, sw.event)
	switch {
	case err != nil && !sw.begun:
		return err
	case err != nil && ctx.Err() != nil:
		return nil // the client has gone, and that is how a tail ends
	case err != nil:
		x.fault = asFault(&x.route.config, err)
		if werr := sw.exception(x.fault); werr != nil {
			x.s.cfg.Log.Debug("stream's exception not delivered", "request", x.id, "err", werr)
		}
		return nil
	}
	return sw.begin()
}

// begin sends the status and the message that the RPC protocols' clients wait for before all events.
func (sw *streamWriter) begin() error {
	if sw.begun {
		return nil
	}
	sw.begun = true
	sw.x.w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	sw.x.status = http.StatusOK
	sw.x.w.WriteHeader(http.StatusOK)
	return sw.message(eventstream.EventMessageType, eventstream.EventTypeHeader, "initial-response", []byte("{}"))
}

// event sends one event.
func (sw *streamWriter) event(eventType string, event any) error {
	v := reflect.ValueOf(event)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("wire: an event is a pointer to a struct, not %T", event)
	}
	payload, err := appendJSON(nil, sw.x.route.service.planner.plan(v.Type().Elem()), v.Elem())
	if err != nil {
		return fmt.Errorf("encoding event %s: %w", eventType, err)
	}
	if err := sw.begin(); err != nil {
		return err
	}
	return sw.message(eventstream.EventMessageType, eventstream.EventTypeHeader, eventType, payload)
}

// exception ends a stream that has begun with an error.
func (sw *streamWriter) exception(f *fault.Error) error {
	return sw.message(eventstream.ExceptionMessageType, eventstream.ExceptionTypeHeader, string(f.Kind), appendErrorJSON(nil, f))
}

func (sw *streamWriter) message(messageType, typeHeader, typ string, payload []byte) error {
	var msg eventstream.Message
	msg.Headers.Set(eventstream.MessageTypeHeader, eventstream.StringValue(messageType))
	msg.Headers.Set(typeHeader, eventstream.StringValue(typ))
	msg.Headers.Set(eventstream.ContentTypeHeader, eventstream.StringValue("application/json"))
	msg.Payload = payload
	sw.buf.Reset()
	if err := sw.encoder.Encode(&sw.buf, msg); err != nil {
		return fmt.Errorf("encoding an event stream's message: %w", err)
	}
	// Not every ResponseWriter has deadlines (a test's recorder hasn't); then the connection's own hold.
	_ = sw.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := sw.x.w.Write(sw.buf.Bytes())
	sw.x.bytesOut += int64(n)
	if err != nil {
		return err
	}
	return sw.rc.Flush()
}
