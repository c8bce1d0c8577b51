package devcluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"roadstead.dev/roadstead/internal/agent"
	"roadstead.dev/roadstead/internal/agent/engine"
	"roadstead.dev/roadstead/internal/agent/netns"
)

// endpointState is what running containers were told of the metadata endpoint, and must find again.
type endpointState struct {
	Key  []byte `json:"key"`
	Port int    `json:"port"`
}

// listenMetadata opens the endpoint where containers ask about themselves: on loopback for those on the host's network, and
// on the bridge for the others.
func listenMetadata(dir DataDir, network *netns.Manager, log *slog.Logger) (_ *agent.MetadataConfig, err error) {
	path := dir.path("node/metadata.json")
	s, err := readEndpointState(path)
	if err != nil {
		return nil, err
	}
	m := &agent.MetadataConfig{}
	defer func() {
		if err != nil {
			for _, l := range m.Listeners {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	host, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil && s.Port != 0 {
		log.Warn("the port of the metadata endpoint is taken: containers on the host's network that run already cannot reach it", "port", s.Port, "err", err)
		host, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("listen for containers' metadata requests: %w", err)
	}
	m.Listeners = append(m.Listeners, host)
	bridge, err := net.Listen("tcp4", netip.AddrPortFrom(network.Gateway(), 0).String())
	if err != nil {
		return nil, fmt.Errorf("listen for containers' metadata requests on the bridge: %w", err)
	}
	m.Listeners = append(m.Listeners, bridge)
	if err := network.ServeMetadata(bridge.Addr().(*net.TCPAddr).AddrPort()); err != nil {
		return nil, err
	}
	s.Port = host.Addr().(*net.TCPAddr).Port
	m.Endpoint = engine.Endpoint{Key: s.Key, HostURL: "http://" + host.Addr().String()}
	return m, writeEndpointState(path, s)
}

func readEndpointState(path string) (endpointState, error) {
	var s endpointState
	b, err := os.ReadFile(path)
	if err == nil {
		if err = json.Unmarshal(b, &s); err == nil && len(s.Key) >= 16 {
			return s, nil
		}
		return s, fmt.Errorf("%s is damaged: remove it, and containers that run already lose their metadata endpoint: %w", path, errors.Join(err, errors.New("no key")))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	s.Key = make([]byte, 32)
	rand.Read(s.Key)
	return s, nil
}

func writeEndpointState(path string, s endpointState) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
