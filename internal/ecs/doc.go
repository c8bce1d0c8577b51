// Package ecs is the domain in Amazon ECS's own words: clusters, task definitions, container instances and tasks, with
// their ids and states. It imports the standard library alone and knows neither the AWS wire nor the store.
//
// Fields that ECS may leave absent are pointers where zero means something else than absent, and plain values elsewhere.
package ecs
