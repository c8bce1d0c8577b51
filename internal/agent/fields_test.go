package agent

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"roadstead.dev/roadstead/internal/agent/engine"
	domain "roadstead.dev/roadstead/internal/ecs"
)

// What docs/task-definition.md says of a field.
const (
	fieldDone    = "done"
	fieldRefused = "refused"
	fieldStored  = "stored"
)

const fieldsPage = "../../docs/task-definition.md"

// field is a path of RegisterTaskDefinitionInput and the types on it.
type field struct {
	path  string
	types []step
}

type step struct {
	name string
	kind reflect.Type
}

// memberName is a field's name on the wire.
func memberName(f string) string { return strings.ToLower(f[:1]) + f[1:] }

// fieldsOf walks the SDK's struct. A struct's own row is before those of its fields; a list's path ends with [].
func fieldsOf(kind reflect.Type, above field) []field {
	var all []field
	for i := range kind.NumField() {
		f := kind.Field(i)
		if !f.IsExported() || f.Name == "ResultMetadata" {
			continue
		}
		name, inner := memberName(f.Name), f.Type
		at := field{path: strings.TrimPrefix(above.path+"."+name, "."), types: append(slices.Clone(above.types), step{name, f.Type})}
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			if inner.Kind() == reflect.Slice {
				at.path += "[]"
			}
			inner = inner.Elem()
		}
		all = append(all, at)
		if inner.Kind() == reflect.Struct {
			all = append(all, fieldsOf(inner, at)...)
		}
	}
	return all
}

// rows reads the page's table: path, state and remark of each row.
func rows(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fieldsPage)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		path, state := strings.Trim(strings.TrimSpace(cells[1]), "`"), strings.TrimSpace(cells[2])
		if states[path] != "" {
			t.Errorf("%s has two rows", path)
		}
		if !slices.Contains([]string{fieldDone, fieldRefused, fieldStored}, state) || strings.TrimSpace(cells[3]) == "" {
			t.Errorf("%s: state %q, remark %q", path, state, cells[3])
		}
		states[path] = state
	}
	return states
}

// TestFieldsPage: the page has a row for each field that a task definition can have, and no other; what it calls done the
// engine takes, and what it calls refused the engine refuses.
func TestFieldsPage(t *testing.T) {
	states := rows(t)
	known := map[string]bool{}
	for _, f := range fieldsOf(reflect.TypeFor[ecs.RegisterTaskDefinitionInput](), field{}) {
		known[f.path] = true
		state, ok := states[f.path]
		if !ok {
			t.Errorf("no row for %s", f.path)
			continue
		}
		err := engine.Supports(definitionWith(t, f), nil)
		if state == fieldDone && err != nil {
			t.Errorf("%s is called done, and the engine says: %v", f.path, err)
		}
		if state == fieldRefused && err == nil {
			t.Errorf("%s is called refused, and the engine takes it", f.path)
		}
	}
	for path := range states {
		if !known[path] {
			t.Errorf("there is no field %s", path)
		}
	}
}

// values are what fields are given that do not take just any value; others get true, 1 or "x".
var values = map[string]any{
	"networkMode": "bridge",
	"containerDefinitions[].dockerSecurityOptions[]":           "no-new-privileges",
	"containerDefinitions[].resourceRequirements[].type":       "InferenceAccelerator",
	"containerDefinitions[].logConfiguration.logDriver":        "awslogs",
	"volumes[].dockerVolumeConfiguration.driver":               "local",
	"volumes[].dockerVolumeConfiguration.scope":                "task",
	"containerDefinitions[].portMappings[].containerPortRange": "1-2",
}

// definitionWith makes a definition with one container in which a field is set, and on its way no more than it takes.
func definitionWith(t *testing.T, f field) *domain.TaskDefinition {
	t.Helper()
	document := map[string]any{}
	at, path := document, ""
	for n, s := range f.types {
		path = strings.TrimPrefix(path+"."+s.name, ".")
		kind, lists := s.kind, 0
		for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
			if kind.Kind() == reflect.Slice {
				lists++
				path += "[]"
			}
			kind = kind.Elem()
		}
		var value any
		var inner map[string]any
		switch given, ok := values[path]; {
		case ok:
			value = given
		case kind.Kind() == reflect.Struct:
			inner = map[string]any{}
			value = inner
		case kind.Kind() == reflect.Bool:
			value = true
		case kind.Kind() == reflect.String:
			value = "x"
		case kind.Kind() == reflect.Map:
			value = map[string]string{"k": "v"}
		default:
			value = 1
		}
		for range lists {
			value = []any{value}
		}
		at[s.name] = value
		if inner != nil {
			complete(path, inner)
			at = inner
		} else if n != len(f.types)-1 {
			t.Fatalf("%s goes on after a value", path)
		}
	}
	if document["containerDefinitions"] == nil {
		document["containerDefinitions"] = []any{map[string]any{"name": "a"}}
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	d := &domain.TaskDefinition{}
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

// complete gives a struct what it is never without.
func complete(path string, object map[string]any) {
	switch path {
	case "containerDefinitions[].logConfiguration":
		object["logDriver"] = "awslogs"
	case "containerDefinitions[].restartPolicy":
		object["enabled"] = true
	}
}
