package ecs

// ExecLog is the log group of a session of ECS Exec; its stream there has the session's id for a name.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html#ecs-exec-logging
type ExecLog struct {
	Group  string `json:"group"`
	Region string `json:"region,omitempty"`
	// Create makes the group if it is not there.
	Create bool `json:"create,omitempty"`
}
