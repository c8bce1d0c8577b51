import { test } from "node:test";
import assert from "node:assert/strict";
import { ClientException, DescribeTaskDefinitionCommand, ListTaskDefinitionsCommand } from "@aws-sdk/client-ecs";
import { define, ecs, name } from "./harness.mjs";

test("a task definition comes back as it was sent", async (t) => {
  const sent = {
    environment: [{ name: "EMPTY", value: "" }, { name: "A", value: "ü" }],
    portMappings: [{ containerPort: 80, hostPort: 0, protocol: "tcp" }],
    dockerLabels: { a: "b" },
    healthCheck: { command: ["CMD", "true"], interval: 30, timeout: 5, retries: 3 },
  };
  const made = await define(t, { container: sent });
  const { taskDefinition, tags } = await ecs.send(new DescribeTaskDefinitionCommand({ taskDefinition: made.family, include: ["TAGS"] }));
  assert.equal(taskDefinition.revision, 1);
  assert.ok(taskDefinition.registeredAt instanceof Date);
  assert.deepEqual(tags, []);
  for (const [field, value] of Object.entries(sent)) assert.deepEqual(taskDefinition.containerDefinitions[0][field], value, field);
  const list = await ecs.send(new ListTaskDefinitionsCommand({ familyPrefix: made.family }));
  assert.deepEqual(list.taskDefinitionArns, [made.taskDefinitionArn]);
});

test("a task definition that is not there", async () => {
  await assert.rejects(ecs.send(new DescribeTaskDefinitionCommand({ taskDefinition: name() })), ClientException);
});
