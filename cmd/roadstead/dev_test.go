package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestDev starts the command as CI does, twice at once, and asks for its health.
func TestDev(t *testing.T) {
	for range 2 {
		ctx, cancel := context.WithCancel(context.Background())
		out, in := io.Pipe()
		cmd := root()
		cmd.SetArgs([]string{"dev", "--listen", "127.0.0.1:0", "--json", "--nodes", "1", "--zones", "1"})
		cmd.SetOut(in)
		ended := make(chan error, 1)
		go func() { ended <- cmd.ExecuteContext(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		var said struct{ Endpoint, Region, Account, AccessKeyID, SecretAccessKey string }
		if err := json.NewDecoder(out).Decode(&said); err != nil {
			t.Fatal(err)
		}
		if said.Region != "us-east-1" || said.Account != "000000000000" || said.AccessKeyID == "" || said.SecretAccessKey == "" {
			t.Errorf("said %+v", said)
		}
		res, err := http.Get(said.Endpoint + "/_roadstead/health")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("health: %s", res.Status)
		}
	}
}

func TestDevRefused(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--nodes -1", "from 0 to"}, {"--zones 0", "1 to 26 zones"}, {"--zones 27", "1 to 26 zones"}, {"--account 12", "12 digits"},
		{"--cpu 0", "at least one CPU unit"}, {"--listen nowhere:x", "--listen HOST:PORT"},
	} {
		cmd := root()
		cmd.SetArgs(append([]string{"dev", "--listen", "127.0.0.1:0"}, strings.Fields(c.args)...))
		cmd.SetOut(&bytes.Buffer{})
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}
