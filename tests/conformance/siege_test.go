package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Tasks that take all there is to take, deaf to every signal: the supervisors go on answering, and a
// stop leaves nothing. Not parallel: the neighbours have limits, but these machines have two cores.

// siege starts the hostile program in this mode and waits until it has what it wants.
func siege(t *testing.T, n *Node, mode string, procs int, more func(*Task)) *Task {
	t.Helper()
	task := n.NewTask(mode)
	task.Config["command"], task.Config["args"] = n.hostile(), []any{mode}
	if more != nil {
		more(task)
	}
	task.Start()
	Eventually(t, 40*time.Second, "the attack in full", func() bool { return len(task.Procs()) >= procs })
	return task
}

// raised stops the task and looks at what is left. The bound is for a loaded machine of two cores.
func raised(t *testing.T, n *Node, task *Task) {
	t.Helper()
	took, err := task.Stop("SIGTERM", time.Second)
	if err != nil || took > 30*time.Second {
		t.Errorf("stop: %v after %v", err, took)
	}
	WantResult(t, task.Wait(), 137, int(syscall.SIGKILL))
	if left := task.Procs(); len(left) != 0 {
		t.Errorf("left behind: %d processes", len(left))
	}
	check(t, task.Destroy(false))
	n.WantClean()
}

func TestH06ForkBomb(t *testing.T) {
	needV1(t, "pids")
	n := StartedNode(t)
	task := siege(t, n, "bomb", 40, func(task *Task) { task.Config["pids_limit"] = 60 })
	if err := task.Signal("SIGUSR1"); err != nil {
		t.Errorf("signal: %v", err)
	}
	if shown := n.P.Must("InspectTask", M{"task_id": task.ID}); shown.Int("task.state") != 1 {
		t.Errorf("shown as %v", shown)
	}
	if count := len(task.Procs()); count > 61 {
		t.Errorf("%d processes under a limit of 60", count)
	}
	raised(t, n, task)
}

// The sidecar of a starving task renews its lease: three times the ttl pass and nobody is fenced.
func TestH07Starvation(t *testing.T) {
	needRoot(t)
	const ttl = 2 * time.Second
	n := StartedNode(t)
	task := siege(t, n, "starve", 64, func(task *Task) { task.withState(t.TempDir(), "2s") })
	ended := task.WaitAsync()
	select {
	case <-ended.done:
		t.Fatalf("ended: %v, %v; events %v", ended.reply, ended.err, n.Events())
	case <-time.After(3 * ttl):
	}
	for _, text := range n.Events() {
		if strings.Contains(text, "fence") {
			t.Errorf("event: %s", text)
		}
	}
	raised(t, n, task)
}

// Nomad's log reader has stopped reading: the agent waits in write(2), the shim for nobody.
func TestH08FloodWithoutAReader(t *testing.T) {
	n := StartedNode(t)
	task := n.NewTask("flood")
	task.Config["command"], task.Config["args"] = n.hostile(), []any{"flood"}
	stalled := filepath.Join(n.Work, "stalled")
	check(t, syscall.Mkfifo(stalled, 0o600))
	reader, err := os.OpenFile(stalled, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	check(t, err)
	defer reader.Close()
	task.More = M{"stdout_path": stalled}
	task.Start()
	Eventually(t, 10*time.Second, "an agent that waits for the reader", func() bool {
		got, ok := ReadProc(task.Main().Pid)
		return ok && got.State == "S"
	})
	if shown := n.P.Must("InspectTask", M{"task_id": task.ID}); shown.Int("task.state") != 1 {
		t.Errorf("shown as %v", shown)
	}
	raised(t, n, task)
}
