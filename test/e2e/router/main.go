// Router is a log router for tests: it prints its configuration, and what it gets by the forward protocol as TAG SOURCE LOG.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/tinylib/msgp/msgp"
)

func main() {
	if err := run(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run() error {
	config, err := os.ReadFile("/fluent-bit/etc/fluent-bit.conf")
	if err != nil {
		return err
	}
	fmt.Printf("%s\nsecret %s\n", config, os.Getenv("key_1"))
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	for _, at := range [][2]string{{"unix", "/var/run/fluent.sock"}, {"tcp", "0.0.0.0:24224"}} {
		ln, err := net.Listen(at[0], at[1])
		if err != nil {
			return err
		}
		go accept(ln)
	}
	<-ended
	fmt.Println("router ends")
	return nil
}

func accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go serve(conn)
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	in := msgp.NewReader(conn)
	for {
		v, err := in.ReadIntf()
		if err != nil {
			return
		}
		message, ok := v.([]any)
		if !ok || len(message) != 3 {
			fmt.Println("not a message")
			return
		}
		for _, e := range message[1].([]any) {
			record := e.([]any)[1].(map[string]any)
			fmt.Println(message[0], record["source"], record["log"])
		}
	}
}
