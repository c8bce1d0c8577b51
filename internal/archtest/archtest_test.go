// Package archtest holds the import map of the project: which of its packages may import which, and why. A change of the
// map is a change of the design, and is made here with its reason.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "roadstead.dev/roadstead/"

// rule says what of this project a package (or, with a trailing /..., those below it too) may import. The first rule
// that fits a package is its rule.
type rule struct {
	pkg    string
	may    []string
	reason string
}

var rules = []rule{
	{"internal/ecs", nil, "the domain is in ECS's words and depends on nothing, so that everything may depend on it"},
	{"internal/fault", nil, "every layer makes errors"},
	{"internal/wire/...", []string{"internal/fault", "internal/wire/..."}, "the AWS protocols know nothing of our state, so that any service can be served by them"},
	{"internal/secrets", []string{"internal/ecs"}, "secrets are a domain of their own beside ECS's, and share its tags and times"},
	{"internal/state/...", []string{"internal/ecs", "internal/fault", "internal/secrets", "internal/state/..."}, "the store keeps the domain and serves everyone above"},
	{"internal/acs", []string{"internal/ecs"}, "both ends of the agent protocol build on it"},
	{"internal/execlink", []string{"internal/ecs", "internal/acs", "internal/ssmsession"}, "it passes frames between agents and clients, and knows nothing of the state"},
	{"internal/ssmsession", nil, "it speaks a protocol of AWS's, whoever is behind it"},
	{"internal/lifecycle", []string{"internal/ecs", "internal/fault", "internal/state", "internal/acs"}, "the rules of a task's life are the same for the API, agents and controllers"},
	{"internal/placement/query", []string{"internal/ecs"}, "the query language asks an instance's facts, and knows nothing of where they are kept"},
	{"internal/placement", []string{"internal/ecs", "internal/fault", "internal/state", "internal/placement/query"}, "scheduling is a pure function of the state"},
	{"internal/control/...", []string{"internal/ecs", "internal/fault", "internal/secrets", "internal/state", "internal/lifecycle", "internal/placement", "internal/control/loop"}, "controllers meet in the state, never in each other, the API or the wire"},
	{"internal/logstore/...", []string{"internal/fault", "internal/logstore/..."}, "log events are kept apart from the cluster's state"},
	{"internal/events/...", []string{"internal/ecs", "internal/fault", "internal/secrets", "internal/state", "internal/events/..."}, "events follow from the state; who takes them is put in from outside"},
	{"internal/api/...", []string{"internal/events/...", "internal/ecs", "internal/fault", "internal/state", "internal/wire", "internal/acs", "internal/lifecycle", "internal/placement/...", "internal/logstore/...", "internal/secrets", "internal/api/..."}, "handlers translate the wire to the state"},
	{"internal/nodelink/payload", []string{"internal/ecs"}, "what Amazon's agent is told follows from the task alone"},
	{"internal/nodelink", []string{"internal/ecs", "internal/fault", "internal/state", "internal/acs", "internal/lifecycle", "internal/wire", "internal/nodelink/payload"}, "the server's side of agents' sessions is like an API"},
	{"internal/access", []string{"internal/fault", "internal/wire"}, "it answers the wire's question whether a caller may"},
	{"internal/keyring", []string{"internal/fault", "internal/wire"}, "it answers the wire's question for a key"},
	{"internal/agent/...", []string{"internal/ecs", "internal/acs", "internal/ssmsession", "internal/agent/...", "internal/fault"}, "an agent knows the protocol alone, so that it works with any server, and never the server's state"},
	{"internal/exampleimages/...", []string{"internal/exampleimages/..."}, "the examples are users of the product"},
	{"internal/servercert", nil, "it makes certificates, whoever serves with them"},
	{"internal/join", nil, "both ends of an agent's joining build on it"},
	{"internal/admission", []string{"internal/ecs", "internal/fault", "internal/state", "internal/wire", "internal/keyring", "internal/join"}, "the server's side of joining is like an API"},
	{"internal/awsprofile", nil, "it writes files in a format of AWS's"},
	{"internal/bench", []string{"internal/ecs", "internal/agent/fleet", "internal/state/etcdkv"}, "it measures the product from outside, as its clients and agents see it"},
	{"internal/devcluster", []string{"..."}, "it puts the parts together"},
	{"cmd/...", []string{"..."}, "it puts the parts together"},
	{"test/...", []string{"..."}, "tests may look everywhere"},
	{"internal/archtest", nil, "this test"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	packages := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; packages++ {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		check(t, p)
	}
	if packages < 5 {
		t.Errorf("only %d packages were looked at", packages)
	}
}

func check(t *testing.T, p listed) {
	name := strings.TrimPrefix(p.ImportPath, module)
	for _, r := range rules {
		if !fits(name, r.pkg) {
			continue
		}
		for _, imp := range p.Imports {
			if own, ok := strings.CutPrefix(imp, module); ok && !allowed(own, r.may) {
				t.Errorf("%s imports %s, and may not: %s", name, own, r.reason)
			}
		}
		return
	}
	t.Errorf("%s has no rule: say in this test what it may import, and why", name)
}

func allowed(imp string, may []string) bool {
	for _, m := range may {
		if m == "..." || fits(imp, m) {
			return true
		}
	}
	return false
}

// fits tells whether a package is meant by a pattern.
func fits(name, pattern string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == tree || strings.HasPrefix(name, tree+"/")
	}
	return name == pattern
}
