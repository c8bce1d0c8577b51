package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// handler answers until stopping ends; a code sent to exits ends the program.
func handler(stopping context.Context, exits chan<- int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			host = err.Error()
		}
		fmt.Fprintf(w, "Hello from Roadstead!\ncontainer: %s\n", host)
	})
	mux.HandleFunc("GET /env", env)
	mux.HandleFunc("GET /metadata", metadata)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if stopping.Err() != nil {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /exit", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.URL.Query().Get("code"))
		if err != nil || code < 0 || code > 255 {
			http.Error(w, "code has to be 0 to 255", http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, "bye")
		select {
		case exits <- code:
		default: // it is ending already
		}
	})
	return mux
}

// env shows no values but those meant for it, for there may be secrets.
func env(w http.ResponseWriter, _ *http.Request) {
	vars := os.Environ()
	slices.Sort(vars)
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "HELLO_") {
			value = "..."
		}
		fmt.Fprintf(w, "%s=%s\n", name, value)
	}
}

// metadata is the task metadata endpoint's answer, version 4:
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
func metadata(w http.ResponseWriter, r *http.Request) {
	uri := os.Getenv("ECS_CONTAINER_METADATA_URI_V4")
	if uri == "" {
		http.Error(w, "ECS_CONTAINER_METADATA_URI_V4 is not set", http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		log.Printf("hello: metadata: %v", err)
	}
}

// logged writes a line for every request but those of health checks.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if r.URL.Path != "/healthz" {
			log.Printf("hello: %s %s from %s", r.Method, r.URL.Path, r.RemoteAddr)
		}
	})
}
