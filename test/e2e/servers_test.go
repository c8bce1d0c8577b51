package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// externalEtcd starts Debian's etcd, and gives its address.
func externalEtcd(t *testing.T) string {
	t.Helper()
	etcd, dir := "http://127.0.0.1:"+freePort(t), tempDir(t)
	background(t, nil, "", "/bin/sh", "-c", "echo started; exec /usr/bin/etcd --data-dir "+dir+" --listen-client-urls "+etcd+" --advertise-client-urls "+etcd+
		" --listen-peer-urls http://127.0.0.1:"+freePort(t)+" --log-level error")
	return etcd
}

// withSecretsKey is an empty data directory but for the key of the secrets of another.
func withSecretsKey(t *testing.T, of string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(of, "secrets.key"))
	if err != nil {
		t.Fatal(err)
	}
	dir := tempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "secrets.key"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSecondServer: a server in another directory that has the key of the secrets alone takes over from the one before it: clients'
// keys, the CA, tokens, and the agent, which notices nothing but a broken connection.
func TestSecondServer(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "")
	etcd := externalEtcd(t)
	s := &secured{installation: &installation{t: t, dir: tempDir(t), addr: "127.0.0.2:" + freePort(t)}, node: tempDir(t)}
	t.Cleanup(func() {
		if out, err := roadstead(t, "destroy", "--data-dir", s.node, "--yes"); err != nil {
			t.Errorf("destroy: %v\n%s", err, out)
		}
	})
	server := func() *process {
		t.Helper()
		p := launch(t, nil, "server", "--data-dir", s.dir, "--listen", s.addr, "--tls", "--etcd-endpoints", etcd)
		p.says("Endpoint: ")
		return p
	}
	one := server()
	used, fresh := s.owner("token", "create"), s.owner("token", "create")
	agent := s.agent(s.node, s.addr, used)
	agent.says("Joined")
	s.clients()
	instance := s.connected(true)
	one.end(syscall.SIGTERM)

	first := s.dir
	s.dir = tempDir(t)
	// Without the key it does not start, and changes nothing.
	refused := launch(t, nil, "server", "--data-dir", s.dir, "--listen", s.addr, "--tls", "--etcd-endpoints", etcd)
	<-refused.done
	if said := refused.log.String(); refused.cmd.ProcessState.ExitCode() == 0 || !strings.Contains(said, "key file") {
		t.Errorf("without the key of the secrets: %s", said)
	}
	s.dir = withSecretsKey(t, first)
	server()
	for _, name := range []string{"keys.json", "tls/ca-key.pem"} {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	// The clients of the first server are the second one's.
	if now := s.connected(true); *now.ContainerInstanceArn != *instance.ContainerInstanceArn {
		t.Errorf("it was %s and is %s", *instance.ContainerInstanceArn, *now.ContainerInstanceArn)
	}
	if list := s.owner("token", "list"); strings.Count(list, "1 of 1") != 1 || strings.Count(list, "0 of 1") != 1 {
		t.Errorf("token list:\n%s", list)
	}
	if said := s.refused(s.addr, used); !strings.Contains(said, "was used") {
		t.Errorf("a token that was used at the first server: %s", said)
	}
	other := tempDir(t)
	t.Cleanup(func() {
		if out, err := roadstead(t, "destroy", "--data-dir", other, "--yes"); err != nil {
			t.Errorf("destroy: %v\n%s", err, out)
		}
	})
	s.agent(other, s.addr, fresh).says("Joined")
}
