package netns

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// The tests change routes, firewall rules and kernel settings, so they run in a network and mount namespace of their
// own: the test binary starts itself again in one.
const insideEnv = "ROADSTEAD_NETNS_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		if runRole() {
			return
		}
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "netns tests need root: they make network namespaces")
		os.Exit(1)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	err := cmd.Run()
	if exit, ok := err.(*exec.ExitError); ok {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a namespace for the tests:", err)
		os.Exit(1)
	}
}
