// Package query is ECS's cluster query language: conditions on container instances, as memberOf constraints and the filter
// of ListContainerInstances have them.
//
//	attribute:ecs.instance-type =~ t2.* and not (task:group == database)
//	ec2InstanceId in [i-1, 'i-2'] || runningTasksCount < 3
//
// An expression is parsed once and then evaluated for any number of instances, by any number of goroutines, without
// allocating.
//
// Where the developer guide is silent: "and" binds stronger than "or"; words of operators are read in either case; a value is
// bare (up to a space, a parenthesis, && or ||; in a list also a comma or bracket) or quoted, where a backslash
// stands before a quote or another backslash. Of an attribute that an instance has not got nothing holds but not_exists, so that
// "attribute:stack != prod" selects instances that have a stack. Of groups, of which an instance has many, != and the like say
// that none of them is equal. Patterns match the whole value; they are regular expressions in Go's syntax (RE2),
// which lacks the look-ahead and back references of Java's, and cannot be made to run for long.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html
package query
