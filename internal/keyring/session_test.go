package keyring

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/wire"
)

func openRing(t *testing.T) *Ring {
	t.Helper()
	r, err := Open(filepath.Join(t.TempDir(), "keys.json"), "000000000000")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSession(t *testing.T) {
	r := openRing(t)
	const role = "arn:aws:iam::000000000000:role/service/web"
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	made, err := r.NewSession(Session{RoleARN: role, RoleID: r.RoleID(role), Name: "task", Expires: until})
	if err != nil {
		t.Fatal(err)
	}
	k, err := r.Key(t.Context(), made.AccessKeyID, made.SessionToken)
	if err != nil || k.Secret != made.SecretAccessKey || k.SessionToken != made.SessionToken || !k.Expires.Equal(until) {
		t.Fatalf("%v, expires %v", err, k.Expires)
	}
	want := wire.Caller{
		AccessKeyID: made.AccessKeyID, Account: "000000000000", ARN: "arn:aws:sts::000000000000:assumed-role/web/task",
		UserID: r.RoleID(role) + ":task", Type: wire.CallerAssumedRole,
	}
	if k.Caller != want {
		t.Errorf("caller %+v", k.Caller)
	}
	if len(made.AccessKeyID) != 20 || len(r.RoleID(role)) != 20 {
		t.Errorf("ids %s, %s", made.AccessKeyID, r.RoleID(role))
	}
}

func TestForgedSessions(t *testing.T) {
	r := openRing(t)
	s := Session{RoleARN: "arn:aws:iam::000000000000:role/web", RoleID: "AROAX", Name: "task", Expires: time.Now().Add(time.Hour)}
	made, err := r.NewSession(s)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.NewSession(s)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := openRing(t).NewSession(s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(made.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 1
		if _, err := r.Key(t.Context(), made.AccessKeyID, base64.StdEncoding.EncodeToString(b)); !fault.Is(err, fault.ResourceNotFound) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		b[i] ^= 1
	}
	for name, pair := range map[string][2]string{
		"no token":             {made.AccessKeyID, ""},
		"short token":          {made.AccessKeyID, base64.StdEncoding.EncodeToString(b[:32])},
		"no base64":            {made.AccessKeyID, strings.Repeat("!", 200)},
		"another key's token":  {made.AccessKeyID, second.SessionToken},
		"another installation": {foreign.AccessKeyID, foreign.SessionToken},
	} {
		if _, err := r.Key(t.Context(), pair[0], pair[1]); !fault.Is(err, fault.ResourceNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
