package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/google/uuid"

	"roadstead.dev/roadstead/internal/ecs"
)

const identityVersion = 1

// identity is who the machine is to the server, kept over restarts in agent.json.
type identity struct {
	Version     int    `json:"version"`
	Cluster     string `json:"cluster"`
	InstanceARN string `json:"containerInstanceArn"`
	// AccessKeyID is the key that it was registered with.
	AccessKeyID string `json:"accessKeyId,omitempty"`
	// Token is the clientToken of a registration that has not been answered, so that one that is repeated makes one instance.
	Token string `json:"clientToken,omitempty"`
	// UsedPorts are those that programs of the machine held when no task was here.
	UsedPorts []ecs.Port `json:"usedPorts,omitempty"`
}

// load reads the file if there is one. One that cannot be read is moved aside: the machine then registers anew.
func (id *identity) load(path string, log *slog.Logger) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the instance's identity: %w", err)
	}
	var found identity
	if err := json.Unmarshal(b, &found); err != nil || found.Version != identityVersion {
		log.Error("the instance's identity cannot be read; it registers anew", "path", path, "err", err)
		if err := os.Rename(path, path+".unreadable"); err != nil {
			return fmt.Errorf("move the instance's identity aside: %w", err)
		}
		return nil
	}
	*id = found
	return nil
}

// setInstance keeps the ARN that the machine was registered by; empty forgets it.
func (a *Agent) setInstance(arn string) error {
	a.identity.Cluster, a.identity.InstanceARN = a.cluster(), arn
	if arn != "" {
		a.identity.Token = ""
	}
	return a.saveIdentity()
}

// takeToken makes the token of the registration that comes, if it is a first one.
func (a *Agent) takeToken() error {
	if a.identity.InstanceARN != "" || a.identity.Token != "" {
		return nil
	}
	a.identity.Token = uuid.NewString()
	return a.saveIdentity()
}

func (a *Agent) saveIdentity() error {
	a.identity.Version = identityVersion
	if a.cfg.DataDir == "" {
		return nil
	}
	b, err := json.Marshal(a.identity)
	if err != nil {
		return fmt.Errorf("keep the instance's identity: %w", err)
	}
	path := a.identityPath()
	// Synced, unlike the journal: a machine that forgets who it is leaves a dead instance at the server.
	if err := writeSynced(path+".new", b); err != nil {
		return fmt.Errorf("keep the instance's identity: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keep the instance's identity: %w", err)
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
