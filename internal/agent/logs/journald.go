package logs

import (
	"context"
	"errors"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// journald hands each line to the machine's journal.
//
// https://docs.docker.com/engine/logging/drivers/journald/
type journald struct {
	vars map[string]string
	// enabled and write are the journal's.
	enabled func() bool
	write   func(message string, priority journal.Priority, vars map[string]string) error
}

var _ protocol = (*journald)(nil)

// HasJournal tells whether the machine has systemd's journal, and with it the journald driver.
func HasJournal() bool { return journal.Enabled() }

func newJournald(src Source) (*journald, error) {
	tag, err := src.Info.tag(src.Options)
	if err != nil {
		return nil, err
	}
	i := &src.Info
	j := &journald{enabled: journal.Enabled, write: journal.Send, vars: map[string]string{
		"CONTAINER_ID": i.ID(), "CONTAINER_ID_FULL": i.ContainerID, "CONTAINER_NAME": i.Name(), "CONTAINER_TAG": tag,
		"IMAGE_NAME": i.ContainerImageName, "SYSLOG_IDENTIFIER": tag,
	}}
	more, err := i.attributes(src.Options, journalField)
	for k, v := range more {
		if k != "" {
			j.vars[k] = v
		}
	}
	return j, err
}

// journalField makes a name of a field: capitals, digits and underscores, none of these first.
func journalField(name string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name), "_")
}

func (j *journald) open(context.Context) error {
	if !j.enabled() {
		return errors.New("journald is not enabled on this host")
	}
	return nil
}

func (j *journald) shape() shape { return shape{max: eventBytes, empty: true} }

func (j *journald) close() {}

func (j *journald) deliver(ctx context.Context, events []event) (int, error) {
	for n := range events {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		e := &events[n]
		// The journal stamps what it gets; this is when the container wrote it.
		j.vars["SYSLOG_TIMESTAMP"] = e.time().UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
		if err := j.write(e.Text, journal.Priority(e.severity()), j.vars); err != nil {
			return n, err
		}
	}
	return len(events), nil
}
