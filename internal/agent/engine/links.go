package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/agent/runtime"
	"roadstead.dev/roadstead/internal/ecs"
)

// link is one entry of a container's links: NAME or NAME:ALIAS.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html#ECS-Type-ContainerDefinition-links
type link struct {
	on    int
	alias string
}

func (t *task) linksOf(c *ecs.ContainerDefinition) ([]link, error) {
	var links []link
	for _, text := range c.Links {
		name, alias, _ := strings.Cut(text, ":")
		on := slices.IndexFunc(t.definition.ContainerDefinitions, func(other ecs.ContainerDefinition) bool { return other.Name == name })
		if on < 0 {
			return nil, fmt.Errorf("links name container %q, which the task definition does not have", name)
		}
		alias = first(alias, name)
		if strings.ContainsAny(alias, " \t\n=#") {
			return nil, fmt.Errorf("links have %q, which is no host name", alias)
		}
		links = append(links, link{on, alias})
	}
	return links, nil
}

// needsOfLinks makes a container start after those that it has links to, as Amazon's agent does.
func (t *task) needsOfLinks() error {
	for i := range t.definition.ContainerDefinitions {
		links, err := t.linksOf(&t.definition.ContainerDefinitions[i])
		if err != nil {
			return err
		}
		for _, l := range links {
			t.seen.containers[i].needs = append(t.seen.containers[i].needs, dependency{on: l.on, condition: conditionStart})
		}
	}
	return nil
}

// link gives a container what Docker's links are: lines of /etc/hosts, which it returns, and variables beside its own. The variables
// of the other container are those of its definition, without the image's and without secrets.
// https://docs.docker.com/engine/network/links/
func (t *task) link(spec *runtime.Spec, c *ecs.ContainerDefinition) (hosts string, err error) {
	links, err := t.linksOf(c)
	if err != nil {
		return "", err
	}
	var env []string
	for _, l := range links {
		other := t.container(l.on)
		t.mu.Lock()
		state := t.state.Containers[l.on]
		t.mu.Unlock()
		if state.Address == "" || state.LastStatus != ecs.TaskRunning {
			//lint:ignore ST1005 these are Docker's own words
			return "", fmt.Errorf("Cannot link to a non running container: /%s AS /%s/%s", other.Name, c.Name, l.alias)
		}
		names := l.alias + " " + first(other.Hostname, state.RuntimeID[:shortID])
		if l.alias != other.Name {
			names += " " + other.Name
		}
		hosts += state.Address + "\t" + names + "\n"
		env = append(env, linkEnv(l.alias, c.Name, state.Address, other)...)
	}
	spec.Env = withEnv(env, spec.Env)
	return hosts, nil
}

// linkEnv are the variables that tell of a linked container.
func linkEnv(alias, of, address string, other *ecs.ContainerDefinition) []string {
	prefix := strings.ReplaceAll(strings.ToUpper(alias), "-", "_")
	var env []string
	for i, p := range exposed(other) {
		url := fmt.Sprintf("%s://%s:%d", p.protocol, address, p.number)
		if i == 0 {
			env = append(env, prefix+"_PORT="+url)
		}
		port := fmt.Sprintf("%s_PORT_%d_%s", prefix, p.number, strings.ToUpper(p.protocol))
		env = append(env, port+"="+url, port+"_ADDR="+address, fmt.Sprintf("%s_PORT=%d", port, p.number), port+"_PROTO="+p.protocol)
	}
	env = append(env, prefix+"_NAME=/"+of+"/"+alias)
	for _, kv := range other.Environment {
		if kv.Value != nil && kv.Name != "HOME" && kv.Name != "PATH" {
			env = append(env, prefix+"_ENV_"+kv.Name+"="+*kv.Value)
		}
	}
	return env
}

type exposedPort struct {
	number   int32
	protocol string
}

// exposed are a container's ports as Docker sorts them: by number, tcp first.
func exposed(c *ecs.ContainerDefinition) []exposedPort {
	var ports []exposedPort
	for _, r := range portRequests(c) {
		for n := r.ContainerPort; n <= max(r.ContainerPort, r.LastPort); n++ {
			ports = append(ports, exposedPort{n, r.Protocol})
		}
	}
	slices.SortFunc(ports, func(a, b exposedPort) int {
		return cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.protocol, b.protocol))
	})
	return slices.Compact(ports)
}
