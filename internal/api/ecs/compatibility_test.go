package ecsapi_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	ecsapi "roadstead.dev/roadstead/internal/api/ecs"
	"roadstead.dev/roadstead/internal/api/eventbridge"
	"roadstead.dev/roadstead/internal/api/logs"
	"roadstead.dev/roadstead/internal/api/secretsmanager"
	"roadstead.dev/roadstead/internal/api/ssm"
	"roadstead.dev/roadstead/internal/api/sts"
	"roadstead.dev/roadstead/internal/wire"
)

// compatibilityPage says of every operation whether it is done; this test keeps it true.
const compatibilityPage = "../../../docs/compatibility.md"

func TestCompatibilityPage(t *testing.T) {
	page, err := os.ReadFile(compatibilityPage)
	if err != nil {
		t.Fatal(err)
	}
	for heading, s := range map[string]*wire.Service{
		"## Amazon ECS":             new(ecsapi.API).Service(),
		"## Amazon CloudWatch Logs": new(logs.Service).Register(),
		"## AWS STS":                new(sts.API).Service(),
		"## AWS Secrets Manager":    new(secretsmanager.API).Service(),
		"## Amazon EventBridge":     new(eventbridge.API).Service(),
		"## AWS Systems Manager":    new(ssm.API).Service(),
	} {
		_, section, ok := strings.Cut(string(page), "\n"+heading+"\n")
		if !ok {
			t.Errorf("the page has no %q", heading)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		said := rows(t, section)
		handled := s.Handled()
		for _, op := range s.Operations() {
			want := "not yet"
			if slices.Contains(handled, op) {
				want = "done"
			}
			if said[op] != want {
				t.Errorf("%s: the page says %q of %s, the code %q", heading, said[op], op, want)
			}
			delete(said, op)
		}
		for op := range said {
			t.Errorf("%s: AWS has no %s", heading, op)
		}
	}
}

// rows reads | `Operation` | done | remarks |.
func rows(t *testing.T, section string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		op := strings.Trim(strings.TrimSpace(cells[1]), "`")
		if out[op] != "" {
			t.Errorf("%s is there twice", op)
		}
		out[op] = strings.TrimSpace(cells[2])
	}
	return out
}
