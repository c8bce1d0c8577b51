package wire

import (
	"fmt"
	"reflect"

	logs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	ecsdocument "github.com/aws/aws-sdk-go-v2/service/ecs/document"
	ecs "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	smithydocument "github.com/aws/smithy-go/document"
)

// Union is a Smithy union's Go interface with the struct types that are its choices.
type Union struct {
	typ     reflect.Type
	members []reflect.Type
}

// UnionOf registers the choices of the union I, given as pointers to their structs: &types.XMemberY{}.
func UnionOf[I any](members ...I) Union {
	u := Union{typ: reflect.TypeFor[I]()}
	if u.typ.Kind() != reflect.Interface {
		panic(fmt.Sprintf("wire: %s is not a union", u.typ))
	}
	for _, m := range members {
		u.members = append(u.members, reflect.TypeOf(m).Elem())
	}
	return u
}

// knownUnions has those of the services that Roadstead serves. One that is missing, or lacks a choice, panics when the first
// operation that needs it is registered.
func knownUnions() map[reflect.Type][]reflect.Type {
	out := map[reflect.Type][]reflect.Type{}
	for _, u := range []Union{
		UnionOf[ecs.DescribeGatewayConfiguration](&ecs.DescribeGatewayConfigurationMemberHostSharedAlb{}),
		UnionOf[ecs.GatewayConfiguration](&ecs.GatewayConfigurationMemberHostSharedAlb{}),
		UnionOf[ecs.GatewayConnectionResources](&ecs.GatewayConnectionResourcesMemberHostSharedAlb{}),
		UnionOf[ecs.GatewayElbAccessLogDestination](&ecs.GatewayElbAccessLogDestinationMemberS3{}),
		UnionOf[ecs.GatewayInfrastructureResources](&ecs.GatewayInfrastructureResourcesMemberHostSharedAlb{}),
		UnionOf[ecs.GatewayRouteResources](&ecs.GatewayRouteResourcesMemberHostSharedAlb{}),
		UnionOf[ecs.ServiceConnectContainerConfiguration](&ecs.ServiceConnectContainerConfigurationMemberLogLevel{}),
		UnionOf[ecs.SharingStrategy](&ecs.SharingStrategyMemberNvidiaMps{}),
		UnionOf[ecs.UpdateGatewayConfiguration](&ecs.UpdateGatewayConfigurationMemberHostSharedAlb{}),
		UnionOf[logs.IntegrationDetails](&logs.IntegrationDetailsMemberOpenSearchIntegrationDetails{}),
		UnionOf[logs.ResourceConfig](&logs.ResourceConfigMemberOpenSearchResourceConfig{}),
		UnionOf[logs.StartLiveTailResponseStream](&logs.StartLiveTailResponseStreamMemberSessionStart{},
			&logs.StartLiveTailResponseStreamMemberSessionUpdate{}),
	} {
		out[u.typ] = u.members
	}
	return out
}

// knownDocuments has the constructor of each service's open-content type, which only its own package can make.
func knownDocuments() map[reflect.Type]func(any) smithydocument.Marshaler {
	return map[reflect.Type]func(any) smithydocument.Marshaler{
		reflect.TypeFor[ecsdocument.Interface](): func(v any) smithydocument.Marshaler { return ecsdocument.NewLazyDocument(v) },
	}
}
