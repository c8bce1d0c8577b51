// What the tests share: a client of the endpoint that the environment names, and names of their own.
import { randomBytes } from "node:crypto";
import { ECSClient, DeregisterTaskDefinitionCommand, RegisterTaskDefinitionCommand, StopTaskCommand } from "@aws-sdk/client-ecs";

export const image = "public.ecr.aws/docker/library/busybox:latest";
export const cluster = process.env.ROADSTEAD_CONFORMANCE_CLUSTER;
export const skip = cluster === "none" ? "needs container instances" : false;
export const ecs = new ECSClient({});
export const name = () => "conformance-js-" + randomBytes(4).toString("hex");

// define registers a task definition with one container and deregisters it after the test.
export async function define(t, more = {}) {
  const { container, ...rest } = more;
  const out = await ecs.send(new RegisterTaskDefinitionCommand({
    family: name(),
    containerDefinitions: [{ name: "main", image, memory: 16, command: ["sleep", "3600"], stopTimeout: 2, ...container }],
    ...rest,
  }));
  const taskDefinition = out.taskDefinition.taskDefinitionArn;
  t.after(() => ecs.send(new DeregisterTaskDefinitionCommand({ taskDefinition })));
  return out.taskDefinition;
}

// stopAfter stops a task after the test.
export function stopAfter(t, task) {
  t.after(() => ecs.send(new StopTaskCommand({ cluster, task: task.taskArn })));
  return task;
}
