package fault

import (
	"errors"
	"fmt"
	"testing"
)

func TestIs(t *testing.T) {
	cause := errors.New("disk")
	err := fmt.Errorf("put: %w", Wrap(cause, Unavailable, "try again in %d s", 3))
	if !Is(err, Unavailable) || Is(err, Client) || Is(cause, Unavailable) || Is(nil, Unavailable) {
		t.Error("kinds are mixed up")
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	var f *Error
	if !errors.As(err, &f) || f.Message != "try again in 3 s" {
		t.Errorf("%+v", f)
	}
}
