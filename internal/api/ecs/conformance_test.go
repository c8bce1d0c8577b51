package ecsapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state/memkv"
	"roadstead.dev/roadstead/internal/wire"
)

const keyID, secret = "AKIDEXAMPLE", "secret"

type oneKey struct{}

func (oneKey) Key(_ context.Context, id, _ string) (wire.Key, error) {
	if id != keyID {
		return wire.Key{}, fault.New(fault.ResourceNotFound, "no such key")
	}
	return wire.Key{Secret: secret, Caller: wire.Caller{AccessKeyID: id, ARN: "arn:aws:iam::000000000000:root", Account: place.Account}}, nil
}

// newClient serves a fixture's API over HTTP and gives the SDK's client of it.
func newClient(t testing.TB, f *fixture) *sdk.Client {
	t.Helper()
	srv, err := wire.New(wire.Config{Services: []*wire.Service{f.Service()}, Keys: oneKey{}, Region: place.Region, Account: place.Account, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(srv)
	t.Cleanup(h.Close)
	return sdk.New(sdk.Options{Region: place.Region, BaseEndpoint: &h.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")})
}

func TestSDKClient(t *testing.T) {
	f := newFixture(t, func(c *ecsapi.Config) {
		c.Caller = func(ctx context.Context) string { return wire.CallerFrom(ctx).ARN }
		c.Endpoint = func(context.Context) (string, string) { return "http://127.0.0.1:1/acs", "http://127.0.0.1:1/tcs" }
	})
	c, ctx := newClient(t, f), f.ctx
	must(c.CreateCluster(ctx, &sdk.CreateClusterInput{ClusterName: aws.String("web"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("")}}}))
	clusters := must(c.DescribeClusters(ctx, &sdk.DescribeClustersInput{Clusters: []string{"web", "none"}, Include: []types.ClusterField{"TAGS", "STATISTICS", "SETTINGS"}}))
	if len(clusters.Clusters) != 1 || len(clusters.Clusters[0].Tags) != 1 || len(clusters.Clusters[0].Statistics) == 0 || *clusters.Failures[0].Reason != "MISSING" {
		t.Errorf("clusters: %+v", clusters)
	}
	instance := must(c.RegisterContainerInstance(ctx, &sdk.RegisterContainerInstanceInput{Cluster: aws.String("web"), TotalResources: resources(1000, 1000)}))
	d := must(c.RegisterTaskDefinition(ctx, sleeper())).TaskDefinition
	if *d.TaskDefinitionArn != "arn:aws:ecs:us-east-1:000000000000:task-definition/sleep:1" || *d.RegisteredBy != "arn:aws:iam::000000000000:root" {
		t.Errorf("definition: %+v", d)
	}
	in := &sdk.RunTaskInput{Cluster: aws.String("web"), TaskDefinition: aws.String("sleep"), Count: aws.Int32(2), ClientToken: aws.String("t1")}
	ran, again := must(c.RunTask(ctx, in)), must(c.RunTask(ctx, in))
	if len(ran.Tasks) != 2 || len(again.Tasks) != 2 || *ran.Tasks[0].TaskArn != *again.Tasks[0].TaskArn {
		t.Errorf("the same request made new tasks")
	}
	in.Count = aws.Int32(1)
	_, err := c.RunTask(ctx, in)
	var conflict *types.ConflictException
	if !errors.As(err, &conflict) || len(conflict.ResourceIds) != 2 || conflict.ResourceIds[0] != *ran.Tasks[0].TaskArn {
		t.Errorf("another request with the token: %v", err)
	}
	tasks := must(c.ListTasks(ctx, &sdk.ListTasksInput{Cluster: aws.String("web")}))
	described := must(c.DescribeTasks(ctx, &sdk.DescribeTasksInput{Cluster: aws.String("web"), Tasks: tasks.TaskArns}))
	if len(described.Tasks) != 2 || *described.Tasks[0].ContainerInstanceArn != *instance.ContainerInstance.ContainerInstanceArn || described.Failures == nil {
		t.Errorf("described: %+v", described)
	}
	if e := must(c.DiscoverPollEndpoint(ctx, &sdk.DiscoverPollEndpointInput{})); *e.Endpoint != "http://127.0.0.1:1/acs" {
		t.Errorf("endpoint %v", *e.Endpoint)
	}
}

func TestSDKErrors(t *testing.T) {
	f := newFixture(t)
	c, ctx := newClient(t, f), f.ctx
	_, err := c.ListTasks(ctx, &sdk.ListTasksInput{Cluster: aws.String("none")})
	var noCluster *types.ClusterNotFoundException
	if !errors.As(err, &noCluster) || noCluster.ErrorMessage() != "Cluster not found." {
		t.Errorf("unknown cluster: %v", err)
	}
	_, err = c.DescribeTaskDefinition(ctx, &sdk.DescribeTaskDefinitionInput{TaskDefinition: aws.String("none")})
	var client *types.ClientException
	if !errors.As(err, &client) || client.ErrorMessage() != "Unable to describe task definition." {
		t.Errorf("unknown definition: %v", err)
	}
	_, err = c.DescribeExpressGatewayService(ctx, &sdk.DescribeExpressGatewayServiceInput{ServiceArn: aws.String("s")})
	var unsupported smithy.APIError
	if !errors.As(err, &unsupported) || unsupported.ErrorCode() != "UnsupportedFeatureException" {
		t.Errorf("an operation that is not done: %v", err)
	}
}

// full uses as many fields of a definition as go together, with every default given, so that it must come back unchanged.
const full = `{
 "family":"full","networkMode":"bridge","cpu":"512","memory":"1024","taskRoleArn":"arn:aws:iam::000000000000:role/r",
 "executionRoleArn":"arn:aws:iam::000000000000:role/e","pidMode":"task","ipcMode":"none","requiresCompatibilities":["EC2"],
 "runtimePlatform":{"cpuArchitecture":"X86_64","operatingSystemFamily":"LINUX"},
 "placementConstraints":[{"type":"memberOf","expression":"attribute:a == b"}],
 "volumes":[{"name":"data","host":{"sourcePath":"/srv"}},{"name":"scratch","host":{}},
  {"name":"docker","dockerVolumeConfiguration":{"scope":"shared","autoprovision":true,"driver":"local","driverOpts":{"a":"b"},"labels":{"c":"d"}}},
  {"name":"efs","efsVolumeConfiguration":{"fileSystemId":"fs-1","rootDirectory":"/","transitEncryption":"ENABLED","transitEncryptionPort":2049,"authorizationConfig":{"accessPointId":"ap","iam":"ENABLED"}}}],
 "containerDefinitions":[
  {"name":"routed","image":"routed","cpu":0,"essential":false,"environment":[],"mountPoints":[],"portMappings":[],"volumesFrom":[],"systemControls":[],
   "logConfiguration":{"logDriver":"awsfirelens","options":{"Name":"null"}}},
  {"name":"app","image":"example.com:5000/app@sha256:0000","cpu":256,"memory":512,"memoryReservation":256,"essential":true,
   "links":["side:s"],"entryPoint":["/bin/app"],"command":["a",""],"workingDirectory":"/w","user":"1:2","hostname":"h",
   "environment":[{"name":"EMPTY","value":""},{"name":"A","value":"b"}],"secrets":[{"name":"S","valueFrom":"arn:aws:ssm:us-east-1:000000000000:parameter/p"}],
   "portMappings":[{"containerPort":80,"hostPort":8080,"protocol":"tcp","name":"web","appProtocol":"http"},{"containerPort":53,"hostPort":0,"protocol":"udp"},{"containerPortRange":"9000-9010","protocol":"tcp"}],
   "mountPoints":[{"sourceVolume":"data","containerPath":"/d","readOnly":true},{"sourceVolume":"scratch","containerPath":"/s","readOnly":false}],
   "volumesFrom":[{"sourceContainer":"side","readOnly":true}],
   "dependsOn":[{"containerName":"side","condition":"HEALTHY"}],"startTimeout":10,"stopTimeout":20,
   "dnsServers":["10.0.0.2"],"dnsSearchDomains":["example.com"],"extraHosts":[{"hostname":"x","ipAddress":"10.0.0.1"}],
   "dockerLabels":{"l":""},"dockerSecurityOptions":["no-new-privileges"],"privileged":false,"readonlyRootFilesystem":true,"interactive":true,"pseudoTerminal":false,
   "ulimits":[{"name":"nofile","softLimit":10,"hardLimit":20}],"systemControls":[{"namespace":"net.core.somaxconn","value":"1"}],
   "linuxParameters":{"capabilities":{"add":["NET_ADMIN"],"drop":["ALL"]},"devices":[{"hostPath":"/dev/x","containerPath":"/dev/y","permissions":["read"]}],"initProcessEnabled":true,"sharedMemorySize":64,"tmpfs":[{"containerPath":"/t","size":8,"mountOptions":["noexec"]}],"maxSwap":0,"swappiness":10},
   "logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"us-east-1"},"secretOptions":[{"name":"n","valueFrom":"p"}]},
   "restartPolicy":{"enabled":true,"ignoredExitCodes":[0],"restartAttemptPeriod":60},"versionConsistency":"enabled",
   "repositoryCredentials":{"credentialsParameter":"c"},"environmentFiles":[{"type":"s3","value":"arn:aws:s3:::b/f.env"}]},
  {"name":"side","image":"side","cpu":0,"essential":false,"environment":[],"mountPoints":[],"portMappings":[],"volumesFrom":[],"systemControls":[],
   "firelensConfiguration":{"type":"fluentbit","options":{"enable-ecs-log-metadata":"true"}},
   "healthCheck":{"command":["CMD","true"],"interval":30,"timeout":5,"retries":3,"startPeriod":1}}]}`

// TestNoDrift: what is registered is what is described, now and by another client.
func TestNoDrift(t *testing.T) {
	f := newFixture(t)
	c := newClient(t, f)
	var in sdk.RegisterTaskDefinitionInput
	if err := json.Unmarshal([]byte(full), &in); err != nil {
		t.Fatal(err)
	}
	registered := must(c.RegisterTaskDefinition(f.ctx, &in)).TaskDefinition
	described := must(c.DescribeTaskDefinition(f.ctx, &sdk.DescribeTaskDefinitionInput{TaskDefinition: aws.String("full")})).TaskDefinition
	if diff := cmp.Diff(asJSON(t, registered), asJSON(t, described)); diff != "" {
		t.Errorf("registered and described differ: %s", diff)
	}
	sent, got := reflect.ValueOf(in), reflect.ValueOf(*described)
	for i := range sent.NumField() {
		name := sent.Type().Field(i).Name
		if field := got.FieldByName(name); field.IsValid() && sent.Type().Field(i).IsExported() {
			if diff := cmp.Diff(asJSON(t, sent.Field(i).Interface()), asJSON(t, field.Interface())); diff != "" {
				t.Errorf("%s drifted: %s", name, diff)
			}
		}
	}
}

// TestSameAfterRestart: a new server on the same store gives the same answers.
func TestSameAfterRestart(t *testing.T) {
	kv := memkv.New(memkv.Unlimited)
	f := openFixture(t, kv)
	f.cluster()
	f.instance(1000, 1000, "ecs.os-type")
	var in sdk.RegisterTaskDefinitionInput
	if err := json.Unmarshal([]byte(full), &in); err != nil {
		t.Fatal(err)
	}
	must(f.RegisterTaskDefinition(f.ctx, &in))
	f.register()
	run := func(in *sdk.RunTaskInput) {
		in.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: aws.String("main"), Command: []string{""},
			Environment: []types.KeyValuePair{{Name: aws.String("E"), Value: aws.String("")}}}}}
		in.Tags, in.ClientToken = []types.Tag{{Key: aws.String("t"), Value: aws.String("")}}, aws.String("t1")
	}
	task := *f.run(run).Tasks[0].TaskArn
	f.submit(task, "RUNNING")
	answers := func(f *fixture) string {
		instances := must(f.ListContainerInstances(f.ctx, &sdk.ListContainerInstancesInput{})).ContainerInstanceArns
		return asJSON(t, []any{
			must(f.DescribeTaskDefinition(f.ctx, &sdk.DescribeTaskDefinitionInput{TaskDefinition: aws.String("full")})),
			must(f.DescribeContainerInstances(f.ctx, &sdk.DescribeContainerInstancesInput{ContainerInstances: instances})),
			must(f.DescribeClusters(f.ctx, &sdk.DescribeClustersInput{})),
			f.describe(task),
			f.run(run),
		})
	}
	before := answers(f)
	f.stop()
	if diff := cmp.Diff(before, answers(openFixture(t, kv))); diff != "" {
		t.Error(diff)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
