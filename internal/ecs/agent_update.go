package ecs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// AgentUpdateStatus says how far the update of a container agent has come.
type AgentUpdateStatus string

// The states of an update, in order; UPDATED and FAILED are final.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html
const (
	AgentUpdatePending  AgentUpdateStatus = "PENDING"
	AgentUpdateStaging  AgentUpdateStatus = "STAGING"
	AgentUpdateStaged   AgentUpdateStatus = "STAGED"
	AgentUpdateUpdating AgentUpdateStatus = "UPDATING"
	AgentUpdateUpdated  AgentUpdateStatus = "UPDATED"
	AgentUpdateFailed   AgentUpdateStatus = "FAILED"
)

// AgentUpdate is the newest update that was asked for of an instance's agent.
type AgentUpdate struct {
	Status AgentUpdateStatus `json:"status"`
	// From is what the agent said of itself when the update was asked for: version and hash.
	From string `json:"from"`
}

// Ended tells whether nothing more comes of the update.
func (u *AgentUpdate) Ended() bool {
	return u.Status == AgentUpdateUpdated || u.Status == AgentUpdateFailed
}

// AgentBuild is what Amazon's agent says of itself, version and hash, as AgentUpdate keeps it.
func (i *Instance) AgentBuild() string { return i.AgentVersion + "/" + i.AgentHash }

// AgentRelease is an update that an operator offers to Amazon's agents: an image as "docker save" writes it, which agents load from URL
// and check against the SHA-256.
type AgentRelease struct {
	URL string
	// SHA256 has 64 lower-case hex digits.
	SHA256 string
	// Version is what the agent in it calls itself; "" if that is not known.
	Version string
}

// Check refuses a release that agents cannot load.
func (r *AgentRelease) Check() error {
	u, err := url.Parse(r.URL)
	switch {
	case err != nil:
		return fmt.Errorf("the agent's release: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("the agent's release is at an http or https URL")
	}
	if sum, err := hex.DecodeString(r.SHA256); err != nil || len(sum) != 32 || hex.EncodeToString(sum) != r.SHA256 {
		return errors.New("the agent's release has a SHA-256 of 64 lower-case hex digits")
	}
	return nil
}

// AgentUpdatePatience is how long an agent may load an update for; agents themselves give up after 15 minutes.
const AgentUpdatePatience = 20 * time.Minute
