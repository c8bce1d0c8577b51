// Package volume makes, fills and removes the directories that containers mount. Containers write into them what they like,
// also while the agent works on them, so nothing here follows a link of theirs or crosses into another mount.
package volume
