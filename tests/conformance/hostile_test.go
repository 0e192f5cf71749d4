package conformance

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
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

// strangers makes a node whose plugin is an ordinary user's. What tests make as root is given away by
// the function that comes back.
func strangers(t *testing.T) (*Node, func()) {
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
	return n, giveAway
}

// A driver that is not root says what it cannot do.
func TestH05UnprivilegedDriver(t *testing.T) {
	t.Parallel()
	n, giveAway := strangers(t)
	n.Config["allow_priority"] = true
	n.Start()
	message, err := n.P.Open("Fingerprint", M{}).Next()
	check(t, err)
	has := attributes(message)
	for _, key := range []string{"root", "namespaces", "pid_namespaces", "mounts"} {
		if value := has["driver.agent."+key]; value != "" {
			t.Errorf("the node says %s = %q", key, value)
		}
	}
	if message.Int("health") != 2 || has["driver.agent.seccomp"] != "true" {
		t.Errorf("health %v, attributes %v", message.Int("health"), has)
	}
	task := n.NewTask("task").sh("id -u; grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; " +
		can("touch "+filepath.Join(n.Dir, "evil"), "touch local/x", "unshare -U true", "cat /etc/passwd"))
	giveAway()
	task.says("65534\nNoNewPrivs:\t1\nSeccomp:\t2\nno\nyes\nno\nyes")
	Eventually(t, 5*time.Second, "the event that names what is missing", func() bool {
		return strings.Contains(strings.Join(n.Events(), "\n"), "isolation: not to be had here: namespaces, mounts")
	})
	mount := map[string]any{"source": "local", "target": "local/m", "readonly": nil, "propagation": nil}
	for _, row := range []struct {
		want   string
		change map[string]any
		more   M
	}{
		{"mount:", map[string]any{"mount": []any{mount}}, nil},
		{"cap_add:", map[string]any{"cap_add": []any{"chown"}}, nil},
		{"not to be had here: namespaces, mounts", map[string]any{"isolation": "require"}, nil},
		{"below 0", map[string]any{"nice": -5}, nil},
		{"below 0", map[string]any{"oom_score_adj": -5}, nil},
		{"mount:", nil, M{"mounts": []any{M{"task_path": "local/v", "host_path": n.Work}}}},
		{"devices:", nil, M{"devices": []any{M{"task_path": "/dev/x", "host_path": "/dev/null", "cgroup_permissions": "rw"}}}},
		{"dns:", nil, M{"dns": M{"servers": []any{"192.0.2.1"}}}},
		{"network namespace:", nil, M{"network_isolation_spec": M{"mode": 1, "path": "/proc/self/ns/net"}}},
		{"the driver is not root", nil, M{"user": "root"}},
	} {
		refused := n.NewTask("refused")
		giveAway()
		maps.Copy(refused.Config, row.change)
		refused.More = row.more
		if err := refused.TryStart(); Code(err) == codes.OK || Code(err) == codes.Unknown || !strings.Contains(err.Error(), row.want) {
			t.Errorf("want a refusal that says %q: %v", row.want, err)
		}
	}
	n.destroyAll()
	n.WantClean()
}

// It does the rest: start, signal, logs, exec, crash and recovery, stop; and nothing stays behind.
func TestH05UnprivilegedDriverServes(t *testing.T) {
	t.Parallel()
	n, giveAway := strangers(t)
	n.Start()
	task := n.NewTask("task", "note=SIGHUP", "trap=SIGTERM:5", "lines=10", "print=ready", "forever")
	giveAway()
	task.Start()
	task.Out.Await(t, "ready")
	check(t, task.Signal("SIGHUP"))
	task.Out.Await(t, "SIGHUP")
	if got := task.Shell("id -u; cat /proc/self/oom_score_adj"); got != "65534\n0\n" {
		t.Errorf("an exec says %q", got)
	}
	talk := task.Talk(false, "/bin/sh", "-c", "cat; exit 3")
	talk.Input("there and back\n")
	talk.Until("there and back\n")
	talk.Say(M{"stdin": M{"close": true}})
	talk.WantEnd(3, 0)
	main := task.Main().Pid
	n.CrashPlugin()
	task.MustRecover()
	if task.Main().Pid != main {
		t.Errorf("the agent was %d, is %d", main, task.Main().Pid)
	}
	if got := task.Shell("id -u"); got != "65534\n" {
		t.Errorf("an exec after the recovery says %q", got)
	}
	task.MustStop("SIGTERM", 10*time.Second)
	WantResult(t, task.Wait(), 5, 0)
	check(t, task.Destroy(false))
	tree := n.NewTask("tree", "ignore=SIGTERM", "child", "daemon="+filepath.Join(n.Work, "ticks"), "print=ready", "forever")
	giveAway()
	tree.Start()
	tree.Out.Await(t, "ready")
	tree.MustStop("SIGTERM", time.Second)
	if got := tree.Wait().Int("result.exit_code"); got != 137 {
		t.Errorf("a task that ignores its stop: exit code %d", got)
	}
	check(t, tree.Destroy(false))
	shared := filepath.Join(n.Dir, "shared")
	check(t, os.Mkdir(shared, 0o755))
	for epoch := 1; epoch <= 2; epoch++ { // with a state, which the next run finds
		counter := counting(n, shared, "3s")
		giveAway()
		counter.Start()
		counter.Out.Await(t, fmt.Sprintf("begun epoch %d at ", epoch))
		counter.Out.Await(t, "line 5\n")
		counter.MustStop("SIGTERM", 10*time.Second)
		WantResult(t, counter.Wait(), 0, 0)
		if epoch == 2 && strings.Contains(counter.Out.String(), "begun epoch 2 at 0\n") {
			t.Errorf("the state is lost: %s", counter.Out)
		}
		check(t, counter.Destroy(false))
	}
	n.WantClean()
}
