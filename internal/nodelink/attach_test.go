package nodelink

import (
	"testing"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/lifecycle"
	"roadstead.dev/roadstead/internal/nodelink/payload"
	"roadstead.dev/roadstead/internal/state"
)

// TestInterfaceNotFound: a task whose interface the agent does not find in time ends, in ECS's words, and has never been sent. One
// that was found in time is left alone.
func TestInterfaceNotFound(t *testing.T) {
	f := newForeignFixture(t, 20*time.Millisecond)
	var late, found ecs.TaskID
	f.update(func(tx *state.Tx) {
		d := *f.def
		d.NetworkMode = ecs.NetworkAwsvpc
		tx.Definitions.Put(&d)
		i := *tx.Instances.Get(f.inst)
		i.Attributes = []ecs.Attribute{
			{Name: ecs.AttributeInterface + "1", Value: "0a:00:00:00:00:01 10.1.0.11/24 10.1.0.1 subnet-1"},
			{Name: ecs.AttributeInterface + "2", Value: "0a:00:00:00:00:02 10.1.0.12/24 10.1.0.1 subnet-1"},
		}
		tx.Instances.Put(&i)
		before := ecs.MillisOf(time.Now().Add(-attachWait - time.Second))
		for _, id := range []*ecs.TaskID{&late, &found} {
			own, err := lifecycle.NewInterface(tx, lifecycle.Subnets{}, &ecs.AwsVpcConfiguration{Subnets: []string{"subnet-1"}}, f.inst)
			if err != nil {
				t.Fatal(err)
			}
			*id = lifecycle.Create(tx, before, lifecycle.Spec{Cluster: "default", Definition: &d, Instance: f.inst, Interface: own}).ID
		}
		there := *tx.Tasks.Get(found)
		own := *there.Interface
		own.Status = ecs.AttachmentAttached
		there.Interface = &own
		tx.Tasks.Put(&there)
	})
	feed := f.store.Watch()
	a := f.dialForeign("true")
	for task := feed.View().Tasks.Get(late); task.LastStatus < ecs.TaskStopped; {
		c, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		task = c.View.Tasks.Get(late)
		if task.LastStatus == ecs.TaskStopped && (task.StopCode != ecs.StopTaskFailedToStart || task.StoppedReason != reasonNotAttached || task.Interface.Status != ecs.AttachmentDeleted) {
			t.Errorf("%+v", task)
		}
	}
	m := expect[payload.Message](a, payload.TypePayload)
	if id, _ := taskOf(m.Tasks[0].ARN); id != found || len(m.Tasks[0].Interfaces) != 1 || m.Tasks[0].Interfaces[0].MAC != "0a:00:00:00:00:02" {
		t.Errorf("sent: %+v", m.Tasks[0])
	}
}
