package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/sys/user"

	"roadstead.dev/roadstead/internal/agent/monitor/link"
)

// object is a JSON object of which only some members are looked at, so that those that a newer agent knows pass through.
type object map[string]json.RawMessage

func (o object) get(name string, v any) error {
	if o[name] == nil {
		return nil
	}
	if err := json.Unmarshal(o[name], v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (o object) set(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	o[name] = data
	return nil
}

// setWhere sets a member of those objects of a list that have another member of a value.
func (o object) setWhere(list, key, is, name, value string) error {
	var all []object
	if err := o.get(list, &all); err != nil || all == nil {
		return err
	}
	for _, one := range all {
		var got string
		if err := one.get(key, &got); err != nil {
			return err
		}
		if got != is {
			continue
		}
		if err := one.set(name, value); err != nil {
			return err
		}
	}
	return o.set(list, all)
}

// ociUser is process.user of the OCI runtime configuration.
type ociUser struct {
	UID            int   `json:"uid"`
	GID            int   `json:"gid"`
	AdditionalGids []int `json:"additionalGids,omitempty"`
}

// edit changes a configuration by what is only known at the start.
type edit func(spec object) error

// namespacePath gives the configuration's namespace of a kind a path. It is in the place of the one that the configuration joins.
func namespacePath(kind, path string) edit {
	return func(spec object) error {
		linux := object{}
		if err := spec.get("linux", &linux); err != nil {
			return err
		}
		if err := linux.setWhere("namespaces", "type", kind, "path", path); err != nil {
			return err
		}
		return spec.set("linux", linux)
	}
}

// mountSource gives the configuration's mount its source.
func mountSource(destination, source string) edit {
	return func(spec object) error { return spec.setWhere("mounts", "destination", destination, "source", source) }
}

// completeConfig fills in what the image's accounts tell, and seccomp, and edits the rest. It gives the working directory too.
func completeConfig(req *link.StartRequest, u *user.ExecUser, filter string, edits ...edit) (config []byte, cwd string, err error) {
	var spec, process object
	if err := json.Unmarshal(req.Config, &spec); err != nil {
		return nil, "", fmt.Errorf("decode the configuration: %w", err)
	}
	if spec["process"] == nil {
		return nil, "", errors.New("the configuration has no process")
	}
	if err := spec.get("process", &process); err != nil {
		return nil, "", err
	}
	if err := completeProcess(process, u); err != nil {
		return nil, "", err
	}
	if err := process.get("cwd", &cwd); err != nil {
		return nil, "", err
	}
	if !strings.HasPrefix(cwd, "/") {
		return nil, "", fmt.Errorf("the working directory %q is not an absolute path", cwd)
	}
	if err := spec.set("process", process); err != nil {
		return nil, "", err
	}
	if err := addSeccomp(spec, req.Seccomp, filter); err != nil {
		return nil, "", err
	}
	for _, edit := range edits {
		if err := edit(spec); err != nil {
			return nil, "", err
		}
	}
	config, err = json.Marshal(spec)
	return config, cwd, err
}

func completeProcess(process object, u *user.ExecUser) error {
	if err := process.set("user", ociUser{UID: u.Uid, GID: u.Gid, AdditionalGids: u.Sgids}); err != nil {
		return err
	}
	var env []string
	if err := process.get("env", &env); err != nil {
		return err
	}
	home := true
	for _, e := range env {
		home = home && !strings.HasPrefix(e, "HOME=")
	}
	if home {
		if err := process.set("env", append(env, "HOME="+u.Home)); err != nil {
			return err
		}
	}
	if u.Uid == 0 {
		return nil
	}
	// As execve(2) does for others than root: they have what is bounding only through files' capabilities.
	var caps object
	if err := process.get("capabilities", &caps); err != nil || caps == nil {
		return err
	}
	return process.set("capabilities", object{"bounding": caps["bounding"]})
}

// addSeccomp puts the profile into linux, and what was compiled of it, if it was, beside it.
func addSeccomp(spec object, profile json.RawMessage, filter string) error {
	if len(profile) == 0 {
		return nil
	}
	linux := object{}
	if err := spec.get("linux", &linux); err != nil {
		return err
	}
	linux["seccomp"] = profile
	if err := spec.set("linux", linux); err != nil {
		return err
	}
	if filter == "" {
		return nil
	}
	annotations := map[string]string{}
	if err := spec.get("annotations", &annotations); err != nil {
		return err
	}
	annotations[filterAnnotation] = filter
	return spec.set("annotations", annotations)
}
