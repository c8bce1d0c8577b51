package devcluster

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"roadstead.dev/roadstead/internal/awsprofile"
	"roadstead.dev/roadstead/internal/keyring"
)

// DefaultDataDir is where an installation keeps everything unless told otherwise.
const DefaultDataDir = "/var/lib/roadstead"

// ProfileName is that of the AWS profile which an installation keeps.
const ProfileName = "roadstead"

// DataDir is an installation's directory. What is where:
//
//	keys.json        the root key and the master secret
//	secrets.key      what the values of secrets and parameters are encrypted with
//	tls/             the CA that the endpoint and agents trust, and its key; the state has it too, and keys.json, for other servers
//	server.sock      where the running control plane answers its owner
//	aws/             config and credentials files for AWS clients
//	etcd/            the state
//	logs/            log events
//	node/            the agent's: journal, images, containers, network
//	endpoint         the region and the URL that were served last
//	lock             held by the process that uses the directory
//
// What need not outlive a restart of the machine is under /run/roadstead.
type DataDir string

func (d DataDir) path(name string) string { return filepath.Join(string(d), name) }

// Keys is the file of the installation's keys.
func (d DataDir) Keys() string { return d.path("keys.json") }

// SecretsKey is the key file of the secrets.
func (d DataDir) SecretsKey() string { return d.path("secrets.key") }

// AWS is the directory of the config and credentials files.
func (d DataDir) AWS() string { return d.path("aws") }

// TLS is the directory of the CA.
func (d DataDir) TLS() string { return d.path("tls") }

// Office is where the running control plane answers requests about who may join.
func (d DataDir) Office() string { return d.path("server.sock") }

// Etcd is the directory of the state.
func (d DataDir) Etcd() string { return d.path("etcd") }

// Logs is the directory of log events.
func (d DataDir) Logs() string { return d.path("logs") }

// Node is the agent's directory.
func (d DataDir) Node() string { return d.path("node") }

// Socket is where the running agent answers requests about images.
func (d DataDir) Socket() string { return d.path("node/agent.sock") }

// Run is the directory of what need not outlive a restart of the machine.
func (d DataDir) Run() string { return "/run/roadstead/" + d.Name() }

// Name tells installations on one machine apart, in the names of bridges, cgroups and tables: six hex digits of the
// directory's path.
func (d DataDir) Name() string {
	sum := sha256.Sum256([]byte(d))
	return hex.EncodeToString(sum[:3])
}

// openDataDir makes the directory if need be, and locks it until the process ends or the file is closed.
func openDataDir(path string) (DataDir, *os.File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", nil, fmt.Errorf("make the data directory: %w", err)
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return "", nil, err
	}
	d := DataDir(abs)
	lock, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		lock.Close()
		return "", nil, fmt.Errorf("%s is in use by another roadstead: stop that one, or say another --data-dir", abs)
	}
	if err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("lock %s: %w", abs, err)
	}
	return d, lock, nil
}

// endpointFile has the URL that was listened on last.
func (d DataDir) endpointFile() string { return d.path("endpoint") }

// writeProfile keeps the AWS files of the installation up to date.
func (d DataDir) writeProfile(region, endpoint, ca string, root keyring.Pair) error {
	err := awsprofile.Write(d.AWS(), awsprofile.Profile{
		Name: ProfileName, Region: region, EndpointURL: endpoint, CABundle: ca, AccessKeyID: root.AccessKeyID, SecretAccessKey: root.SecretAccessKey})
	if err != nil {
		return err
	}
	return os.WriteFile(d.endpointFile(), []byte(region+"\n"+endpoint+"\n"+ca+"\n"), 0o600)
}

// ReadProfile gives what a client needs to use the installation in a data directory, which has been up at least once.
func ReadProfile(path string) (awsprofile.Profile, error) {
	d := DataDir(path)
	b, err := os.ReadFile(d.endpointFile())
	if errors.Is(err, fs.ErrNotExist) {
		return awsprofile.Profile{}, fmt.Errorf("%s is not the data directory of an installation that has been up: start `roadstead up` once, or say --data-dir", path)
	}
	if err != nil {
		return awsprofile.Profile{}, err
	}
	lines := append(strings.Split(string(b), "\n"), "") // one of an earlier version has no third line
	if len(lines) < 4 || lines[0] == "" || lines[1] == "" {
		return awsprofile.Profile{}, fmt.Errorf("%s is damaged; the next start of roadstead writes it again", d.endpointFile())
	}
	region, endpoint, ca := lines[0], lines[1], lines[2]
	if _, err := url.Parse(endpoint); err != nil {
		return awsprofile.Profile{}, err
	}
	ring, err := keyring.Open(d.Keys(), "")
	if err != nil {
		return awsprofile.Profile{}, err
	}
	root := ring.Root()
	return awsprofile.Profile{Name: ProfileName, Region: region, EndpointURL: endpoint, CABundle: ca, AccessKeyID: root.AccessKeyID, SecretAccessKey: root.SecretAccessKey}, nil
}
