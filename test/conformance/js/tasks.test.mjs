import { test } from "node:test";
import assert from "node:assert/strict";
import {
  ClientException, DescribeTasksCommand, InvalidParameterException, ListTagsForResourceCommand, RunTaskCommand, StopTaskCommand,
  waitUntilTasksRunning, waitUntilTasksStopped,
} from "@aws-sdk/client-ecs";
import { cluster, define, ecs, name, skip, stopAfter } from "./harness.mjs";

const waiting = { client: ecs, maxWaitTime: 120, minDelay: 1 };

test("a task's life", { skip }, async (t) => {
  const d = await define(t);
  const out = await ecs.send(new RunTaskCommand({ cluster, taskDefinition: d.taskDefinitionArn, startedBy: "js", tags: [{ key: "k", value: "v" }] }));
  assert.deepEqual(out.failures, []);
  const task = stopAfter(t, out.tasks[0]);
  assert.equal(task.desiredStatus, "RUNNING");
  assert.equal(task.startedAt, undefined);
  await waitUntilTasksRunning(waiting, { cluster, tasks: [task.taskArn] });
  const { tags } = await ecs.send(new ListTagsForResourceCommand({ resourceArn: task.taskArn }));
  assert.deepEqual(tags, [{ key: "k", value: "v" }]);
  await ecs.send(new StopTaskCommand({ cluster, task: task.taskArn, reason: "enough" }));
  await waitUntilTasksStopped(waiting, { cluster, tasks: [task.taskArn] });
  const { tasks } = await ecs.send(new DescribeTasksCommand({ cluster, tasks: [task.taskArn] }));
  assert.equal(tasks[0].stopCode, "UserInitiated");
  assert.equal(tasks[0].stoppedReason, "enough");
  assert.ok(tasks[0].stoppedAt >= tasks[0].startedAt);
});

test("an exit code", { skip }, async (t) => {
  const d = await define(t, { container: { command: ["sh", "-c", "exit 5"] } });
  const { tasks: [task] } = await ecs.send(new RunTaskCommand({ cluster, taskDefinition: d.taskDefinitionArn }));
  await waitUntilTasksStopped(waiting, { cluster, tasks: [task.taskArn] });
  const { tasks } = await ecs.send(new DescribeTasksCommand({ cluster, tasks: [task.taskArn] }));
  assert.equal(tasks[0].containers[0].exitCode, 5);
});

test("tasks refused", { skip }, async () => {
  await assert.rejects(ecs.send(new RunTaskCommand({ cluster, taskDefinition: name() })), ClientException);
  await assert.rejects(ecs.send(new StopTaskCommand({ cluster, task: "0".repeat(32) })), InvalidParameterException);
});
