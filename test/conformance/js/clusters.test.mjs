import { test } from "node:test";
import assert from "node:assert/strict";
import {
  ClusterNotFoundException, CreateClusterCommand, DeleteClusterCommand, DescribeClustersCommand, InvalidParameterException, paginateListClusters,
} from "@aws-sdk/client-ecs";
import { ecs, name } from "./harness.mjs";

test("a cluster's life", async (t) => {
  const clusterName = name();
  const { cluster } = await ecs.send(new CreateClusterCommand({ clusterName, tags: [{ key: "k", value: "v" }] }));
  t.after(() => ecs.send(new DeleteClusterCommand({ cluster: clusterName })));
  assert.equal(cluster.status, "ACTIVE");
  assert.match(cluster.clusterArn, new RegExp(`^arn:aws:ecs:.*:cluster/${clusterName}$`));

  const missing = name();
  const out = await ecs.send(new DescribeClustersCommand({ clusters: [clusterName, missing], include: ["TAGS"] }));
  assert.deepEqual(out.clusters[0].tags, [{ key: "k", value: "v" }]);
  assert.equal(out.clusters[0].runningTasksCount, 0);
  assert.equal(out.failures[0].reason, "MISSING");

  const arns = [];
  for await (const page of paginateListClusters({ client: ecs, pageSize: 1 }, {})) arns.push(...page.clusterArns);
  assert.ok(arns.includes(cluster.clusterArn));
});

test("clusters refused", async () => {
  await assert.rejects(ecs.send(new DeleteClusterCommand({ cluster: name() })), (err) => {
    assert.ok(err instanceof ClusterNotFoundException);
    assert.equal(err.message, "Cluster not found.");
    assert.equal(err.$fault, "client");
    assert.equal(err.$metadata.httpStatusCode, 400);
    assert.ok(err.$metadata.requestId);
    return true;
  });
  await assert.rejects(ecs.send(new CreateClusterCommand({ clusterName: "not a name" })), InvalidParameterException);
});
