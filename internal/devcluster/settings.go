package devcluster

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
)

// Settings are what AWS fixes and an installation may choose. The zero value is as AWS has it.
type Settings struct {
	// StoppedTaskRetention is how long a stopped task can be described; 0 is an hour.
	StoppedTaskRetention time.Duration
	// ServiceHistoryRetention is how long a service deployment that has ended can be described; 0 is 90 days.
	ServiceHistoryRetention time.Duration
	// LostAfter is how long an agent may be silent before the tasks of services on its instance are replaced; 0 is five minutes, less than
	// 0 is for ever, as at AWS.
	LostAfter time.Duration
	// HookURLs lets life-cycle hooks of deployments name URLs that the control plane calls in place of Lambda functions.
	HookURLs bool
	// MaxRunTasks is the largest count of a RunTask; 0 is 10.
	MaxRunTasks int
	// AgentRelease is what Amazon's agents are updated to; nil offers no update.
	AgentRelease *ecs.AgentRelease
	// SubnetRange is what subnets are cut from that are named before they are made; the zero value is 100.64.0.0/10.
	SubnetRange netip.Prefix
}

// mostRunTasks keeps the tasks of one call within one transaction.
const mostRunTasks = 1000

// Check refuses settings that cannot be.
func (s Settings) Check() error {
	if s.AgentRelease != nil {
		if err := s.AgentRelease.Check(); err != nil {
			return err
		}
	}
	switch {
	case s.StoppedTaskRetention < 0:
		return errors.New("the retention of stopped tasks is less than nothing")
	case s.ServiceHistoryRetention < 0:
		return errors.New("the retention of service deployments is less than nothing")
	case s.MaxRunTasks < 0 || s.MaxRunTasks > mostRunTasks:
		return fmt.Errorf("one RunTask makes between 1 and %d tasks, not %d", mostRunTasks, s.MaxRunTasks)
	case s.SubnetRange.IsValid() && (!s.SubnetRange.Addr().Is4() || s.SubnetRange.Bits() > 28):
		return fmt.Errorf("the range for subnets, %v, is no IPv4 range of at least 16 addresses", s.SubnetRange)
	}
	return nil
}

// lostAfter is LostAfter with its default; 0 is for ever.
func (s Settings) lostAfter() time.Duration {
	if s.LostAfter == 0 {
		return 5 * time.Minute
	}
	return max(0, s.LostAfter)
}

// subnets says what subnets become that are named first, in the zones that most AWS regions have.
func (s Settings) subnets(p ecs.Place) lifecycle.Subnets {
	return lifecycle.Subnets{Range: s.SubnetRange, Zones: []string{p.Region + "a", p.Region + "b", p.Region + "c"}}
}
