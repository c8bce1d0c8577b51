package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
)

// Info is what is known of a container, for tags and attributes. Its exported methods and fields are those that Docker's
// templates may name.
// https://docs.docker.com/engine/logging/log_tags/
type Info struct {
	ContainerID         string
	ContainerName       string
	ContainerEntrypoint string
	ContainerArgs       []string
	ContainerImageID    string
	ContainerImageName  string
	ContainerCreated    time.Time
	// ContainerEnv are the variables of the definition as NAME=VALUE, without secrets.
	ContainerEnv    []string
	ContainerLabels map[string]string
	DaemonName      string
}

// shortID is how many digits Docker shows of an id.
const shortID = 12

func short(id string) string { return id[:min(len(id), shortID)] }

// ID is the container's id, shortened.
func (i *Info) ID() string { return short(i.ContainerID) }

// FullID is the container's id.
func (i *Info) FullID() string { return i.ContainerID }

// Name is the container's name in Docker's sense, without a slash before it.
func (i *Info) Name() string { return strings.TrimPrefix(i.ContainerName, "/") }

// ImageID is the image's id, shortened.
func (i *Info) ImageID() string { return short(i.ContainerImageID) }

// ImageFullID is the image's id.
func (i *Info) ImageFullID() string { return i.ContainerImageID }

// ImageName is the image as the definition names it.
func (i *Info) ImageName() string { return i.ContainerImageName }

// Command is what the container was started with.
func (i *Info) Command() string {
	return strings.TrimSpace(strings.Join(append([]string{i.ContainerEntrypoint}, i.ContainerArgs...), " "))
}

// tagMax bounds what a template may make, in bytes.
const tagMax = 4 << 10

// tag is the container's tag: Docker's template language, with the short id if there is no template.
func (i *Info) tag(opts map[string]string) (string, error) {
	text := opts["tag"]
	if text == "" {
		return i.ID(), nil
	}
	t, err := template.New("log-tag").Funcs(tagFuncs).Parse(text)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&bounded{&b, tagMax}, i); err != nil {
		return "", err
	}
	return b.String(), nil
}

// bounded is a buffer that takes no more than its bound.
type bounded struct {
	*bytes.Buffer
	max int
}

var errTagTooLong = errors.New("the tag is too long")

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.max {
		return 0, errTagTooLong
	}
	return b.Buffer.Write(p)
}

// tagFuncs are those of Docker's templates.
var tagFuncs = template.FuncMap{
	"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	},
	"split":    strings.Split,
	"join":     strings.Join,
	"lower":    strings.ToLower,
	"upper":    strings.ToUpper,
	"title":    func(s string) string { return strings.ToUpper(s[:min(len(s), 1)]) + s[min(len(s), 1):] },
	"truncate": func(s string, n int) string { return s[:max(min(len(s), n), 0)] },
	"pad": func(s string, before, after int) string {
		if s == "" {
			return s
		}
		return strings.Repeat(" ", min(max(before, 0), tagMax)) + s + strings.Repeat(" ", min(max(after, 0), tagMax))
	},
}

// attributes are the labels and variables that the options labels, labels-regex, env and env-regex choose. name makes a driver's
// own name of each; nil leaves it.
func (i *Info) attributes(opts map[string]string, name func(string) string) (map[string]string, error) {
	if name == nil {
		name = func(s string) string { return s }
	}
	env := make(map[string]string, len(i.ContainerEnv))
	for _, kv := range i.ContainerEnv {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	out := map[string]string{}
	for _, c := range []struct {
		option string
		from   map[string]string
	}{{"labels", i.ContainerLabels}, {"env", env}} {
		var pattern *regexp.Regexp
		if v := opts[c.option+"-regex"]; v != "" {
			var err error
			if pattern, err = regexp.Compile(v); err != nil {
				return nil, fmt.Errorf("log opt '%s-regex': %w", c.option, err)
			}
		}
		listed := strings.Split(opts[c.option], ",")
		for _, k := range slices.Sorted(maps.Keys(c.from)) {
			if slices.Contains(listed, k) || pattern != nil && pattern.MatchString(k) {
				out[name(k)] = c.from[k]
			}
		}
	}
	return out, nil
}
