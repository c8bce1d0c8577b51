package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
)

// everything has a member of each kind: lists, maps, documents, unions, times, enums, numbers.
type everything struct {
	Register *ecs.RegisterTaskDefinitionInput
	Service  *ecs.CreateServiceInput
	Answer   *ecs.DescribeTasksOutput
	Gateway  types.GatewayConfiguration
	Hooks    []types.DeploymentLifecycleHook
	Blob     []byte
	Float    *float64
}

func everythingShape() *shape {
	return newPlanner(ServiceConfig{Protocol: JSON11}).plan(reflect.TypeFor[everything]())
}

// FuzzDecodeJSON: whatever comes, the decoder gives a value or a *decodeError; what it takes is JSON, and reads the same again
// after it was written.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"Register":{"family":"f","containerDefinitions":[{"name":"c","memory":5,"dockerLabels":{"a":"b"},"environment":[{"name":"x","value":"é"}]}]}}`,
		`{"Answer":{"tasks":[{"createdAt":1.5e9,"startedAt":1772366400.123,"version":3}],"failures":[]}}`,
		`{"Hooks":[{"hookDetails":{"a":[1,2.5,1e400,null,"x",true]},"hookTargetArn":"\u00e9"}]}`,
		`{"Gateway":{"hostSharedAlb":{}},"Blob":"AAE=","Float":"NaN"}`, `{"Gateway":{"hostSharedAlb":{},"hostSharedAlb":{}}}`,
		`{"Service":{"desiredCount":1.0,"enableECSManagedTags":true}}`, `{"Service":{"desiredCount":1e99}}`, `[[[[`, `{"a":{"a":{"a":`, "{\"Blob\":\"\xff\"}", `{"Float":-0}`,
		`{"Register":null,"Service":{"tags":[null,{"key":null}]}}`, `nul`, `"`, `{"Answer":{"tasks":[{"createdAt":-1}]}} x`,
	} {
		f.Add([]byte(s))
	}
	s := everythingShape()
	f.Fuzz(func(t *testing.T, body []byte) {
		var v, again everything
		if err := decodeJSON(body, s, reflect.ValueOf(&v).Elem()); err != nil {
			var d *decodeError
			if !errors.As(err, &d) || d.Error() == "" {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		if len(bytes.TrimSpace(body)) > 0 && !json.Valid(body) {
			t.Fatalf("took what is not JSON")
		}
		out, err := appendJSON(nil, s, reflect.ValueOf(&v).Elem())
		if err != nil {
			t.Fatal(err)
		}
		if err := decodeJSON(out, s, reflect.ValueOf(&again).Elem()); err != nil {
			t.Fatalf("%v in our own %s", err, out)
		}
		if d := cmp.Diff(v, again, sameWire...); d != "" {
			t.Fatalf("(-first +second)\n%s", d)
		}
	})
}

// FuzzDecodeQuery: whatever comes, the decoder gives a value or a *decodeError.
func FuzzDecodeQuery(f *testing.F) {
	for _, s := range []string{
		"", "RoleArn=a&DurationSeconds=900&Tags.member.1.Key=k&Tags.member.1.Value=v&TransitiveTagKeys.member.2=x", "PolicyArns.member.1.arn=a&PolicyArns=",
		"Tags.member.1=x", "Tags.member.99999999999999999999.Key=k", "Tags.member.-1.Key=k", "DurationSeconds=+5", "DurationSeconds=5.5", "a.b.c.d=1&a.b=2&a=3", ".=.&..=", "Tags.1.Key=flat",
	} {
		f.Add(s)
	}
	s := newPlanner(stsService().cfg).plan(reflect.TypeFor[sts.AssumeRoleInput]())
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		var in sts.AssumeRoleInput
		var d *decodeError
		if err := decodeQuery(form, s, reflect.ValueOf(&in).Elem()); err != nil && (!errors.As(err, &d) || d.Error() == "") {
			t.Fatalf("%T %v", err, err)
		}
	})
}
