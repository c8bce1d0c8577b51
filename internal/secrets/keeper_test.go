package secrets_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/secrets"
)

func TestSealed(t *testing.T) {
	k, other := secrets.New(), secrets.New()
	rapid.Check(t, func(r *rapid.T) {
		value, of := rapid.SliceOf(rapid.Byte()).Draw(r, "value"), rapid.String().Draw(r, "of")
		s := k.Seal(of, value)
		if got, err := k.Open(of, s); err != nil || !bytes.Equal(got, value) {
			r.Fatalf("%q, %v", got, err)
		}
		if len(value) > 8 && bytes.Contains(append(s.Data, s.Value...), value) {
			r.Error("the value is in what was sealed")
		}
		if again := k.Seal(of, value); bytes.Equal(again.Value, s.Value) {
			r.Error("the same value is sealed to the same bytes")
		}
		bent := s
		bent.Value = bytes.Clone(s.Value)
		bent.Value[rapid.IntRange(0, len(bent.Value)-1).Draw(r, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		for _, try := range []struct {
			k  *secrets.Keeper
			of string
			s  secrets.Sealed
		}{{k, of + "x", s}, {other, of, s}, {k, of, bent}, {k, of, secrets.Sealed{}}, {k, of, secrets.Sealed{Key: s.Key}}} {
			if got, err := try.k.Open(try.of, try.s); !errors.Is(err, secrets.ErrKey) {
				r.Errorf("opened %q, %v", got, err)
			}
		}
	})
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d", "secrets.key")
	a, err := secrets.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := secrets.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Open("x", a.Seal("x", []byte("v"))); err != nil || string(got) != "v" {
		t.Errorf("%q, %v", got, err)
	}
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	for _, content := range []string{"", "{", "{}", `{"current":"a","keys":{"a":"c2hvcnQ="}}`, `{"current":"b","keys":{}}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secrets.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", content, err)
		}
	}
}
