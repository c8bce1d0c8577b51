package netns

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// roleEnv makes the test binary do what a test's child process does: drop, flush, or churn with a data directory.
const roleEnv = "ROADSTEAD_NETNS_TEST_ROLE"

// runRole does it and says whether there was anything to do.
func runRole() bool {
	role, dir, _ := strings.Cut(os.Getenv(roleEnv), " ")
	switch role {
	case "churn":
		churnUntilKilled(dir)
	case "drop":
		if err := dropForwarded(); err != nil {
			fmt.Println("error", err)
		}
	case "flush":
		conn, err := nftables.New()
		if err == nil {
			conn.FlushRuleset()
			err = conn.Flush()
		}
		if err != nil {
			fmt.Println("error", err)
		}
	}
	return role != ""
}

// churnUntilKilled sets networks up and tears them down, and tells of each that stands.
func churnUntilKilled(dir string) {
	m, err := New(Config{DataDir: dir, Name: "crash"})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				id := newID()
				if _, err := m.Setup(ctx, Request{ID: id, Ports: []PortRequest{{ContainerPort: 80}}}); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Println("up", id)
				if rand.IntN(2) == 0 {
					fmt.Println("down", id)
					m.Teardown(ctx, id)
				}
			}
		})
	}
	wg.Wait()
}

// TestKilled kills a manager amid setups and teardowns, again and again on one data directory. Those that it had said
// stand must work for the next one, and after a sweep nothing is left.
func TestKilled(t *testing.T) {
	must(t, setLoopbackUp())
	before := kernelState(t)
	dir := t.TempDir() + "/net"
	standing, served := map[string]bool{}, map[string]bool{}
	for round := range 6 {
		churn(t, dir, standing)
		m, err := New(Config{DataDir: dir, Name: "crash"})
		must(t, err)
		for id := range standing {
			n, err := m.Setup(ctx, Request{ID: id, Ports: []PortRequest{{ContainerPort: 80}}})
			must(t, err)
			if !served[id] {
				serve(t, n.Path, "tcp", ":80", id)
				served[id] = true
			}
			wantAnswer(t, "", "tcp", fmt.Sprintf("127.0.0.1:%d", *n.Bindings[0].HostPort), id, "")
			if t.Failed() {
				t.Fatalf("round %d", round)
			}
			break
		}
		checkConsistent(t, m, standing)
		if round == 5 {
			must(t, m.Destroy(ctx))
			continue
		}
		keep := 0
		must(t, m.Sweep(ctx, func(id string) bool { keep++; return standing[id] && keep%2 == 0 }))
		for id := range standing {
			if !isNamespace(m.store.netnsPath(id)) {
				delete(standing, id)
			}
		}
		must(t, m.Close(ctx))
	}
	if diff := cmp.Diff(before, kernelState(t)); diff != "" {
		t.Error("left behind:", diff)
	}
}

// churn runs the child for a moment, kills it, and notes what stands.
func churn(t *testing.T, dir string, standing map[string]bool) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=churn "+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	time.AfterFunc(100*time.Millisecond+rand.N(200*time.Millisecond), func() { cmd.Process.Signal(unix.SIGKILL) })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, id, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "up":
			standing[id] = true
		case "down":
			delete(standing, id)
		default:
			t.Error(lines.Text())
		}
	}
	cmd.Wait()
}

// checkConsistent compares what the manager knows with the kernel.
func checkConsistent(t *testing.T, m *Manager, standing map[string]bool) {
	t.Helper()
	for id := range standing {
		if m.networks[id] == nil {
			t.Errorf("network of %s is lost", id)
		}
	}
	conn, err := nftables.New()
	must(t, err)
	elements, err := conn.GetSetElements(m.table.ports)
	must(t, err)
	veths, err := m.links.veths(m.bridge)
	must(t, err)
	if n := len(m.networks); len(elements) != n || len(veths) < n {
		t.Errorf("%d networks, %d ports in the table, %d interfaces", n, len(elements), len(veths))
	}
}

// state is what the kernel holds that this package could have left.
type state struct {
	Links, Tables []string
	Namespaces    int
}

func kernelState(t testing.TB) state {
	t.Helper()
	var s state
	links, err := hostHandle.LinkList()
	must(t, err)
	for _, l := range links {
		s.Links = append(s.Links, l.Attrs().Name)
	}
	conn, err := nftables.New()
	must(t, err)
	tables, err := conn.ListTables()
	must(t, err)
	for _, table := range tables {
		s.Tables = append(s.Tables, table.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	s.Namespaces = strings.Count(string(mounts), "nsfs ")
	return s
}
