// Router is a log router for tests: it prints its configuration, and what it gets by the forward protocol as TAG SOURCE LOG.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"roadstead.dev/roadstead/test/forward"
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
		go forward.Serve(ln, func(r forward.Record) { fmt.Println(r.Tag, r.Source, r.Log) }, func(err error) { fmt.Println(err) })
	}
	<-ended
	fmt.Println("router ends")
	return nil
}
