package netns

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A person may delete a data directory instead of having it destroyed, and leave a bridge with nothing in it. New
// removes such ones: those whose directory is gone, that no container hangs on and that no process has. Even if one was
// wrong about the directory (an agent in a container sees other files), nothing would be lost: its next start makes the
// bridge anew.

// mark is held by a manager's process as long as it lives: a socket whose name belongs to the network namespace.
type mark struct{ fd int }

// holdMark takes the mark of a bridge, or says that another process has it.
func holdMark(bridge string) (*mark, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mark bridge %s: %w", bridge, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "@roadstead/" + bridge}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mark bridge %s: %w", bridge, err)
	}
	return &mark{fd: fd}, nil
}

func (m *mark) release() {
	if m != nil && m.fd >= 0 {
		unix.Close(m.fd) // nothing was written that could be lost
		m.fd = -1
	}
}

// removeOrphans removes what is left of managers that are no more. Only to be tidy: an error is told and no more. The
// machine's lock must be held.
func (r *rtnl) removeOrphans(log *slog.Logger) {
	links, err := r.handle.LinkList()
	if err != nil {
		log.Warn("cannot look for bridges that nobody has", "error", err)
		return
	}
	used, tasks := map[int]bool{}, map[string]bool{}
	for _, l := range links {
		used[l.Attrs().MasterIndex] = true
		if bridge, _, ok := strings.Cut(l.Attrs().Name, "-"); ok && l.Type() == "veth" {
			tasks[bridge] = true
		}
	}
	for _, l := range links {
		if used[l.Attrs().Index] || tasks[l.Attrs().Name] || !orphaned(l) {
			continue
		}
		if err := r.removeOrphan(l.Attrs().Name, log); err != nil {
			log.Warn("cannot remove a bridge that nobody has", "bridge", l.Attrs().Name, "error", err)
		}
	}
}

// orphaned says whether a link is one of our bridges whose data directory is gone.
func orphaned(l netlink.Link) bool {
	name, isOurs := strings.CutPrefix(l.Attrs().Name, "rs")
	dir, tells := strings.CutPrefix(l.Attrs().Alias, aliasPrefix)
	if l.Type() != "bridge" || !isOurs || !nameForm.MatchString(name) || !tells || !filepath.IsAbs(dir) {
		return false
	}
	_, err := os.Stat(dir)
	return errors.Is(err, os.ErrNotExist)
}

func (r *rtnl) removeOrphan(bridge string, log *slog.Logger) error {
	held, err := holdMark(bridge)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil // its process lives
	}
	if err != nil {
		return err
	}
	defer held.release()
	log.Info("removing a bridge whose data directory is gone", "bridge", bridge)
	guard := &forwardGuard{bridge: bridge, log: log}
	t := &table{table: &nftables.Table{Name: "roadstead_" + strings.TrimPrefix(bridge, "rs"), Family: nftables.TableFamilyIPv4}}
	return errors.Join(guard.remove(), t.remove(), removeTable(taskTableOf(strings.TrimPrefix(bridge, "rs"))), r.deleteBy(byName(bridge)))
}
