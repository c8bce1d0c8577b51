package deploy

import (
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/control/loop"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/state"
)

// triggered are the deployment's alarms that are in ALARM.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
func (c *Config) triggered(d *ecs.ServiceDeployment) []string {
	if d == nil || d.Configuration.Alarms == nil || !d.Configuration.Alarms.Enable {
		return nil
	}
	return lifecycle.InAlarm(c.Alarm, d.Configuration.Alarms.AlarmNames)
}

// alarmed tells whether alarms end a deployment that goes on.
func (c *Config) alarmed(s *ecs.Service, d *ecs.ServiceDeployment) bool {
	return d != nil && d.Status == ecs.ServiceDeploymentInProgress && d.Stage != "" && len(c.triggered(d)) > 0 &&
		s.Deployments[0].RolloutState == ecs.RolloutInProgress
}

// ignoreAlarms has a deployment go on without its alarms where one is in ALARM when it begins.
func (w *work) ignoreAlarms(d *ecs.ServiceDeployment) {
	if len(w.cfg.triggered(d)) == 0 {
		return
	}
	off := *d.Configuration.Alarms
	off.Enable = false
	d.Configuration.Alarms = &off
	w.event("(deployment " + w.s.Deployments[0].ID + ") deployment alarms are not monitored: one of them was in the ALARM state when the deployment began.")
}

const alarmReason = "ECS deployment failed: alarm detected."

// alarm ends a deployment for its alarms.
func (w *work) alarm() {
	d := w.record()
	d.TriggeredAlarms = w.cfg.triggered(d)
	w.giveUp(alarmReason)
	w.event("(deployment " + w.s.Deployments[0].ID + ") deployment failed: alarm detected.")
	if d.Configuration.Alarms.Rollback && w.rollBack("ECS deployment alarm") {
		return
	}
	w.finish(ecs.ServiceDeploymentStopped, alarmReason)
}

// watching gives the services whose deployments look at an alarm.
func watching(t *state.Tables, name string, yield func(string) bool) {
	name = strings.TrimPrefix(name, loop.AlarmBell)
	for s := range t.Services.All() {
		if a := s.DeploymentConfiguration.Alarms; s.Status == ecs.ServiceActive && a != nil && slices.Contains(a.AlarmNames, name) && !yield(s.Key()) {
			return
		}
	}
}
