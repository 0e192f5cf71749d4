package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Tasks with state: the same promises of the protocol with a sidecar in the middle. Names: S, a
// number; what the checkpoints and leases themselves promise is tested elsewhere.

// withState gives the task durable state in a store that several nodes share.
func (t *Task) withState(shared, ttl string) *Task {
	t.Config["state"] = map[string]any{"path": "local/state", "store": "file://" + shared + "/store?create=true",
		"interval": "200ms", "exclude": nil, "name": "conformance/agent"}
	t.Config["lease"] = map[string]any{"store": nil, "ttl": ttl, "margin": nil}
	return t
}

// sharing makes a node that has the key of the others.
func sharing(t testing.TB, shared string) *Node {
	n := NewNode(t)
	n.Config["key_file"] = filepath.Join(shared, "key")
	n.Start()
	return n
}

const counter = `cd "$AGENT_STATE_DIR" || exit 9
trap 'echo stopping; exit 0' TERM
trap 'echo got SIGHUP' HUP
n=$(cat count 2>/dev/null || echo 0)
echo "begun epoch $AGENT_EPOCH at $n"
while :; do n=$((n+1)); echo $n >count.new && mv count.new count; echo "line $((i+0))"; i=$((i+1)); sleep 0.02; done`

// counting is a task that counts in its state.
func counting(n *Node, shared, ttl string) *Task {
	task := n.NewTask("counter").withState(shared, ttl)
	task.Config["command"], task.Config["args"] = "/bin/sh", []string{"-c", counter}
	return task
}

// standby waits for the event that says so.
func standby(t testing.TB, n *Node, task *Task) {
	t.Helper()
	if shown := n.P.Must("InspectTask", M{"task_id": task.ID}); shown.Int("task.state") != 1 {
		t.Errorf("a standby is shown as %v", shown)
	}
	Eventually(t, 5*time.Second, "an event that names the holder", func() bool {
		return slices.ContainsFunc(n.Events(), func(text string) bool { return strings.Contains(text, "held") || strings.Contains(text, "standby") })
	})
	if procs := task.Procs(); len(procs) != 0 {
		t.Errorf("a standby runs %v", procs)
	}
}

// A job that says nothing of its lease has the node's register and the node's ttl.
func TestS01LeaseOfTheNode(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	n := NewNode(t)
	n.Config["key_file"] = filepath.Join(shared, "key")
	n.Config["lease_store"], n.Config["lease_ttl"] = "file://"+shared+"/register?create=true", "3s"
	n.Start()
	task := counting(n, shared, "")
	task.Config["lease"] = nil
	task.Start()
	task.Out.Await(t, "begun epoch 1 at 0\n")
	var records []string
	filepath.WalkDir(filepath.Join(shared, "register"), func(path string, entry os.DirEntry, err error) error {
		if text := textOf(path); err == nil && !entry.IsDir() && strings.Contains(text, `"ttl_ms":3000`) {
			records = append(records, path)
		}
		return nil
	})
	if len(records) != 1 {
		t.Errorf("records with the node's ttl in the node's register: %v", records)
	}
	check(t, task.Destroy(true))
	tight := counting(n, shared, "")
	tight.Config["lease"] = map[string]any{"store": nil, "ttl": nil, "margin": "2s"}
	if err := tight.TryStart(); err == nil || !strings.Contains(err.Error(), "lease.margin") {
		t.Errorf("a margin that does not fit the node's ttl of 3 s: %v", err)
	}
	n.WantClean()
}

func TestS01NextRunGoesOn(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	one, two := sharing(t, shared), sharing(t, shared)
	first := counting(one, shared, "3s").Start()
	first.Out.Await(t, "begun epoch 1 at 0\n")
	wantNoGap(t, first)
	first.MustStop("SIGTERM", 10*time.Second)
	WantResult(t, first.Wait(), 0, 0)
	check(t, first.Destroy(false))
	second := counting(two, shared, "3s").Start()
	second.Out.Await(t, "begun epoch 2 at ")
	if strings.Contains(second.Out.String(), " at 0\n") {
		t.Errorf("the second run began anew: %q", second.Out.String())
	}
}

func TestS02StandbyTakesOverAtRelease(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	one, two := sharing(t, shared), sharing(t, shared)
	first := counting(one, shared, "3s").Start()
	first.Out.Await(t, "begun epoch 1")
	second := counting(two, shared, "3s").Start()
	standby(t, two, second)
	begin := time.Now()
	first.MustStop("SIGTERM", 10*time.Second)
	second.Out.Await(t, "begun epoch 2 at ")
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("a released lease was taken after %v", took)
	}
}

func TestS03RecoverWithSidecar(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	n := sharing(t, shared)
	task := counting(n, shared, "3s").Start()
	task.Out.Await(t, "begun epoch 1")
	main := task.Main()
	n.CrashPlugin()
	task.MustRecover()
	wantNoGap(t, task)
	check(t, task.Signal("SIGHUP"))
	task.Out.Await(t, "got SIGHUP")
	if now := task.Main(); !now.Same(main) {
		t.Errorf("main process was %v, is %v", main, now)
	}
	task.MustStop("SIGTERM", 10*time.Second)
	WantResult(t, task.Wait(), 0, 0)
	check(t, task.Destroy(false))
	n.WantClean()
}

// What the sidecar said last is told again to a driver that was not there, once it is asked for.
func TestS03NewsAfterRecovery(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	n := sharing(t, shared)
	task := counting(n, shared, "3s").Start()
	task.Out.Await(t, "begun epoch 1")
	n.CrashPlugin()
	before := len(n.Events())
	task.MustRecover()
	waiter := task.WaitAsync()
	Eventually(t, 5*time.Second, "the shim's newest line", func() bool {
		for _, event := range n.Events()[before:] {
			if strings.HasPrefix(event, task.Name+": ") {
				return true
			}
		}
		return false
	})
	if waiter.Ended() {
		t.Error("the task has ended")
	}
}

func TestS04StandbyRecoversStopsAndIsDestroyed(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	one, two := sharing(t, shared), sharing(t, shared)
	first := counting(one, shared, "3s").Start()
	first.Out.Await(t, "begun epoch 1")
	second := counting(two, shared, "3s").Start()
	standby(t, two, second)
	two.CrashPlugin()
	second.MustRecover()
	standby(t, two, second)
	waiter := second.WaitAsync()
	if took := second.MustStop("SIGTERM", 10*time.Second); took > 3*time.Second {
		t.Errorf("the stop of a standby took %v", took)
	}
	_, err := waiter.Result(t, time.Second)
	check(t, err)
	check(t, second.Destroy(false))
	two.WantClean()
	third := counting(two, shared, "3s").Start()
	check(t, third.Destroy(true))
	two.WantClean()
	wantNoGap(t, first)
}

func TestS05TakeoverAfterNodeLoss(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	one, two := sharing(t, shared), sharing(t, shared)
	first := counting(one, shared, "2s").Start()
	first.Out.Await(t, "begun epoch 1")
	second := counting(two, shared, "2s").Start()
	standby(t, two, second)
	wantNoGap(t, first)
	begin := time.Now()
	one.P.Crash()
	signalAll(one.Procs(), syscall.SIGKILL)
	second.Out.Await(t, "begun epoch 2 at ")
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("takeover took %v with a ttl of 2 s", took)
	}
	one.P = nil // the node is lost: nothing to tidy
}

func TestS06SidecarKilled(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	n := sharing(t, shared)
	task := counting(n, shared, "3s").Start()
	task.Out.Await(t, "begun epoch 1")
	procs := task.Procs()
	sidecars := procsWhere(func(pid int) bool {
		proc, _ := ReadProc(pid)
		return strings.HasPrefix(proc.Command, n.Config["sidecar"].(string)) && hasFd(pid, n.Dir+"/")
	})
	if len(sidecars) != 1 {
		t.Fatalf("sidecars: %v", sidecars)
	}
	signalAll(sidecars, syscall.SIGKILL)
	reply := task.Wait()
	if reply.Str("err") == "" || reply.Int("result.exit_code") == 0 {
		t.Errorf("WaitTask after the loss of the sidecar: %v", reply)
	}
	Gone(t, time.Second, procs...)
	check(t, task.Destroy(false))
	n.WantClean()
}

// A restore that cannot work never gives an empty start.
func TestS07StoreGone(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	n := sharing(t, shared)
	task := counting(n, shared, "3s")
	task.Config["state"].(map[string]any)["store"] = "file://" + shared + "/not-mounted"
	if err := task.TryStart(); err == nil {
		waiter := task.WaitAsync()
		time.Sleep(300 * time.Millisecond)
		if waiter.Ended() && waiter.reply.Int("result.exit_code") == 0 {
			t.Errorf("result: %v", waiter.reply)
		}
		if len(task.Procs()) != 0 || strings.Contains(task.Out.String(), "begun") {
			t.Errorf("started without its state: %q", task.Out.String())
		}
		check(t, task.Destroy(true))
	}
	n.WantClean()
}
