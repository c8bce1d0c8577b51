package awsprofile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReplace(t *testing.T) {
	const body = "region = r\n"
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "[profile x]\nregion = r\n"},
		{"added", "[default]\nregion = a", "[default]\nregion = a\n\n[profile x]\nregion = r\n"},
		{"replaced", "# mine\n[profile x]\nregion = old\ns3 =\n  a = b\n\n[other]\nk = v\n", "# mine\n[profile x]\nregion = r\n\n[other]\nk = v\n"},
		{"spaced header", "[ profile   x ]\nold = 1\n[y]\n", "[profile x]\nregion = r\n[y]\n"},
		{"twice", "[profile x]\na = 1\n[profile x]\nb = 2\n", "[profile x]\nregion = r\n"},
		{"comment kept", "[profile x]\na = 1\n# of y\n[y]\n", "[profile x]\nregion = r\n# of y\n[y]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, replace(c.in, "profile x", body)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			once := replace(c.in, "profile x", body)
			if d := cmp.Diff(once, replace(once, "profile x", body)); d != "" {
				t.Errorf("a second time changes it (-once +twice)\n%s", d)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "aws")
	p := Profile{Name: "roadstead", Region: "us-east-1", EndpointURL: "http://127.0.0.1:1", AccessKeyID: "id", SecretAccessKey: "secret"}
	if err := Write(dir, p); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"config":      "[profile roadstead]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:1\ndisable_host_prefix_injection = true\n",
		"credentials": "[roadstead]\naws_access_key_id = id\naws_secret_access_key = secret\n",
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, string(b)); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
		if fi, _ := os.Stat(filepath.Join(dir, name)); fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
	}
	p.Name = "a]b"
	if err := Write(dir, p); err == nil {
		t.Error("a bracket in a profile's name was taken")
	}
}
