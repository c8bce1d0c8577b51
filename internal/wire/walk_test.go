package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/token"
	"log/slog"
	"math"
	"net/http/httptest"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithydocument "github.com/aws/smithy-go/document"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roadstead.dev/roadstead/internal/fault"
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	// There are some hundreds of operations: a few values of each find a wrong name; -rapid.checks=1000 looks longer.
	for name, value := range map[string]string{"rapid.checks": "20", "rapid.shrinktime": "3s", "rapid.nofailfile": "true"} {
		if given[name] {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

const (
	testKeyID  = "AKIAROADSTEADTEST000"
	testSecret = "not-a-secret-but-a-test"
	testRegion = "us-east-1"
)

// testKeys is a KeySource of one key.
type testKeys map[string]Key

func (k testKeys) Key(_ context.Context, id, _ string) (Key, error) {
	if key, ok := k[id]; ok {
		return key, nil
	}
	return Key{}, fault.New(fault.ResourceNotFound, "no such key")
}

func oneKey() testKeys {
	return testKeys{testKeyID: {Secret: testSecret, Caller: Caller{AccessKeyID: testKeyID, ARN: "arn:aws:iam::000000000000:root", Account: "000000000000"}}}
}

func serve(t testing.TB, change func(*Config), services ...*Service) *httptest.Server {
	t.Helper()
	cfg := Config{Services: services, Keys: oneKey(), Region: testRegion, Account: "000000000000", Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return srv
}

func awsConfig(url string) aws.Config {
	return aws.Config{
		Region: testRegion, BaseEndpoint: aws.String(url),
		Credentials:      credentials.NewStaticCredentialsProvider(testKeyID, testSecret, ""),
		RetryMaxAttempts: 1,
		// The SDK's own checks and additions would change what is sent.
		APIOptions: []func(*middleware.Stack) error{func(s *middleware.Stack) error {
			_, _ = s.Initialize.Remove("OperationInputValidation")
			_, _ = s.Initialize.Remove("OperationIdempotencyTokenAutoFill")
			return nil
		}},
	}
}

func ecsService() *Service {
	return NewService(ServiceConfig{Name: "ecs", Protocol: JSON11, TargetPrefix: "AmazonEC2ContainerServiceV20141113", Client: reflect.TypeFor[*ecs.Client]()})
}

func logsService() *Service {
	return NewService(ServiceConfig{Name: "logs", Protocol: JSON11, TargetPrefix: "Logs_20140328", Client: reflect.TypeFor[*cloudwatchlogs.Client]()})
}

func stsService() *Service {
	return NewService(ServiceConfig{Name: "sts", Protocol: Query, APIVersion: "2011-06-15", XMLNamespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Unsigned: []string{"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}, Client: reflect.TypeFor[*sts.Client]()})
}

func TestWalkECS(t *testing.T) {
	svc := ecsService()
	walk(t, svc, func(c aws.Config) any { return ecs.NewFromConfig(c) })
}

func TestWalkLogs(t *testing.T) {
	svc := logsService()
	walk(t, svc, func(c aws.Config) any { return cloudwatchlogs.NewFromConfig(c) })
}

func TestWalkSTS(t *testing.T) {
	svc := stsService()
	walk(t, svc, func(c aws.Config) any { return sts.NewFromConfig(c) })
}

func TestWalkSecretsManager(t *testing.T) {
	svc := NewService(ServiceConfig{Name: "secretsmanager", Protocol: JSON11, TargetPrefix: "secretsmanager", Client: reflect.TypeFor[*secretsmanager.Client]()})
	walk(t, svc, func(c aws.Config) any { return secretsmanager.NewFromConfig(c) })
}

func TestWalkEventBridge(t *testing.T) {
	svc := NewService(ServiceConfig{Name: "events", Protocol: JSON11, TargetPrefix: "AWSEvents", Client: reflect.TypeFor[*eventbridge.Client]()})
	walk(t, svc, func(c aws.Config) any { return eventbridge.NewFromConfig(c) })
}

func TestWalkSSM(t *testing.T) {
	svc := NewService(ServiceConfig{Name: "ssm", Protocol: JSON11, TargetPrefix: "AmazonSSM", Client: reflect.TypeFor[*ssm.Client](), Unions: []Union{
		UnionOf[ssmtypes.CloudConnectorConfiguration](&ssmtypes.CloudConnectorConfigurationMemberAzureConfiguration{}),
		UnionOf[ssmtypes.ConfigurationTargets](&ssmtypes.ConfigurationTargetsMemberSubscriptions{}),
		UnionOf[ssmtypes.ExecutionInputs](&ssmtypes.ExecutionInputsMemberAutomation{}),
		UnionOf[ssmtypes.ExecutionPreview](&ssmtypes.ExecutionPreviewMemberAutomation{}),
		UnionOf[ssmtypes.NodeType](&ssmtypes.NodeTypeMemberInstance{}),
	}})
	walk(t, svc, func(c aws.Config) any { return ssm.NewFromConfig(c) })
}

func TestWalkIAM(t *testing.T) {
	svc := NewService(ServiceConfig{Name: "iam", Protocol: Query, APIVersion: "2010-05-08", XMLNamespace: "https://iam.amazonaws.com/doc/2010-05-08/", Client: reflect.TypeFor[*iam.Client](),
		Unions: []Union{UnionOf[iamtypes.PolicyIdentifier](&iamtypes.PolicyIdentifierMemberInlinePolicyIdentifier{},
			&iamtypes.PolicyIdentifierMemberPolicyArn{}, &iamtypes.PolicyIdentifierMemberPolicyType{})}})
	walk(t, svc, func(c aws.Config) any { return iam.NewFromConfig(c) })
}

func TestWalkELB(t *testing.T) {
	svc := NewService(ServiceConfig{Name: "elasticloadbalancing", Protocol: Query, APIVersion: "2015-12-01", XMLNamespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/", Client: reflect.TypeFor[*elb.Client]()})
	walk(t, svc, func(c aws.Config) any { return elb.NewFromConfig(c) })
}

// walk sends each operation of a service through the SDK's client, our decoder, our encoder and the SDK's decoder.
func walk(t *testing.T, svc *Service, client func(aws.Config) any) {
	var got any
	var answer any
	n := 0
	for op, types := range svc.operations {
		if _, stream := reflect.PointerTo(types.out).MethodByName("GetStream"); stream {
			continue
		}
		n++
		svc.handled[op] = &handler{op: op, in: svc.planner.plan(types.in), out: svc.planner.plan(types.out),
			call: func(_ context.Context, in any) (any, error) {
				got = in
				return answer, nil
			}}
	}
	srv := serve(t, nil, svc)
	c := reflect.ValueOf(client(awsConfig(srv.URL)))
	for _, op := range svc.Handled() {
		t.Run(op, func(t *testing.T) {
			types := svc.operations[op]
			rapid.Check(t, func(t *rapid.T) {
				g := generator{t: t, protocol: svc.cfg.Protocol, unions: svc.planner.unions, documents: svc.planner.documents}
				in, out := reflect.New(types.in), reflect.New(types.out)
				g.fill(in.Elem(), 0)
				g.fill(out.Elem(), 0)
				if put, ok := in.Interface().(*eventbridge.PutEventsInput); ok {
					put.EndpointId = nil // It makes the SDK call another host.
				}
				got, answer = nil, out.Interface()
				res := c.MethodByName(op).Call([]reflect.Value{reflect.ValueOf(context.Background()), in})
				if err, _ := res[1].Interface().(error); err != nil {
					t.Fatalf("%v\nsent %s", err, dump(in.Interface()))
				}
				if d := cmp.Diff(in.Interface(), got, sameWire...); d != "" {
					t.Fatalf("the request changed (-sent +received):\n%s", d)
				}
				if d := cmp.Diff(out.Interface(), res[0].Interface(), sameWire...); d != "" {
					t.Fatalf("the answer changed (-sent +received):\n%s", d)
				}
			})
		})
	}
	t.Logf("%s: %d of %d operations", svc.cfg.Name, n, len(svc.operations))
}

func dump(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(b)
}

// sameWire compares what can be seen on the wire.
var sameWire = cmp.Options{
	cmp.FilterPath(func(p cmp.Path) bool {
		sf, ok := p.Last().(cmp.StructField)
		return ok && (sf.Name() == "ResultMetadata" || !token.IsExported(sf.Name()))
	}, cmp.Ignore()),
	// The SDK reads 32.001 seconds as 32000 ms: it cuts where it should round.
	cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() <= time.Millisecond }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type() != nil && isDocument(p.Last().Type()) }, cmp.Comparer(sameDocument)),
	cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }),
}

func isDocument(t reflect.Type) bool {
	return t.Kind() == reflect.Interface && t.Implements(typeDocument)
}

func sameDocument(a, b any) bool {
	if a == nil || b == nil {
		return a == b
	}
	ja, erra := a.(smithydocument.Marshaler).MarshalSmithyDocument()
	jb, errb := b.(smithydocument.Marshaler).MarshalSmithyDocument()
	return erra == nil && errb == nil && cmp.Equal(decodeAny(ja), decodeAny(jb))
}

// decodeAny reads JSON with its numbers as they are written.
func decodeAny(b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	return v
}

// generator fills a struct with values that the wire can carry.
type generator struct {
	t         *rapid.T
	protocol  Protocol
	unions    map[reflect.Type][]reflect.Type
	documents map[reflect.Type]func(any) smithydocument.Marshaler
}

var (
	genText  = rapid.String()
	genPlain = rapid.StringMatching(`[ -~äé漢😀\t\n\r<>&"']{0,12}`)
	genTime  = rapid.Int64Range(0, 4e12)
	genCount = rapid.IntRange(0, 2)
	genBlob  = rapid.SliceOfN(rapid.Byte(), 0, 12)
)

func (g generator) fill(v reflect.Value, depth int) {
	t := v.Type()
	if !g.protocol.json() && depth > 0 {
		// A list's item that is empty leaves no trace in a Query request, so one member is always there.
		defer func() {
			for i := 0; v.IsZero() && i < t.NumField(); i++ {
				if sf := t.Field(i); sf.IsExported() {
					g.value(v.Field(i), depth)
				}
			}
		}()
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() || isMetadata(sf) {
			continue
		}
		// Deeper structs are sparser, or a task definition would fill pages.
		if rapid.IntRange(0, 2+2*depth).Draw(g.t, sf.Name) < 2 {
			g.value(v.Field(i), depth)
		}
	}
}

func (g generator) value(v reflect.Value, depth int) {
	t := v.Type()
	switch {
	case t == typeTime:
		v.Set(reflect.ValueOf(time.UnixMilli(genTime.Draw(g.t, "time")).UTC()))
		return
	case t == typeBytes:
		v.SetBytes(append([]byte{}, genBlob.Draw(g.t, "blob")...))
		return
	case isDocument(t):
		v.Set(reflect.ValueOf(g.documents[t](map[string]any{"s": g.text(), "n": 1.5, "i": int64(7), "l": []any{true, nil, "x"}})))
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		g.value(v.Elem(), depth)
	case reflect.String:
		v.SetString(g.text())
		if t != reflect.TypeFor[string]() {
			v.SetString("E" + v.String()) // an empty enum is an absent one
		}
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(g.t, "bool"))
	case reflect.Int32, reflect.Int64, reflect.Int16, reflect.Int8:
		bits := t.Bits() - 1
		v.SetInt(rapid.Int64Range(-1<<bits, 1<<bits-1).Draw(g.t, "int"))
	case reflect.Float32:
		v.SetFloat(float64(rapid.Float32().Draw(g.t, "float")))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(g.t, "float"))
	case reflect.Struct:
		g.fill(v, depth+1)
	case reflect.Interface:
		members := g.unions[t]
		m := reflect.New(rapid.SampledFrom(members).Draw(g.t, "union"))
		g.value(m.Elem().FieldByName("Value"), depth+1)
		v.Set(m)
	case reflect.Slice:
		n := genCount.Draw(g.t, "length")
		if g.protocol == EC2Query {
			n = max(n, 1) // a flat list that is empty leaves no trace in a request
		}
		v.Set(reflect.MakeSlice(t, n, n))
		for i := range n {
			g.value(v.Index(i), depth+1)
		}
	case reflect.Map:
		n := genCount.Draw(g.t, "size")
		if !g.protocol.json() {
			n = max(n, 1) // Query has no form for an empty map
		}
		v.Set(reflect.MakeMap(t))
		for i := range n {
			e := reflect.New(t.Elem()).Elem()
			g.value(e, depth+1)
			v.SetMapIndex(reflect.ValueOf(fmt.Sprint(i, g.text())).Convert(t.Key()), e)
		}
	default:
		g.t.Fatalf("no values are made for %s", t)
	}
}

func (g generator) text() string {
	if g.protocol.json() {
		return genText.Draw(g.t, "text")
	}
	return genPlain.Draw(g.t, "text")
}
