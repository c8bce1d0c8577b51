package placement

import (
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/placement/query"
)

// How many constraints and strategies one request has at most.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
const (
	MaxConstraints = 10
	MaxStrategies  = 5
)

// maxField is how long a strategy's field may be: an attribute's name has 128 characters at most.
const maxField = 255

// ValidateConstraints checks the constraints of a RunTask, StartTask, CreateService or UpdateService. Its errors are
// InvalidParameterExceptions.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PlacementConstraint.html
func ValidateConstraints(constraints []ecs.PlacementConstraint) error {
	if len(constraints) > MaxConstraints {
		return fault.New(fault.InvalidParameter, "placementConstraints cannot contain more than %d entries.", MaxConstraints)
	}
	for _, c := range constraints {
		switch c.Type {
		case ecs.ConstraintDistinctInstance:
			if c.Expression != "" {
				return fault.New(fault.InvalidParameter, "distinctInstance expression should not be specified.")
			}
		case ecs.ConstraintMemberOf:
			if err := validateExpression(fault.InvalidParameter, c.Expression); err != nil {
				return err
			}
		default:
			return fault.New(fault.InvalidParameter, "constraint.type '%s' is not supported.", c.Type)
		}
	}
	return nil
}

// ValidateDefinitionConstraints checks those of a RegisterTaskDefinition, which has memberOf only. Its errors are
// ClientExceptions, as those of that call are.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinitionPlacementConstraint.html
func ValidateDefinitionConstraints(constraints []ecs.TaskDefinitionPlacementConstraint) error {
	if len(constraints) > MaxConstraints {
		return fault.New(fault.Client, "placementConstraints cannot contain more than %d entries.", MaxConstraints)
	}
	for _, c := range constraints {
		if c.Type != ecs.ConstraintMemberOf {
			return fault.New(fault.Client, "constraint.type '%s' is not supported.", c.Type)
		}
		if err := validateExpression(fault.Client, c.Expression); err != nil {
			return err
		}
	}
	return nil
}

func validateExpression(kind fault.Kind, expression string) error {
	if expression == "" {
		return fault.New(kind, "memberOf expression must be specified.")
	}
	if _, err := query.Parse(expression); err != nil {
		return fault.New(kind, "Invalid expression %s", err.Error()+".")
	}
	return nil
}

// ValidateStrategy checks a placement strategy. Its errors are InvalidParameterExceptions.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PlacementStrategy.html
func ValidateStrategy(strategy []ecs.PlacementStrategy) error {
	if len(strategy) > MaxStrategies {
		return fault.New(fault.InvalidParameter, "placementStrategy cannot contain more than %d entries.", MaxStrategies)
	}
	for _, s := range strategy {
		ok := len(s.Field) <= maxField
		switch s.Type {
		case ecs.StrategyRandom:
			ok = ok && s.Field == ""
		case ecs.StrategySpread:
			name, isAttribute := strings.CutPrefix(s.Field, attributePrefix)
			ok = ok && (isAttribute && name != "" || isInstance(s.Field))
		case ecs.StrategyBinpack:
			ok = ok && (strings.EqualFold(s.Field, binpackCPU) || strings.EqualFold(s.Field, binpackMemory))
		default:
			return fault.New(fault.InvalidParameter, "Invalid placement strategy type: '%s'.", s.Type)
		}
		if !ok {
			return fault.New(fault.InvalidParameter, "Invalid field for placement strategy %s: '%s'.", s.Type, s.Field)
		}
	}
	return nil
}

// NormalizeStrategy gives a strategy as ECS describes it: host is instanceId. The list is not modified.
func NormalizeStrategy(strategy []ecs.PlacementStrategy) []ecs.PlacementStrategy {
	var out []ecs.PlacementStrategy
	for _, s := range strategy {
		if s.Type == ecs.StrategySpread && isInstance(s.Field) {
			s.Field = fieldInstance
		}
		out = append(out, s)
	}
	return out
}

// Fields of strategies. Binpack takes them in either case; clients are seen to write MEMORY as well as memory.
const (
	fieldInstance   = "instanceId"
	fieldHost       = "host"
	attributePrefix = "attribute:"
	binpackCPU      = "cpu"
	binpackMemory   = "memory"
)

func isInstance(field string) bool { return field == fieldInstance || field == fieldHost }
