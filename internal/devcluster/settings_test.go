package devcluster

import (
	"net/netip"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	for _, s := range []Settings{
		{}, {StoppedTaskRetention: time.Minute, MaxRunTasks: 100, SubnetRange: netip.MustParsePrefix("10.0.0.0/16")},
	} {
		if err := s.Check(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []Settings{
		{StoppedTaskRetention: -1}, {ServiceHistoryRetention: -1}, {MaxRunTasks: -1}, {MaxRunTasks: 1001}, {SubnetRange: netip.MustParsePrefix("fd00::/8")}, {SubnetRange: netip.MustParsePrefix("10.0.0.0/29")},
	} {
		if s.Check() == nil {
			t.Errorf("%+v passes", s)
		}
	}
}
