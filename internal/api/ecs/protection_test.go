package ecsapi_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/state"
)

var refusedProtection = []refused{
	{"no cluster", func(f *fixture) error {
		return only(f.UpdateTaskProtection(f.ctx, &sdk.UpdateTaskProtectionInput{Tasks: []string{someTask}}))
	}, "InvalidParameterException: Cluster can not be null or empty."},
	{"no tasks", func(f *fixture) error {
		return only(f.GetTaskProtection(f.ctx, &sdk.GetTaskProtectionInput{Cluster: aws.String("default")}))
	}, "InvalidParameterException: Tasks cannot be empty."},
	{"too many", func(f *fixture) error {
		return only(f.UpdateTaskProtection(f.ctx, &sdk.UpdateTaskProtectionInput{Cluster: aws.String("default"), Tasks: many(11)}))
	}, "InvalidParameterException: Tasks cannot contain more than 10 entries."},
	{"too long", func(f *fixture) error {
		return only(f.UpdateTaskProtection(f.ctx, &sdk.UpdateTaskProtectionInput{Cluster: aws.String("default"), Tasks: many(1), ProtectionEnabled: true, ExpiresInMinutes: aws.Int32(2881)}))
	}, "InvalidParameterException: expiresInMinutes must be between 1 and 2880."},
	{"too short", func(f *fixture) error {
		return only(f.UpdateTaskProtection(f.ctx, &sdk.UpdateTaskProtectionInput{Cluster: aws.String("default"), Tasks: many(1), ProtectionEnabled: true, ExpiresInMinutes: aws.Int32(0)}))
	}, "InvalidParameterException: expiresInMinutes must be between 1 and 2880."},
	{"no cluster of that name", func(f *fixture) error {
		return only(f.UpdateTaskProtection(f.ctx, &sdk.UpdateTaskProtectionInput{Cluster: aws.String("none"), Tasks: many(1)}))
	}, "ClusterNotFoundException: Cluster not found."},
	{"no id", func(f *fixture) error {
		return only(f.GetTaskProtection(f.ctx, &sdk.GetTaskProtectionInput{Cluster: aws.String("default"), Tasks: []string{"x"}}))
	}, "InvalidParameterException: taskId length should be one of [32,36]"},
}

// ofService puts a running task of a service.
func (f *fixture) ofService(service string) string {
	f.t.Helper()
	task := &ecs.Task{ID: ecs.NewTaskID(), Cluster: "default", Group: "service:" + service, LastStatus: ecs.TaskRunning, DesiredStatus: ecs.TaskRunning,
		Definition: ecs.DefinitionID{Family: "sleep", Revision: 1}}
	err := f.store.Update(context.Background(), func(tx *state.Tx) error { tx.Tasks.Put(task); return nil })
	if err != nil {
		f.t.Fatal(err)
	}
	return place.TaskARN("default", task.ID)
}

func TestTaskProtection(t *testing.T) {
	f := newFixture(t)
	f.cluster()
	f.instance(1000, 1000)
	f.register()
	alone, served := *f.run().Tasks[0].TaskArn, f.ofService("web")
	tasks := []string{alone, served, someTask}
	protect := func(on bool, minutes *int32) *sdk.UpdateTaskProtectionOutput {
		return must(f.UpdateTaskProtection(f.ctx, &sdk.UpdateTaskProtectionInput{Cluster: aws.String("default"), Tasks: tasks, ProtectionEnabled: on, ExpiresInMinutes: minutes}))
	}
	get := func() types.ProtectedTask {
		return must(f.GetTaskProtection(f.ctx, &sdk.GetTaskProtectionInput{Cluster: aws.String("default"), Tasks: []string{served}})).ProtectedTasks[0]
	}
	if p := get(); p.ProtectionEnabled || p.ExpirationDate != nil {
		t.Errorf("a new task: %+v", p)
	}
	out := protect(true, nil)
	var reasons []string
	for _, f := range out.Failures {
		reasons = append(reasons, *f.Reason)
	}
	if !slices.Equal(reasons, []string{"TASK_NOT_VALID", "MISSING"}) || len(out.ProtectedTasks) != 1 {
		t.Errorf("failures %v, protected %+v", reasons, out.ProtectedTasks)
	}
	if p := get(); !p.ProtectionEnabled || !p.ExpirationDate.Equal(f.now.Add(2*time.Hour)) {
		t.Errorf("protected for the default time: %+v", p)
	}
	f.now = f.now.Add(time.Hour)
	protect(true, aws.Int32(1))
	if p := get(); !p.ExpirationDate.Equal(f.now.Add(time.Minute)) {
		t.Errorf("the time does not count from the last call: %+v", p)
	}
	f.now = f.now.Add(time.Minute)
	if p := get(); p.ProtectionEnabled || p.ExpirationDate != nil {
		t.Errorf("expired: %+v", p)
	}
	protect(true, nil)
	protect(false, nil)
	if p := get(); p.ProtectionEnabled {
		t.Errorf("unprotected: %+v", p)
	}
}
