package images

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// Listed is an image as Handler gives it.
type Listed struct {
	Name         string    `json:"name"`
	Digest       string    `json:"digest"`
	SizeBytes    int64     `json:"sizeBytes"`
	Created      time.Time `json:"created"`
	OS           string    `json:"os"`
	Architecture string    `json:"architecture"`
}

// failure is an error as Handler gives it.
type failure struct {
	Error string `json:"error"`
}

// Handler serves a store to commands on this machine, over the agent's unix socket, for the store is open in the agent:
//
//	GET    /images                     lists images: [Listed...]
//	POST   /images/import?name=NAME    imports the archive in the body: [Listed...]; the name is optional
//	DELETE /images/NAME                removes an image
//
// Whoever may open the socket may do all of it.
func Handler(s *Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /images", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.List(r.Context())
		answer(w, list, err)
	})
	mux.HandleFunc("POST /images/import", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.ImportAs(r.Context(), r.Body, r.URL.Query().Get("name"))
		answer(w, list, err)
	})
	mux.HandleFunc("DELETE /images/{name...}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, s.Remove(r.Context(), r.PathValue("name")))
	})
	return mux
}

func answer(w http.ResponseWriter, list []*runtime.Image, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(statusOf(err))
		// The caller may have gone; there is nobody else to tell.
		_ = json.NewEncoder(w).Encode(failure{err.Error()})
		return
	}
	out := make([]Listed, len(list))
	for i, image := range list {
		out[i] = Listed{image.Name, image.Digest, image.Size, image.Created, image.Config.OS, image.Config.Architecture}
	}
	_ = json.NewEncoder(w).Encode(out)
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, runtime.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrName):
		return http.StatusBadRequest
	case errors.Is(err, ErrInUse):
		return http.StatusConflict
	case errors.Is(err, ErrArchive):
		return http.StatusUnprocessableEntity
	case errors.Is(err, errClosed):
		return http.StatusServiceUnavailable
	case diskFull(err):
		return http.StatusInsufficientStorage
	default:
		return http.StatusInternalServerError
	}
}
