package ecs

// Types of placement constraints.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PlacementConstraint.html
const (
	ConstraintDistinctInstance = "distinctInstance"
	ConstraintMemberOf         = "memberOf"
)

// PlacementConstraint is the ECS type of that name: a condition that an instance must meet to take a task of a request or
// of a service.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PlacementConstraint.html
type PlacementConstraint struct {
	// Type is distinctInstance or memberOf.
	Type string `json:"type,omitempty"`
	// Expression is in the cluster query language; memberOf has one, distinctInstance none.
	Expression string `json:"expression,omitempty"`
}

// Types of placement strategies.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PlacementStrategy.html
const (
	StrategyRandom  = "random"
	StrategySpread  = "spread"
	StrategyBinpack = "binpack"
)

// PlacementStrategy is the ECS type of that name: an order of the instances that can take a task. Of several the earlier go
// before the later.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PlacementStrategy.html
type PlacementStrategy struct {
	// Type is random, spread or binpack.
	Type string `json:"type,omitempty"`
	// Field is instanceId, host or attribute:NAME of a spread, cpu or memory of a binpack; a random has none.
	Field string `json:"field,omitempty"`
}
