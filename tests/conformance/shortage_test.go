package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// wantTransient: the start failed for want of something, says so as recoverable, and left nothing.
func wantTransient(t *testing.T, n *Node, err error, what string) {
	t.Helper()
	if err == nil {
		t.Fatalf("started with %s", what)
	}
	if present, recoverable := recoverableDetail(t, err); !present || !recoverable {
		t.Errorf("%s is not marked recoverable: %v", what, err)
	}
	n.WantClean()
}

func TestC75NoSpace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	t.Parallel()
	n := NewNode(t)
	state := n.Config["state_dir"].(string)
	check(t, os.MkdirAll(state, 0o700))
	check(t, unix.Mount("small", state, "tmpfs", 0, "size=64k,mode=700"))
	t.Cleanup(func() { unix.Unmount(state, unix.MNT_DETACH) })
	n.Start()
	filler := filepath.Join(state, "filler")
	os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as fits
	task := n.NewTask("task", "exit=7")
	wantTransient(t, n, task.TryStart(), "a full disk")
	check(t, os.Remove(filler))
	WantResult(t, task.Again().Start().Wait(), 7, 0)
}

// One descriptor more each time: the start fails at every place where it opens one, until it works.
func TestC75NoDescriptors(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	n.P.Must("PluginInfo", M{})
	var old unix.Rlimit
	check(t, unix.Prlimit(n.P.Pid, unix.RLIMIT_NOFILE, nil, &old))
	most := uint64(slices.Max(keys(Fds(n.P.Pid))))
	for more := uint64(1); ; more++ {
		if more == 60 {
			t.Fatal("does not start with 60 descriptors more")
		}
		low := unix.Rlimit{Cur: most + more, Max: old.Max}
		check(t, unix.Prlimit(n.P.Pid, unix.RLIMIT_NOFILE, &low, nil))
		task := n.NewTask(fmt.Sprint("task", more), "exit=7")
		err := task.TryStart()
		check(t, unix.Prlimit(n.P.Pid, unix.RLIMIT_NOFILE, &old, nil))
		if err == nil {
			WantResult(t, task.Wait(), 7, 0)
			return
		}
		wantTransient(t, n, err, fmt.Sprint(more, " free descriptors"))
	}
}

// No process can be made: where the kernel counts them, the plugin may have none beyond its own.
func TestC75NoProcesses(t *testing.T) {
	pids := pidsCgroup()
	if os.Geteuid() != 0 || pids == "" {
		t.Skip("needs root and a pids controller of cgroup v1")
	}
	t.Parallel()
	n := StartedNode(t)
	warm := n.NewTask("warm", "exit=0").Start() // every thread the plugin will have
	warm.Wait()
	check(t, warm.Destroy(true))
	cgroup := filepath.Join(pids, filepath.Base(n.Dir))
	check(t, os.Mkdir(cgroup, 0o755))
	t.Cleanup(func() { os.Remove(cgroup) })
	check(t, os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(fmt.Sprint(n.P.Pid)), 0o644))
	now := strings.TrimSpace(textOf(filepath.Join(cgroup, "pids.current")))
	check(t, os.WriteFile(filepath.Join(cgroup, "pids.max"), []byte(now), 0o644))
	task := n.NewTask("task", "exit=7")
	err := task.TryStart()
	check(t, os.WriteFile(filepath.Join(cgroup, "pids.max"), []byte("max"), 0o644))
	wantTransient(t, n, err, "no process left")
	WantResult(t, task.Again().Start().Wait(), 7, 0)
	n.CrashPlugin() // gRPC may wait for a thread it could not make: then the end takes its whole 1.7 s
}

// pidsCgroup is the root of the v1 pids hierarchy, "" without one.
func pidsCgroup() string {
	for _, line := range strings.Split(textOf("/proc/self/mounts"), "\n") {
		if f := strings.Fields(line); len(f) > 3 && f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), "pids") {
			return f[1]
		}
	}
	return ""
}
