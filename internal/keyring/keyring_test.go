package keyring

import (
	"os"
	"path/filepath"
	"testing"

	"roadstead.dev/roadstead/internal/fault"
)

func TestOpenKeepsKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "keys.json")
	a, err := Open(path, "000000000000")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(path, "000000000000")
	if err != nil {
		t.Fatal(err)
	}
	if a.Root() != b.Root() {
		t.Error("the root key changed")
	}
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	k := a.NewAgent()
	got, err := b.Key(t.Context(), k.AccessKeyID, "")
	if err != nil || got.Secret != k.SecretAccessKey {
		t.Errorf("agent key: %v", err)
	}
	other, err := Open(filepath.Join(t.TempDir(), "keys.json"), "000000000000")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{k.AccessKeyID, a.Root().AccessKeyID, "", "AKIAN", "AKIANAAAAAAAAAAAAAAAA"} {
		if _, err := other.Key(t.Context(), id, ""); !fault.Is(err, fault.ResourceNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	for _, content := range []string{"", "{", "{}", `{"root":{"accessKeyId":"a","secretAccessKey":"b"},"master":"c2hvcnQ="}`} {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, "0"); err == nil {
			t.Errorf("%q was taken", content)
		}
	}
}
