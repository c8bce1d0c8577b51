package ecs

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDsReadBack(t *testing.T) {
	id := NewTaskID()
	if got, err := ParseTaskID(id.String()); err != nil || got != id {
		t.Errorf("%v, %v", got, err)
	}
	b, err := json.Marshal(map[TaskID]InstanceID{id: NewInstanceID()})
	if err != nil {
		t.Fatal(err)
	}
	var back map[TaskID]InstanceID
	if err := json.Unmarshal(b, &back); err != nil || back[id].IsZero() {
		t.Errorf("%s: %v", b, err)
	}
	for _, bad := range []string{"", "xyz", id.String()[1:], id.String() + "00", "g" + id.String()[1:]} {
		if _, err := ParseTaskID(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
		if _, err := ParseInstanceID(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestParseARN(t *testing.T) {
	p := Place{Account: "123456789012", Region: "eu-west-1"}
	task, inst := NewTaskID(), NewInstanceID()
	for arn, want := range map[string]ARN{
		p.ClusterARN("c"):        {Type: "cluster", Resource: "c"},
		p.TaskARN("c", task):     {Type: "task", Cluster: "c", Resource: task.String()},
		p.InstanceARN("c", inst): {Type: "container-instance", Cluster: "c", Resource: inst.String()},
		p.DefinitionARN(DefinitionID{Family: "f", Revision: 3}):               {Type: "task-definition", Resource: "f:3"},
		p.DefinitionARN(DefinitionID{Family: "f", Revision: 3, Daemon: true}): {Type: "daemon-task-definition", Resource: "f:3"},
		p.ContainerARN("c", task, "x"):                                        {Type: "container", Cluster: "c/" + task.String(), Resource: "x"},
		"arn:aws:ecs:eu-west-1:123456789012:task/old":                         {Type: "task", Resource: "old"},
	} {
		want.Partition, want.Service, want.Region, want.Account = "aws", "ecs", p.Region, p.Account
		if got, err := ParseARN(arn); err != nil || got != want {
			t.Errorf("%s: %+v, %v", arn, got, err)
		}
	}
	for _, bad := range []string{"", "arn", "arn:aws:ecs:r:a", "arn:aws:ecs:r:a:cluster", "arn:aws:ecs:r:a:cluster/", "arn:aws:ecs:r:a:/x", "nra:aws:ecs:r:a:cluster/x", "arn::ecs:r:a:cluster/x"} {
		if got, err := ParseARN(bad); err == nil {
			t.Errorf("%q was taken: %+v", bad, got)
		}
	}
}

func TestDefinitionIDsReadBack(t *testing.T) {
	p := Place{Account: "123456789012", Region: "eu-west-1"}
	rapid.Check(t, func(t *rapid.T) {
		id := DefinitionID{Family: rapid.StringMatching(`[A-Za-z0-9_-]{1,255}`).Draw(t, "family"), Revision: rapid.Int32Range(1, 1<<31-1).Draw(t, "revision")}
		for _, s := range []string{id.String(), p.DefinitionARN(id)} {
			if got, err := ParseDefinitionID(s); err != nil || got != id {
				t.Fatalf("%s: %v, %v", s, got, err)
			}
		}
		if got, err := ParseDefinitionID(id.Family); err != nil || got != (DefinitionID{Family: id.Family}) {
			t.Fatalf("%s: %v, %v", id.Family, got, err)
		}
	})
	for _, bad := range []string{"f:", "f:0", "f:-1", "f:x", "f:2147483648", "arn:aws:ecs:r:a:cluster/f"} {
		if got, err := ParseDefinitionID(bad); err == nil {
			t.Errorf("%q was taken: %v", bad, got)
		}
	}
}

func TestTaskStatusNames(t *testing.T) {
	for s := TaskProvisioning; s <= TaskDeleted; s++ {
		if got, ok := ParseTaskStatus(s.String()); !ok || got != s {
			t.Errorf("%v: %v, %v", s, got, ok)
		}
	}
	for _, bad := range []string{"", "running", "UNKNOWN"} {
		if got, ok := ParseTaskStatus(bad); ok {
			t.Errorf("%q was taken: %v", bad, got)
		}
	}
	if got := TaskStatus(200).String(); got != "UNKNOWN" {
		t.Errorf("%q", got)
	}
}

func TestMillis(t *testing.T) {
	if MillisOf(time.Time{}) != 0 || !Millis(0).Time().IsZero() {
		t.Error("no moment is not 0")
	}
	at := time.Date(2026, 11, 23, 1, 2, 3, 4_000_000, time.UTC)
	if got := MillisOf(at).Time(); !got.Equal(at) {
		t.Errorf("%v", got)
	}
}

func FuzzParseARN(f *testing.F) {
	f.Add("arn:aws:ecs:us-east-1:000000000000:task/default/0123")
	f.Add("arn:aws:ecs:::/")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseARN(s); err == nil && (a.Type == "" || a.Partition == "") {
			t.Errorf("%q: %+v", s, a)
		}
	})
}
