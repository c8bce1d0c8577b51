// Package forward receives what Fluentd's forward protocol brings, for tests.
//
// https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
package forward

import (
	"errors"
	"fmt"
	"net"

	"github.com/tinylib/msgp/msgp"
)

// Record is one line of output as Docker's driver sends it.
type Record struct{ Tag, Source, Log string }

// Serve receives from all who connect, acknowledges what is to be, and calls take with each record, from several goroutines. What is
// not as it should be goes to wrong and ends its connection. It returns when the listener is closed.
func Serve(ln net.Listener, take func(Record), wrong func(error)) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				wrong(err)
			}
			return
		}
		go func() {
			defer conn.Close()
			in := msgp.NewReader(conn)
			for {
				v, err := in.ReadIntf()
				if err != nil {
					return // the other side has gone
				}
				if err := receive(conn, v, take); err != nil {
					wrong(err)
					return
				}
			}
		}()
	}
}

// receive takes [tag, [[time, record]...], options].
func receive(conn net.Conn, v any, take func(Record)) error {
	message, _ := v.([]any)
	if len(message) != 3 {
		return fmt.Errorf("not a message of the Forward mode: %v", v)
	}
	tag, _ := message[0].(string)
	entries, _ := message[1].([]any)
	for _, e := range entries {
		entry, _ := e.([]any)
		if len(entry) != 2 {
			return fmt.Errorf("not an entry: %v", e)
		}
		record, _ := entry[1].(map[string]any)
		source, _ := record["source"].(string)
		log, _ := record["log"].(string)
		take(Record{tag, source, log})
	}
	options, _ := message[2].(map[string]any)
	if chunk, ok := options["chunk"].(string); ok {
		_, err := conn.Write(msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "ack"), chunk))
		return err
	}
	return nil
}
