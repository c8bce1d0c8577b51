// Package state is where everything that Roadstead knows lives: copy-on-write tables in memory, written by one process at
// a time, made durable in groups, and published in order on a feed.
//
//   - [Store.View] gives a snapshot that is durable and never changes.
//   - [Store.Update] runs a function alone on the newest tables; it returns once what the function wrote is durable.
//   - [Store.Watch] gives every durable change from now on, in order.
//
// Values are pointers and never modified in place: copy, change, Put.
//
// docs/design/state.md says how and why.
package state
