package acs

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/ecs"
)

func TestFrame(t *testing.T) {
	want := States{MessageID: "m", Tasks: []TaskState{{ID: ecs.NewTaskID(), Status: ecs.TaskRunning, Containers: []ecs.Container{{Name: "a", LastStatus: ecs.TaskRunning}}}}}
	b, err := Encode(TypeStates, want)
	if err != nil {
		t.Fatal(err)
	}
	name, body, err := Decode(b)
	if err != nil || name != TypeStates {
		t.Fatalf("Decode: %q, %v", name, err)
	}
	var got States
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"type":"HeartbeatMessage","message":{"messageId":"x"}}`))
	f.Add([]byte(`{"type":"","message":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if name, body, err := Decode(b); err == nil && (name == "" || len(body) == 0) {
			t.Errorf("accepted an empty frame %q", b)
		}
	})
}
