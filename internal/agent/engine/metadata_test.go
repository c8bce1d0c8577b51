package engine

import (
	"slices"
	"strings"
	"testing"

	"roadstead.dev/roadstead/internal/acs"
	"roadstead.dev/roadstead/internal/agent/metadata"
	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// exposing gives an engine with an endpoint and a task of two containers in a network mode, exposed.
func exposing(t *testing.T, mode, role string) (*Engine, *task) {
	t.Helper()
	e := New(Config{Endpoint: &Endpoint{Key: []byte("key"), HostURL: "http://127.0.0.1:7"}, Zone: "z"})
	d := &ecs.TaskDefinition{Family: "f", Revision: 3, NetworkMode: mode, TaskRoleArn: role, Cpu: "512", Memory: "1024", ContainerDefinitions: []ecs.ContainerDefinition{
		{Name: "a", Image: "i", Memory: ptr(int32(64)), LogConfiguration: &ecs.LogConfiguration{LogDriver: "awslogs", Options: map[string]string{"o": "v"}}},
		{Name: "b", Image: "i", DisableNetworking: ptr(true)},
	}}
	tk, err := newTask(acs.RunTask{ID: ecs.NewTaskID(), ARN: "arn:t", Cluster: "c", Group: "service:s", ContainerARNs: []string{"arn:a", "arn:b"}}, d)
	if err != nil {
		t.Fatal(err)
	}
	tk.engine = e
	e.tasks[tk.run.ID] = tk
	e.expose(tk)
	return e, tk
}

func envOf(t *testing.T, tk *task, i int) map[string]string {
	t.Helper()
	spec, err := tk.makeSpec(i, &runtime.Image{Config: runtime.ImageConfig{Cmd: []string{"x"}}}, "r")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, kv := range spec.Env {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	return env
}

// TestEndpointLeadsBack goes from a container's environment to its documents.
func TestEndpointLeadsBack(t *testing.T) {
	for mode, base := range map[string]string{"bridge": linkURL, "": linkURL, "host": "http://127.0.0.1:7"} {
		e, tk := exposing(t, mode, "arn:role")
		env := envOf(t, tk, 0)
		id, ok := strings.CutPrefix(env["ECS_CONTAINER_METADATA_URI_V4"], base+"/v4/")
		if !ok || env["ECS_CONTAINER_METADATA_URI"] != base+"/v3/"+id || env["ECS_AGENT_URI"] != base+"/api/"+id {
			t.Errorf("%s: %v", mode, env)
		}
		v, i := e.Metadata().Find(id)
		if v == nil || i != 0 || v.ARN != "arn:t" || v.Service != "s" || v.Zone != "z" || v.CPUs != 0.5 || v.MemoryMiB != 1024 || v.LaunchType != "EC2" {
			t.Fatalf("%s: %+v", mode, v)
		}
		c := v.Containers[0]
		if c.RuntimeID != tk.state.Containers[0].RuntimeID || c.ARN != "arn:a" || c.MemoryMiB != 64 || c.LogDriver != "awslogs" || c.LogOptions["o"] != "v" || c.Known != ecs.TaskPending {
			t.Errorf("%s: %+v", mode, c)
		}
		credentials := env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
		if mode == "host" {
			credentials = strings.TrimPrefix(env["AWS_CONTAINER_CREDENTIALS_FULL_URI"], base)
		}
		r, ok := e.Metadata().FindRole(strings.TrimPrefix(credentials, "/v2/credentials/"))
		if !ok || r != (metadata.Role{Task: tk.run.ID.String(), ARN: "arn:role"}) {
			t.Errorf("%s: role %+v behind %q", mode, r, credentials)
		}
		if _, ok := e.Metadata().FindRole(id); ok {
			t.Errorf("%s: a container's id gives credentials", mode)
		}
		if env := envOf(t, tk, 1); mode != "host" && env["ECS_CONTAINER_METADATA_URI_V4"] != "" {
			t.Errorf("%s: without a network: %v", mode, env)
		}
		e.forget(tk.run.ID, acs.TaskState{})
		if v, _ := e.Metadata().Find(id); v != nil || len(e.exposed)+len(e.roles) != 0 {
			t.Errorf("%s: exposed after its end", mode)
		}
	}
}

func TestNoRoleNoCredentials(t *testing.T) {
	_, tk := exposing(t, "bridge", "")
	for name := range envOf(t, tk, 0) {
		if strings.HasPrefix(name, "AWS_CONTAINER_CREDENTIALS") {
			t.Error(name)
		}
	}
	tk.run.Overrides = &ecs.TaskOverride{TaskRoleArn: "arn:other"}
	if tk.role() != "arn:other" {
		t.Error(tk.role())
	}
	tk.engine.cfg.Endpoint = nil
	if env := tk.engine.endpointEnv(tk, 0); env != nil {
		t.Error(env)
	}
	if err := tk.engine.unsupported(tk, 0); err == nil {
		t.Error("a role without an endpoint")
	}
}

// TestEndpointIDs are the same after a restart and another's with another key.
func TestEndpointIDs(t *testing.T) {
	e, tk := exposing(t, "bridge", "arn:role")
	ids := []string{e.containerID(tk, 0), e.containerID(tk, 1), e.roleID(tk)}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 3 || len(ids[0]) != 32 {
		t.Errorf("%v", ids)
	}
	before := e.roleID(tk)
	if again := New(Config{Endpoint: &Endpoint{Key: []byte("key")}}); again.roleID(tk) != before {
		t.Error("another id after a restart")
	}
	if other := New(Config{Endpoint: &Endpoint{Key: []byte("other")}}); other.roleID(tk) == before {
		t.Error("the same id with another key")
	}
}
