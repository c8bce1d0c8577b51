package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// The hand-tagged structs have what a DescribeTasks answer has, as a program that does without the SDK would write it.
type (
	taggedAnswer struct {
		Failures []taggedFailure `json:"failures"`
		Tasks    []taggedTask    `json:"tasks"`
	}
	taggedFailure struct {
		Arn    *string `json:"arn,omitempty"`
		Reason *string `json:"reason,omitempty"`
	}
	taggedTask struct {
		Attachments          []taggedAttachment `json:"attachments"`
		Attributes           []taggedAttribute  `json:"attributes"`
		AvailabilityZone     *string            `json:"availabilityZone,omitempty"`
		ClusterArn           *string            `json:"clusterArn,omitempty"`
		Connectivity         string             `json:"connectivity,omitempty"`
		ConnectivityAt       *float64           `json:"connectivityAt,omitempty"`
		ContainerInstanceArn *string            `json:"containerInstanceArn,omitempty"`
		Containers           []taggedContainer  `json:"containers"`
		Cpu                  *string            `json:"cpu,omitempty"`
		CreatedAt            *float64           `json:"createdAt,omitempty"`
		DesiredStatus        *string            `json:"desiredStatus,omitempty"`
		EnableExecuteCommand bool               `json:"enableExecuteCommand"`
		Group                *string            `json:"group,omitempty"`
		HealthStatus         string             `json:"healthStatus,omitempty"`
		LastStatus           *string            `json:"lastStatus,omitempty"`
		LaunchType           string             `json:"launchType,omitempty"`
		Memory               *string            `json:"memory,omitempty"`
		Overrides            *taggedOverride    `json:"overrides,omitempty"`
		PullStartedAt        *float64           `json:"pullStartedAt,omitempty"`
		PullStoppedAt        *float64           `json:"pullStoppedAt,omitempty"`
		StartedAt            *float64           `json:"startedAt,omitempty"`
		StartedBy            *string            `json:"startedBy,omitempty"`
		StopCode             string             `json:"stopCode,omitempty"`
		StoppedAt            *float64           `json:"stoppedAt,omitempty"`
		StoppedReason        *string            `json:"stoppedReason,omitempty"`
		Tags                 []taggedTag        `json:"tags"`
		TaskArn              *string            `json:"taskArn,omitempty"`
		TaskDefinitionArn    *string            `json:"taskDefinitionArn,omitempty"`
		Version              int64              `json:"version"`
	}
	taggedAttachment struct {
		Details []taggedPair `json:"details"`
		Id      *string      `json:"id,omitempty"`
		Status  *string      `json:"status,omitempty"`
		Type    *string      `json:"type,omitempty"`
	}
	taggedAttribute struct {
		Name  *string `json:"name,omitempty"`
		Value *string `json:"value,omitempty"`
	}
	taggedPair struct {
		Name  *string `json:"name,omitempty"`
		Value *string `json:"value,omitempty"`
	}
	taggedContainer struct {
		ContainerArn      *string         `json:"containerArn,omitempty"`
		Cpu               *string         `json:"cpu,omitempty"`
		ExitCode          *int32          `json:"exitCode,omitempty"`
		HealthStatus      string          `json:"healthStatus,omitempty"`
		Image             *string         `json:"image,omitempty"`
		ImageDigest       *string         `json:"imageDigest,omitempty"`
		LastStatus        *string         `json:"lastStatus,omitempty"`
		Memory            *string         `json:"memory,omitempty"`
		Name              *string         `json:"name,omitempty"`
		NetworkBindings   []taggedBinding `json:"networkBindings"`
		NetworkInterfaces []taggedPair    `json:"networkInterfaces"`
		Reason            *string         `json:"reason,omitempty"`
		RuntimeId         *string         `json:"runtimeId,omitempty"`
		TaskArn           *string         `json:"taskArn,omitempty"`
	}
	taggedBinding struct {
		BindIP        *string `json:"bindIP,omitempty"`
		ContainerPort *int32  `json:"containerPort,omitempty"`
		HostPort      *int32  `json:"hostPort,omitempty"`
		Protocol      string  `json:"protocol,omitempty"`
	}
	taggedOverride struct {
		ContainerOverrides []taggedContainerOverride `json:"containerOverrides"`
	}
	taggedContainerOverride struct {
		Command     []string     `json:"command,omitempty"`
		Environment []taggedPair `json:"environment,omitempty"`
		Name        *string      `json:"name,omitempty"`
	}
	taggedTag struct {
		Key   *string `json:"key,omitempty"`
		Value *string `json:"value,omitempty"`
	}
)

// hundredTasks is a DescribeTasks answer as a cluster of services gives it.
func hundredTasks() *ecs.DescribeTasksOutput {
	out := &ecs.DescribeTasksOutput{Failures: []types.Failure{}}
	at := func(i int) *time.Time { t := time.UnixMilli(1772366400123 + int64(i)*1517).UTC(); return &t }
	for i := range 100 {
		arn := fmt.Sprintf("arn:aws:ecs:us-east-1:000000000000:task/production/%032x", i*7919)
		out.Tasks = append(out.Tasks, types.Task{
			Attachments: []types.Attachment{{Id: aws.String("4b1d0a2e-6c6a-4a35-9d9e-0f6b5a2c7d11"), Status: aws.String("ATTACHED"), Type: aws.String("ElasticNetworkInterface"),
				Details: []types.KeyValuePair{{Name: aws.String("subnetId"), Value: aws.String("subnet-0123456789abcdef0")}, {Name: aws.String("privateIPv4Address"), Value: aws.String("10.0.12.77")}}}},
			Attributes:       []types.Attribute{{Name: aws.String("ecs.cpu-architecture"), Value: aws.String("x86_64")}},
			AvailabilityZone: aws.String("us-east-1a"), ClusterArn: aws.String("arn:aws:ecs:us-east-1:000000000000:cluster/production"),
			Connectivity: types.ConnectivityConnected, ConnectivityAt: at(i), ContainerInstanceArn: aws.String("arn:aws:ecs:us-east-1:000000000000:container-instance/production/0f3e"),
			Containers: []types.Container{container(arn, "web", at(i)), container(arn, "sidecar", at(i))},
			Cpu:        aws.String("256"), CreatedAt: at(i), DesiredStatus: aws.String("RUNNING"), Group: aws.String("service:web"), HealthStatus: types.HealthStatusHealthy,
			LastStatus: aws.String("RUNNING"), LaunchType: types.LaunchTypeEc2, Memory: aws.String("512"),
			Overrides: &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: aws.String("web"), Command: []string{"serve", "--port", "80"},
				Environment: []types.KeyValuePair{{Name: aws.String("LEVEL"), Value: aws.String(`"debug" & more`)}}}}},
			PullStartedAt: at(i + 1), PullStoppedAt: at(i + 2), StartedAt: at(i + 3), StartedBy: aws.String("ecs-svc/1234567890123456789"),
			Tags:    []types.Tag{{Key: aws.String("team"), Value: aws.String("häfen")}},
			TaskArn: aws.String(arn), TaskDefinitionArn: aws.String("arn:aws:ecs:us-east-1:000000000000:task-definition/web:42"), Version: int64(i),
		})
	}
	return out
}

func container(task, name string, _ *time.Time) types.Container {
	return types.Container{
		ContainerArn: aws.String(task + "/" + name), Cpu: aws.String("128"), HealthStatus: types.HealthStatusHealthy, Image: aws.String("registry.example/" + name + ":1.2.3"),
		ImageDigest: aws.String("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), LastStatus: aws.String("RUNNING"), Memory: aws.String("256"),
		Name: aws.String(name), NetworkBindings: []types.NetworkBinding{{BindIP: aws.String("0.0.0.0"), ContainerPort: aws.Int32(80), HostPort: aws.Int32(32768), Protocol: types.TransportProtocolTcp}},
		NetworkInterfaces: []types.NetworkInterface{}, RuntimeId: aws.String("0123456789abcdef0123456789abcdef-1234567890"), TaskArn: aws.String(task),
	}
}

type benchData struct {
	out    *ecs.DescribeTasksOutput
	shape  *shape
	body   []byte
	tagged *taggedAnswer
}

func newBenchData(tb testing.TB) benchData {
	d := benchData{out: hundredTasks(), tagged: new(taggedAnswer)}
	d.shape = newPlanner(ServiceConfig{Protocol: JSON11}).plan(reflect.TypeFor[ecs.DescribeTasksOutput]())
	var err error
	if d.body, err = appendJSON(nil, d.shape, reflect.ValueOf(d.out).Elem()); err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(d.body, d.tagged); err != nil {
		tb.Fatal(err)
	}
	return d
}

// TestBenchmarkIsFair sees that both sides of the benchmark write and read the same.
func TestBenchmarkIsFair(t *testing.T) {
	d := newBenchData(t)
	theirs, err := json.Marshal(d.tagged)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal(d.body, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(theirs, &b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("(-wire +encoding/json)\n%s", diff)
	}
	back := new(ecs.DescribeTasksOutput)
	if err := decodeJSON(d.body, d.shape, reflect.ValueOf(back).Elem()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.out, back, sameWire...); diff != "" {
		t.Errorf("(-sent +read)\n%s", diff)
	}
}

// BenchmarkDescribeTasks encodes and decodes an answer of 100 tasks, here and by encoding/json, one after the other in each
// round, and reports the ratio of the times: below 1, this package is the faster.
func BenchmarkDescribeTasks(b *testing.B) {
	d := newBenchData(b)
	b.Run("encode", func(b *testing.B) {
		var buf []byte
		ratio(b, func() {
			buf, _ = appendJSON(buf[:0], d.shape, reflect.ValueOf(d.out).Elem())
		}, func() {
			if _, err := json.Marshal(d.tagged); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("decode", func(b *testing.B) {
		ratio(b, func() {
			out := new(ecs.DescribeTasksOutput)
			if err := decodeJSON(d.body, d.shape, reflect.ValueOf(out).Elem()); err != nil {
				b.Fatal(err)
			}
		}, func() {
			if err := json.Unmarshal(d.body, new(taggedAnswer)); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func ratio(b *testing.B, ours, theirs func()) {
	var a, c time.Duration
	for b.Loop() {
		t0 := time.Now()
		ours()
		t1 := time.Now()
		theirs()
		a, c = a+t1.Sub(t0), c+time.Since(t1)
	}
	n := float64(b.N)
	b.ReportMetric(float64(a.Microseconds())/n, "wire-µs/op")
	b.ReportMetric(float64(c.Microseconds())/n, "json-µs/op")
	b.ReportMetric(a.Seconds()/c.Seconds(), "ratio")
}

// BenchmarkRequest is a whole request without the network: signature, decoding, an answer of 100 tasks, log line.
func BenchmarkRequest(b *testing.B) {
	svc, out := ecsService(), hundredTasks()
	Handle(svc, "DescribeTasks", func(context.Context, *ecs.DescribeTasksInput) (*ecs.DescribeTasksOutput, error) { return out, nil })
	Handle(svc, "ListClusters", func(context.Context, *ecs.ListClustersInput) (*ecs.ListClustersOutput, error) {
		return &ecs.ListClustersOutput{ClusterArns: []string{}}, nil
	})
	s, err := New(Config{Services: []*Service{svc}, Keys: oneKey(), Region: testRegion, Now: testClock, Log: textLog(io.Discard)})
	if err != nil {
		b.Fatal(err)
	}
	for op, body := range map[string]string{"DescribeTasks": `{"cluster":"production","tasks":["a","b"]}`, "ListClusters": `{}`} {
		b.Run(op, func(b *testing.B) {
			req := httptest.NewRequest(http.MethodPost, "http://localhost/", nil)
			req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+op)
			if err := v4.NewSigner().SignHTTP(b.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, req, hashOf([]byte(body)), "ecs", testRegion, testNow); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				req.Body = io.NopCloser(strings.NewReader(body))
				w := httptest.NewRecorder()
				if s.ServeHTTP(w, req); w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
