package ecsapi

import (
	"fmt"
	"reflect"
	"sync"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"

	"roadstead.dev/roadstead/internal/fault"
)

// refusal is a field of an input that the platform has no effect for yet. It is refused where it is set.
type refusal struct {
	field string
	kind  fault.Kind
	// message is formatted with the field's name as AWS writes it.
	message string
}

const (
	notYet = "%s is not supported yet."
	never  = "%s is not supported: there are no Amazon ECS Managed Instances here."
)

// refusals is the one table of what is not supported of the operations that are. A test holds each operation's fields
// against it and against the list of those that are used, so that a field that AWS adds is in one of them.
var refusals = map[reflect.Type][]refusal{
	// Managed instances are virtual machines of EC2's, and they alone belong to a cluster.
	reflect.TypeFor[sdk.CreateCapacityProviderInput](): {
		{"ManagedInstancesProvider", fault.Unsupported, never},
		{"Cluster", fault.Unsupported, never},
	},
	reflect.TypeFor[sdk.UpdateCapacityProviderInput](): {
		{"ManagedInstancesProvider", fault.Unsupported, never},
		{"Cluster", fault.Unsupported, never},
	},
	reflect.TypeFor[sdk.DeleteCapacityProviderInput](): {
		{"Cluster", fault.Unsupported, never},
	},
	reflect.TypeFor[sdk.CreateServiceInput](): {
		{"GatewayConnectors", fault.Unsupported, notYet},
		{"LoadBalancers", fault.Unsupported, notYet},
		{"Monitoring", fault.Unsupported, notYet},
		{"Role", fault.Unsupported, notYet},
		{"ServiceConnectConfiguration", fault.Unsupported, notYet},
		{"ServiceRegistries", fault.Unsupported, notYet},
		{"VpcLatticeConfigurations", fault.Unsupported, notYet},
	},
	reflect.TypeFor[sdk.UpdateServiceInput](): {
		{"GatewayConnectors", fault.Unsupported, notYet},
		{"LoadBalancers", fault.Unsupported, notYet},
		{"Monitoring", fault.Unsupported, notYet},
		{"ServiceConnectConfiguration", fault.Unsupported, notYet},
		{"ServiceRegistries", fault.Unsupported, notYet},
		{"VpcLatticeConfigurations", fault.Unsupported, notYet},
	},
	reflect.TypeFor[sdk.CreateTaskSetInput](): {
		{"LoadBalancers", fault.Unsupported, notYet},
		{"ServiceRegistries", fault.Unsupported, notYet},
	},
	reflect.TypeFor[sdk.ListServicesInput](): {
		{"ResourceManagementType", fault.Unsupported, notYet},
	},
}

// refusalPlan is the table with names looked up.
type refusalPlan struct {
	field   int
	refusal refusal
	member  string
}

var refusalPlans sync.Map // reflect.Type -> []refusalPlan; follows from the table alone

// refuse answers with the first field of in that is set and not supported. A list or structure that is set but empty asks
// for nothing and passes.
func refuse[In any](in *In) error {
	t := reflect.TypeFor[In]()
	found, ok := refusalPlans.Load(t)
	if !ok {
		found, _ = refusalPlans.LoadOrStore(t, planRefusals(t))
	}
	v := reflect.ValueOf(in).Elem()
	for _, p := range found.([]refusalPlan) {
		if asksForNothing(v.Field(p.field)) {
			continue
		}
		return fault.New(p.refusal.kind, p.refusal.message, p.member)
	}
	return nil
}

func planRefusals(t reflect.Type) []refusalPlan {
	var out []refusalPlan
	for _, r := range refusals[t] {
		f, ok := t.FieldByName(r.field)
		if !ok {
			panic(fmt.Sprintf("ecs api: %v has no field %s", t, r.field))
		}
		out = append(out, refusalPlan{field: f.Index[0], refusal: r, member: memberName(r.field)})
	}
	return out
}

// memberName is a field's name on the wire.
func memberName(field string) string {
	return string(field[0]|0x20) + field[1:]
}

func asksForNothing(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Pointer:
		return v.IsNil() || v.Elem().Kind() == reflect.String && v.Elem().Len() == 0
	}
	return v.IsZero()
}
