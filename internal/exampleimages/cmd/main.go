// Command cmd writes the example images' archives into a directory: go run ./internal/exampleimages/cmd DIR.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"roadstead.dev/roadstead/internal/exampleimages"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "example images:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: %s DIR", os.Args[0])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return exampleimages.Build(ctx, os.Args[1], exampleimages.Config{})
}
