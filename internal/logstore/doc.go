// Package logstore keeps log groups, log streams and log events on disk, in Pebble. It knows nothing of the AWS wire: it has
// the nouns of CloudWatch Logs and their order, and answers what callers did wrong with package fault's errors.
//
// One goroutine writes. Every change is a request to it; requests that wait together are committed together, in one synced
// batch, and each is answered when that batch is durable. Readers go to Pebble directly and never wait for the writer.
// The page docs/design/logs.md tells the layout of the keys and why.
package logstore
