// Package conformance drives the clients that people use against any endpoint that says it is Amazon ECS, and holds what
// they see against AWS's documentation: the AWS SDK for Go, the AWS CLI and the AWS SDK for JavaScript. There is one file
// for each group of operations. Each test makes resources of its own, with names of its own, and removes them, so the suite
// can be run against Amazon's ECS too.
//
// The endpoint and what is behind it come from the environment:
//
//	ROADSTEAD_CONFORMANCE_ENDPOINT   a URL, or "aws" for Amazon's own. Unset, the suite starts a `roadstead dev` for itself,
//	                                 and the other settings with it.
//	ROADSTEAD_CONFORMANCE_CLUSTER    a cluster with at least two container instances that can pull from a public registry, or
//	                                 "none". It must be set where the endpoint is; with "none" the tests that need
//	                                 instances are skipped, and say so.
//	ROADSTEAD_CONFORMANCE_SUBNETS    subnets that tasks on Fargate may use and reach a public registry from, or "none" likewise.
//	AWS_REGION, AWS_ACCESS_KEY_ID... as for every AWS client.
//
// go test ./test/conformance -v
package conformance
