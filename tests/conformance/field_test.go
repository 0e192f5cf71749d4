package conformance

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// F-01: the supervisor is killed at random points from before exec to after the first line; nothing
// of the task may go on.
func TestF01SupervisorKilledAnywhere(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for round := range 50 {
		tick := filepath.Join(n.Work, fmt.Sprint("tick", round))
		task := n.NewTask("orphan", "ignore=SIGTERM", "daemon="+tick, "lines=1", "forever")
		killed := make(chan bool)
		go func() {
			shims := func() []Proc { return n.shims() }
			for end := time.Now().Add(2 * time.Second); len(shims()) == 0 && time.Now().Before(end); {
			}
			time.Sleep(time.Duration(rand.Intn(4000)) * time.Microsecond)
			signalAll(shims(), syscall.SIGKILL)
			close(killed)
		}()
		err := task.TryStart()
		<-killed
		signalAll(n.shims(), syscall.SIGKILL) // one that came too late for the other goroutine
		if err == nil {
			if reply := task.Wait(); reply.Str("err") == "" {
				t.Errorf("round %d: WaitTask says %v", round, reply)
			}
		}
		Eventually(t, time.Second, "the end of the whole tree", func() bool { return len(task.Procs()) == 0 })
		size := len(textOf(tick))
		check(t, task.Destroy(true))
		n.WantClean()
		if now := len(textOf(tick)); now != size {
			t.Errorf("round %d: effects after the end", round)
		}
	}
}

// shims lists the supervisors of this node.
func (n *Node) shims() []Proc {
	shim := []byte(n.Config["shim"].(string))
	return procsWhere(func(pid int) bool {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && bytes.HasPrefix(command, shim) && hasFd(pid, n.Dir+"/")
	})
}

// F-02: after a recovery, stop and destroy act on the same tree as before.
func TestF02StopAfterRecovery(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tick := filepath.Join(n.Work, "tick")
	task := n.Run("tree", "ignore=SIGTERM", "child", "daemon="+tick)
	Eventually(t, 5*time.Second, "the grandchild", func() bool { _, err := os.Stat(tick); return err == nil })
	procs := task.Procs()
	n.CrashPlugin()
	task.MustRecover()
	task.MustStop("SIGTERM", 500*time.Millisecond)
	WantResult(t, task.Wait(), 137, 9)
	for _, proc := range procs {
		if proc.Alive() {
			t.Errorf("orphan %v", proc)
		}
	}
	check(t, task.Destroy(false))
	n.WantClean()
}

// F-04: the plugin dies between exit and reply; the task is not run again and its code is kept.
func TestF04ExitSurvivesThePlugin(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for round := range 20 {
		effects, gate := filepath.Join(n.Work, fmt.Sprint("effects", round)), filepath.Join(n.Work, fmt.Sprint("gate", round))
		task := n.NewTask("seven", "await="+gate, "append="+effects+":done", "exit=7").Start()
		waiter := task.WaitAsync()
		check(t, os.WriteFile(gate, nil, 0o644))
		time.Sleep(time.Duration(rand.Intn(3000)) * time.Microsecond)
		n.P.Crash()
		waiter.Result(t, 5*time.Second)
		n.Start()
		task.MustRecover()
		WantResult(t, task.Wait(), 7, 0)
		if text := textOf(effects); text != "done\n" {
			t.Errorf("effects %q", text)
		}
		check(t, task.Destroy(false))
	}
}

// F-05: the first signal goes to the main process only, and the tree lives until the timeout.
func TestF05Escalation(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("shell")
	task.Config["command"] = "/bin/sh"
	task.Config["args"] = []string{"-c", "trap 'echo trapped' INT; " + stubPath + " ignore=SIGTERM,SIGINT print=ready forever & while :; do wait; done"}
	task.Start().Out.Await(t, "ready")
	procs := task.Procs()
	done := make(chan time.Duration, 1)
	go func() { took, _ := task.Stop("SIGINT", time.Second); done <- took }()
	task.Out.Await(t, "trapped")
	time.Sleep(700 * time.Millisecond)
	for _, proc := range procs {
		if !proc.Alive() {
			t.Errorf("gone before the timeout: %v", proc)
		}
	}
	if took := <-done; took > 1300*time.Millisecond {
		t.Errorf("took %v", took)
	}
	for _, proc := range procs {
		if proc.Alive() {
			t.Errorf("alive after the timeout: %v", proc)
		}
	}
}

// F-06: a foreign process in the task's cgroup does not make the stop fail, and nothing piles up.
func TestF06CgroupsDoNotPileUp(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	if n.cgroup == "" {
		t.Skip("no writable cgroup v2 hierarchy")
	}
	before := len(tree(n.cgroup))
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 25 {
				task := n.brief()
				WantResult(t, task.Wait(), 0, 0)
				check(t, task.Destroy(false))
			}
		})
	}
	wait.Wait()
	if after := len(tree(n.cgroup)); after != before {
		t.Errorf("cgroup entries: %d before, %d after", before, after)
	}
}

var briefMu sync.Mutex

// brief starts a task that ends at once; safe from several goroutines.
func (n *Node) brief() *Task {
	briefMu.Lock()
	task := n.NewTask("brief", "exit=0")
	briefMu.Unlock()
	return task.Start()
}

// F-08: plugin and agent are gone and nobody recovers: the supervisor ends, and the place is free.
// The same id is the same start: it is not run twice, and its result is known.
func TestF08SupervisorEndsByItself(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("task")
	shim, main := task.Shim(), task.Main()
	n.P.Crash()
	check(t, syscall.Kill(main.Pid, syscall.SIGKILL))
	Gone(t, 2*time.Second, shim, main)
	n.Start()
	WantResult(t, task.Start().Wait(), 137, 9)
	check(t, task.Destroy(true))
	next := task.Again().Start()
	next.Out.Await(t, "ready")
	check(t, next.Destroy(true))
	n.WantClean()
}

// F-48: many starts of one task at the same moment give one copy, and one success.
func TestF48StartRaces(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for round := range 25 {
		effects := filepath.Join(n.Work, fmt.Sprint("effects", round))
		task := n.NewTask("one", "append="+effects+":begun", "forever")
		request := M{"task": Encode("TaskConfig", task.message())}
		var wait sync.WaitGroup
		var mu sync.Mutex
		good := 0
		for range 6 {
			wait.Go(func() {
				if _, err := n.P.Call("StartTask", request); err == nil {
					mu.Lock()
					good++
					mu.Unlock()
				}
			})
		}
		wait.Wait()
		if good != 1 {
			t.Errorf("round %d: %d starts succeeded", round, good)
		}
		Eventually(t, 5*time.Second, "the effect", func() bool { return textOf(effects) == "begun\n" })
		if procs := task.Procs(); len(procs) != 1 {
			t.Errorf("round %d: %v", round, procs)
		}
		check(t, task.Destroy(true))
		if text := textOf(effects); text != "begun\n" {
			t.Errorf("round %d: effects %q", round, text)
		}
	}
}
