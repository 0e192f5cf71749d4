package conformance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostile builds tests/chaos/hostile for the node, static so that it needs nothing of the host.
func (n *Node) hostile() string {
	n.T.Helper()
	path := filepath.Join(n.Work, "hostile")
	build := exec.Command("cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-O1", "-static", "-include", "stdbool.h",
		"-o", path, "../chaos/hostile/hostile.c")
	if out, err := build.CombinedOutput(); err != nil {
		n.T.Fatalf("build the hostile program: %v\n%s", err, out)
	}
	return path
}

// disk is major:minor of the device that holds the root file system.
func disk(t testing.TB) string {
	var st syscall.Stat_t
	check(t, syscall.Stat("/", &st))
	return fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
}

// listenAbstract waits on an abstract name, which everybody in the network namespace can reach unless
// Landlock scopes it (Linux 6.12); "" on a kernel that cannot.
func listenAbstract(t testing.TB) string {
	const abiThatScopes = 6
	abi, _, _ := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if int(abi) < abiThatScopes {
		return ""
	}
	name := "hostile-" + hexWord(8)
	listener, err := net.Listen("unix", "@"+name)
	check(t, err)
	t.Cleanup(func() { listener.Close() })
	return name
}

func testHostile(t *testing.T, user string) {
	needRoot(t)
	n := StartedNode(t)
	task := n.NewTask("task")
	task.Config["command"] = n.hostile()
	task.Config["args"] = []any{n.Config["state_dir"], n.Config["run_dir"], disk(t)}
	task.More = M{"user": user}
	task.Env["HOSTILE_ABSTRACT"] = listenAbstract(t)
	bystander := n.Run("bystander")
	task.Start()
	task.Out.Await(t, "done\n")
	for _, line := range strings.Split(task.Out.String(), "\n") {
		if strings.HasSuffix(line, "WORKED") {
			t.Error(line)
		}
	}
	if len(strings.Split(task.Out.String(), "\n")) < 40 {
		t.Errorf("not all was tried: %s", task.Out.String())
	}
	t.Log(task.Out.String())
	shim := task.Shim()
	if got, ok := ReadProc(shim.Pid); !ok || got.State == "T" || got.State == "Z" {
		t.Errorf("the shim is %v", got)
	}
	if got, ok := ReadProc(bystander.Main().Pid); !ok || got.State == "T" {
		t.Errorf("the bystander is %v", got)
	}
	if len(task.Procs()) < 4 {
		t.Errorf("it has left no processes: %v", task.Procs())
	}
	task.MustStop("SIGTERM", time.Second)
	if left := task.Procs(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestH01HostileRoot(t *testing.T) { t.Parallel(); testHostile(t, "root") }
func TestH02HostileUser(t *testing.T) { t.Parallel(); testHostile(t, "nobody") }

// A program with the setuid bit, whose file system would honour it.
func TestH03SetuidProgram(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	program := n.hostile()
	check(t, os.Chmod(program, 0o4755))
	task := n.NewTask("task")
	task.Config["command"], task.Config["args"] = program, []any{"who"}
	task.More = M{"user": "nobody"}
	task.says("euid 65534")
}

// Between the check of the driver and the mount of the child, the directories of the task are
// somebody else's: a link in place of a directory, back and forth, for as long as it takes.
func TestH04MountRace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	task := n.NewTask("task", "exit=0")
	place, aside := filepath.Join(task.dir("local"), "d"), filepath.Join(task.dir("local"), "aside")
	check(t, os.MkdirAll(filepath.Join(place, "target"), 0o777))
	check(t, os.Symlink("/etc", aside))
	task.Config["mount"] = []any{map[string]any{"source": n.Work, "target": "local/d/target", "readonly": nil, "propagation": nil}}
	before := tree("/etc")
	end := make(chan bool)
	go func() {
		for {
			select {
			case <-end:
				close(end)
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, place, unix.AT_FDCWD, aside, unix.RENAME_EXCHANGE)
			}
		}
	}()
	good, bad := 0, 0
	for round := 0; round < 60; round++ {
		if err := task.TryStart(); err != nil {
			if !strings.Contains(err.Error(), "local/d/target") {
				t.Errorf("round %d: %v", round, err)
			}
			bad++
		} else {
			task.Wait()
			check(t, task.Destroy(true))
			good++
		}
		task = task.Again()
	}
	end <- true
	<-end
	t.Logf("%d starts, %d refused", good, bad)
	if after := tree("/etc"); len(after) != len(before) {
		t.Errorf("something was made in /etc")
	}
}

// A driver that is not root says what it cannot do, and does the rest.
func TestH05UnprivilegedDriver(t *testing.T) {
	t.Parallel()
	needRoot(t) // to become somebody else
	n := NewNode(t)
	n.Config["cgroup_parent"], n.Config["shim_oom_score_adj"] = nil, nil
	n.Program = filepath.Join(n.Dir, "nomad-driver-agent-unprivileged")
	check(t, os.WriteFile(n.Program, []byte("#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups "+pluginPath()+"\n"), 0o755))
	giveAway := func() {
		check(t, filepath.Walk(n.Dir, func(path string, _ os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, 65534, 65534)
		}))
	}
	giveAway()
	n.Start()
	task := n.NewTask("task").sh("id -u; grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; " +
		can("touch "+filepath.Join(n.Dir, "evil"), "touch local/x", "unshare -U true", "cat /etc/passwd"))
	giveAway()
	task.says("65534\nNoNewPrivs:\t1\nSeccomp:\t2\nno\nyes\nno\nyes")
	Eventually(t, 5*time.Second, "the event that names what is missing", func() bool {
		return strings.Contains(strings.Join(n.Events(), "\n"), "isolation: not to be had here: namespaces, mounts")
	})
	mount := map[string]any{"source": "local", "target": "local/m", "readonly": nil, "propagation": nil}
	for key, change := range map[string]map[string]any{
		"mount":     {"mount": []any{mount}},
		"cap_add":   {"cap_add": []any{"chown"}},
		"isolation": {"isolation": "require"},
	} {
		refused := n.NewTask("refused")
		giveAway()
		for k, v := range change {
			refused.Config[k] = v
		}
		if err := refused.TryStart(); err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("%s: %v", key, err)
		}
	}
	stranger := n.NewTask("stranger")
	stranger.More = M{"user": "root"}
	if err := stranger.TryStart(); err == nil || !strings.Contains(err.Error(), "the driver is not root") {
		t.Errorf("another user: %v", err)
	}
}
