package conformance

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The calls a driver sees when agent, driver, task or machine end and come back (protocol reference,
// 5.3), one test a row, in the agent's order.

// begins is what a task runner asks before every start or recovery.
func (n *Node) begins() {
	n.T.Helper()
	n.P.Must("TaskConfigSchema", M{})
	n.P.Must("Capabilities", M{})
}

// watches is what follows a start or a recovery: one wait and one stream of statistics.
func (t *Task) watches() *waiter {
	t.N.T.Helper()
	w := t.WaitAsync()
	stats := t.N.P.Open("TaskStats", M{"task_id": t.ID, "collection_interval": duration(time.Second)})
	if _, err := stats.Next(); err != nil {
		t.N.T.Fatalf("TaskStats: %v", err)
	}
	return w
}

// ends: the wait has this result, and the agent destroys the task.
func (t *Task) ends(w *waiter, code, signal int) {
	t.N.T.Helper()
	reply, err := w.Result(t.N.T, 10*time.Second)
	check(t.N.T, err)
	WantResult(t.N.T, reply, code, signal)
	check(t.N.T, t.Destroy(true))
}

// probes are the starts A and B of an agent that begins.
func (n *Node) probes() {
	n.T.Helper()
	a := n.Launch()
	a.Must("PluginInfo", M{})
	a.Must("ConfigSchema", M{})
	b := n.Launch()
	for range 2 {
		b.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "plugin_api_version": "v0.1.0"})
	}
	if !a.Stop() || !b.Stop() {
		n.T.Error("a start that only asks had to be killed")
	}
}

// stops is a clean stop of the agent: tasks stay.
func (n *Node) stops() {
	n.T.Helper()
	n.P.Must("DriverShutdown", M{})
	if !n.P.Stop() {
		n.T.Error("the plugin did not end by itself")
	}
}

func TestR01AgentStartsWithoutTasks(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	n.probes()
	n.Start()
	n.WantClean()
}

func TestR02TaskStarts(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	n.begins()
	task := n.NewTask("plain", "print=ready", "forever").Start()
	w := task.watches()
	task.Out.Await(t, "ready")
	if w.Ended() {
		t.Error("WaitTask has returned and the task runs")
	}
}

func TestR03TaskExitsAndIsRestarted(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	gate := filepath.Join(n.Work, "gate")
	n.begins()
	task := n.NewTask("brief", "await="+gate, "exit=4").Start()
	w := task.watches()
	check(t, os.WriteFile(gate, nil, 0o644))
	task.ends(w, 4, 0)
	next := task.Again().Start()
	next.ends(next.WaitAsync(), 4, 0)
	n.WantClean()
}

func TestR04RestartOnRequest(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	n.begins()
	task := n.Run("steady")
	first, second := task.watches(), task.WaitAsync()
	task.MustStop("SIGTERM", 5*time.Second)
	reply, err := second.Result(t, time.Second)
	check(t, err)
	WantResult(t, reply, 143, 15)
	task.ends(first, 143, 15)
	next := task.Again().Start()
	next.watches()
	next.Out.Await(t, "ready")
	if all := next.Procs(); len(all) != 1 {
		t.Errorf("processes after the restart: %v", all)
	}
}

func TestR05Stop(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	n.begins()
	task := n.Run("steady")
	w := task.watches()
	task.MustStop("", 5*time.Second)
	task.ends(w, 143, 15)
	n.WantClean()
}

func TestR06DriverCrash(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	lost := task.WaitAsync()
	n.P.Crash()
	if _, err := lost.Result(t, 5*time.Second); err == nil {
		t.Error("WaitTask of a dead plugin said OK")
	}
	n.Start()
	n.begins()
	// The agent lives: its copy of the handle still has the job's config block.
	n.P.Must("RecoverTask", M{"handle": task.Handle})
	task.watches()
	everythingWorks(t, n, task, main)
}

func TestR07DriverCrashDuringStart(t *testing.T) {
	t.Parallel()
	n := crashNode(t)
	effects := filepath.Join(n.Work, "effects")
	task := n.NewTask("task", "append="+effects+":begun", "print=ready", "forever")
	crashDuringStart(t, n, task)
	n.begins()
	task.Start() // the same id once more
	task.watches()
	onlyOne(t, n, task, "ready", effects)
}

func TestR08DriverCrashDuringStop(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("stubborn", "note=SIGTERM")
	done := make(chan error, 1)
	go func() { _, err := task.Stop("SIGTERM", 3*time.Second); done <- err }()
	task.Out.Await(t, "got SIGTERM")
	n.P.Crash()
	<-done
	n.Start()
	n.begins()
	n.P.Must("RecoverTask", M{"handle": task.Handle})
	w := task.watches()
	task.MustStop("SIGTERM", time.Second)
	task.ends(w, 137, 9)
}

func TestR09AgentCrashDriverAlive(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	n.reattaches(n.probes)
	n.begins()
	task.MustRecover()
	task.watches()
	everythingWorks(t, n, task, main)
}

func TestR10AgentAndDriverCrash(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	n.P.Crash()
	n.probes()
	n.Start()
	n.begins()
	task.MustRecover()
	task.watches()
	everythingWorks(t, n, task, main)
}

func TestR11AgentStopsAndStarts(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	n.stops()
	n.probes()
	n.Start()
	n.begins()
	task.MustRecover()
	task.watches()
	everythingWorks(t, n, task, main)
}

func TestR12NodeReboot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a mount namespace")
	}
	t.Parallel()
	n := StartedNode(t)
	effects := filepath.Join(n.Work, "effects")
	task := n.Run("steady", "append="+effects+":begun")
	main, shim := task.Main(), task.Shim()
	n.P.Crash()
	signalAll([]Proc{shim, main}, syscall.SIGKILL)
	Gone(t, 5*time.Second, shim, main)
	check(t, os.RemoveAll(filepath.Join(n.Dir, "run"))) // what a reboot does to /run
	n.reboots()
	n.probes()
	n.Start()
	if err := task.Recover(); err == nil {
		t.Error("a task of an earlier boot was recovered")
	}
	check(t, task.Destroy(true))
	n.begins()
	next := task.Again().Start()
	next.watches()
	onlyOne(t, n, next, "ready", effects)
}

func TestR13DevModeStop(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tasks := []*Task{n.Run("one"), n.Run("two")}
	for _, task := range tasks {
		w := task.watches()
		task.MustStop("", 5*time.Second)
		task.ends(w, 143, 15)
	}
	n.WantClean()
	n.stops()
	n.Start()
}

func TestR14DeadAllocationIsForgotten(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("brief", "exit=0").Start()
	task.ends(task.WaitAsync(), 0, 0)
	n.WantClean()
	check(t, os.RemoveAll(task.AllocDir)) // garbage collection; no call comes any more
	n.CrashPlugin()
	n.WantClean()
}
