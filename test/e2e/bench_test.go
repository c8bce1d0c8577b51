package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestBench makes small measurements with the real command: none fails, none loses a task, and what they write is there.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	out, picture, table := filepath.Join(dir, "report.json"), filepath.Join(dir, "million.svg"), filepath.Join(dir, "table.md")
	asked := []string{"etcd", "placements", "spread", "services", "runtask", "assignment", "registrations", "kill", "reconnect", "million"}
	cmd := exec.Command(binary, append([]string{"bench", "--scale", "0.01", "--rounds", "1", "--json", out, "--plot", picture, "--markdown", table}, asked...)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Figures []struct {
			Measurement, With, Unit string
			Value                   float64
		}
	}
	if err := json.Unmarshal(b, &report); err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, f := range report.Figures {
		made = append(made, f.Measurement)
		if f.Unit == "tasks" && f.Value > 1 {
			t.Errorf("%s: %v %s %s", f.Measurement, f.Value, f.Unit, f.With)
		}
	}
	for _, name := range asked {
		if !slices.Contains(made, name) {
			t.Errorf("no figure of %s", name)
		}
	}
	for _, file := range []string{picture, table} {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}
