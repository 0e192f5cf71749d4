package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

func TestC40ExitCode(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	gate := filepath.Join(n.Work, "gate")
	task := n.NewTask("seven", "await="+gate, "exit=7").Start()
	before := []*waiter{task.WaitAsync(), task.WaitAsync(), task.WaitAsync()}
	check(t, os.WriteFile(gate, nil, 0o644))
	for _, waiter := range before {
		reply, err := waiter.Result(t, 5*time.Second)
		check(t, err)
		WantResult(t, reply, 7, 0)
	}
	WantResult(t, task.Wait(), 7, 0)
	shown := n.P.Must("InspectTask", M{"task_id": task.ID})
	if shown.Int("task.state") != 2 || shown.Int("task.result.exit_code") != 7 || shown.Int("task.completed_at.seconds") < 1e9 {
		t.Errorf("InspectTask: %v", shown)
	}
}

func TestC40ExitZeroAndTooManyWaiters(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	gate := filepath.Join(n.Work, "gate")
	task := n.NewTask("zero", "await="+gate, "exit=0").Start()
	var waiters []*waiter
	for range 300 {
		waiters = append(waiters, task.WaitAsync())
	}
	check(t, os.WriteFile(gate, nil, 0o644))
	for _, waiter := range waiters {
		reply, err := waiter.Result(t, 5*time.Second)
		check(t, err)
		WantResult(t, reply, 0, 0)
	}
}

func TestC41KilledBySignal(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for _, row := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGKILL, 137}, {syscall.SIGSEGV, 139}, {syscall.SIGUSR1, 138}} {
		task := n.NewTask("victim")
		task.Config["command"], task.Config["args"] = "/bin/sleep", []string{"1000"}
		task.Start()
		check(t, syscall.Kill(task.Main().Pid, row.signal))
		WantResult(t, task.Wait(), row.code, int(row.signal))
	}
}

func TestC41OomKill(t *testing.T) {
	if memoryVersion() == 0 {
		t.Skip("no memory controller here")
	}
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("hungry", "mem=200", "forever")
	task.More = M{"resources": resources(100, 32, 0)}
	reply := task.Start().Wait()
	if !reply.Bool("result.oom_killed") || reply.Int("result.exit_code") != 137 || reply.Int("result.signal") != 9 {
		t.Errorf("result: %v", reply)
	}
	check(t, task.Destroy(false))
	n.WantClean()
}

func TestC42WaitCancelled(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	main := task.Main()
	for range 100 {
		waiter := task.WaitAsync()
		waiter.cancel()
		if _, err := waiter.Result(t, 5*time.Second); !canceled(err) {
			t.Fatalf("a cancelled wait: %v", err)
		}
	}
	if !main.Alive() {
		t.Fatal("the task died")
	}
	again := task.WaitAsync()
	task.MustStop("SIGKILL", time.Second)
	reply, err := again.Result(t, 5*time.Second)
	check(t, err)
	WantResult(t, reply, 137, 9)
}

func TestC43WaitNeverReturnsWhileRunning(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	if reply, err := n.P.CallCtx(ctx, "WaitTask", M{"task_id": task.ID}); Code(err) != codes.DeadlineExceeded {
		t.Errorf("WaitTask: %v, %v", reply, err)
	}
}

func TestC44StopSignals(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for signal, want := range map[string]string{"": "SIGTERM", "SIGTERM": "SIGTERM", "SIGUSR1": "SIGUSR1", "SIGINT": "SIGINT"} {
		task := n.Run("notes", "note=SIGTERM,SIGUSR1,SIGINT,SIGHUP")
		done := make(chan error, 1)
		go func() { _, err := task.Stop(signal, 1500*time.Millisecond); done <- err }()
		task.Out.Await(t, "got "+want+"\n")
		check(t, <-done)
		if got := strings.Count(task.Out.String(), "got "); got != 1 {
			t.Errorf("signal %q: %q", signal, task.Out.String())
		}
		WantResult(t, task.Wait(), 137, 9)
	}
}

func TestC44StopEndsAWillingTaskAtOnce(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("willing", "trap=SIGTERM:3")
	if took := task.MustStop("SIGTERM", 30*time.Second); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	WantResult(t, task.Wait(), 3, 0)
}

// The whole tree dies: a child in the group, and a grandchild that left parent, group and session.
func TestC45StubbornTree(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tick := filepath.Join(n.Work, "tick")
	task := n.Run("stubborn", "ignore=SIGTERM,SIGINT", "child", "daemon="+tick)
	Eventually(t, 5*time.Second, "the grandchild", func() bool { _, err := os.Stat(tick); return err == nil })
	procs := task.Procs()
	if len(procs) < 3 {
		t.Fatalf("only %v", procs)
	}
	waiter := task.WaitAsync()
	took := task.MustStop("SIGTERM", 2*time.Second)
	if took < 1800*time.Millisecond || took > 3*time.Second {
		t.Errorf("took %v of a timeout of 2 s", took)
	}
	for _, proc := range procs {
		if proc.Alive() {
			t.Errorf("still there after StopTask: %v", proc)
		}
	}
	reply, err := waiter.Result(t, time.Second)
	check(t, err)
	WantResult(t, reply, 137, 9)
}

// The main process obeys and its children do not: they die with it.
func TestC45LeftoversOfAnObedientMain(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tick := filepath.Join(n.Work, "tick")
	task := n.Run("parent", "trap=SIGTERM:0", "child", "daemon="+tick)
	Eventually(t, 5*time.Second, "the grandchild", func() bool { _, err := os.Stat(tick); return err == nil })
	procs := task.Procs()
	if took := task.MustStop("SIGTERM", 20*time.Second); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	for _, proc := range procs {
		if proc.Alive() {
			t.Errorf("still there after StopTask: %v", proc)
		}
	}
	WantResult(t, task.Wait(), 0, 0)
}

// A task that ends by itself takes its background processes along.
func TestC45LeftoversOfAnExit(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tick, gate := filepath.Join(n.Work, "tick"), filepath.Join(n.Work, "gate")
	task := n.NewTask("parent", "child", "daemon="+tick, "await="+gate, "exit=4").Start()
	Eventually(t, 5*time.Second, "the grandchild", func() bool { _, err := os.Stat(tick); return err == nil })
	procs := task.Procs()
	check(t, os.WriteFile(gate, nil, 0o644))
	WantResult(t, task.Wait(), 4, 0)
	for _, proc := range procs {
		if proc.Alive() {
			t.Errorf("still there after WaitTask: %v", proc)
		}
	}
}

func TestC46StopWithoutPatience(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("stubborn", "ignore=SIGTERM")
	if took := task.MustStop("SIGTERM", 0); took > time.Second {
		t.Errorf("timeout 0 took %v", took)
	}
	WantResult(t, task.Wait(), 137, 9)
	for range 2 { // an exited task
		if took := task.MustStop("SIGTERM", 5*time.Second); took > time.Second {
			t.Errorf("an exited task took %v", took)
		}
	}
	n.P.Must("StopTask", M{"task_id": "no/such/task", "signal": "SIGTERM", "timeout": duration(time.Second)})
	n.P.Must("StopTask", M{"task_id": "no/such/task"})
}

func TestC46ExtremeTimeouts(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for what, timeout := range map[string]M{"huge": {"seconds": 1 << 62, "nanos": 999999999}, "years": {"seconds": 315576000000}} {
		task := n.Run("willing", "trap=SIGTERM:0")
		n.P.Must("StopTask", M{"task_id": task.ID, "signal": "SIGTERM", "timeout": timeout})
		WantResult(t, task.Wait(), 0, 0)
		_ = what
	}
	task := n.Run("stubborn", "ignore=SIGTERM")
	n.P.Must("StopTask", M{"task_id": task.ID, "signal": "SIGTERM", "timeout": M{"seconds": -5, "nanos": -1}})
	WantResult(t, task.Wait(), 137, 9)
}

func TestC46ConcurrentStops(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("stubborn", "ignore=SIGTERM")
	var wait sync.WaitGroup
	for range 5 {
		wait.Go(func() {
			if _, err := task.Stop("SIGTERM", time.Second); err != nil {
				t.Errorf("StopTask: %v", err)
			}
		})
	}
	wait.Wait()
	WantResult(t, task.Wait(), 137, 9)
}

func TestC47UnknownStopSignal(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for _, name := range []string{"SIGNONE", "DETACH", "TERM!", strings.Repeat("x", 5000)} {
		task := n.Run("willing", "trap=SIGTERM:3")
		if took := task.MustStop(name, 5*time.Second); took > 5*time.Second {
			t.Errorf("%q took %v", name, took)
		}
		task.Wait()
	}
}

func TestC48LogsAreClosedAtTheEnd(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tick := filepath.Join(n.Work, "tick")
	for range 20 {
		task := n.NewTask("closer", "print=bye", "daemon="+tick, "exit=0").Start()
		task.Wait()
		holders := procsWhere(func(pid int) bool { return hasFd(pid, filepath.Join(task.AllocDir, "alloc", "logs")) })
		if len(holders) != 0 {
			t.Fatalf("the logs are still held by %v", holders)
		}
		Eventually(t, time.Second, "end of file", func() bool { return task.Out.EOF() && task.Err.EOF() })
		if task.Out.String() != "bye\n" {
			t.Errorf("stdout %q", task.Out.String())
		}
		check(t, task.Destroy(false))
	}
}

func TestC48LastLineIsNotLost(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for i := range 30 {
		word := fmt.Sprint("last words ", i)
		task := n.NewTask("brief", "print="+word, "eprint="+word, "exit=1").Start()
		task.Wait()
		Eventually(t, time.Second, "end of file", func() bool { return task.Out.EOF() && task.Err.EOF() })
		if task.Out.String() != word+"\n" || task.Err.String() != word+"\n" {
			t.Errorf("stdout %q, stderr %q", task.Out.String(), task.Err.String())
		}
		check(t, task.Destroy(false))
	}
}

func TestC49DestroyNeedsForce(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	main := task.Main()
	WantCode(t, "destroy of a running task", task.Destroy(false), codes.FailedPrecondition)
	if !main.Alive() {
		t.Fatal("the task died")
	}
	check(t, task.Signal("SIGCONT"))
	check(t, task.Destroy(true))
	if main.Alive() {
		t.Error("the task lives after DestroyTask with force")
	}
}

func TestC50NothingAfterDestroy(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady", "child", "daemon="+filepath.Join(n.Work, "tick"))
	waiter, stats := task.WaitAsync(), n.P.Open("TaskStats", M{"task_id": task.ID, "collection_interval": duration(time.Second)})
	_, err := stats.Next()
	check(t, err)
	check(t, task.Destroy(true))
	if _, err := waiter.Result(t, time.Second); Code(err) != codes.NotFound && err != nil {
		t.Errorf("the pending WaitTask: %v", err)
	}
	for {
		message, err := stats.Within(2 * time.Second)
		if err != nil {
			break
		}
		if message == nil {
			t.Error("the pending TaskStats goes on")
			break
		}
	}
	for name, request := range map[string]M{"WaitTask": {"task_id": task.ID}, "InspectTask": {"task_id": task.ID},
		"SignalTask": {"task_id": task.ID, "signal": "SIGTERM"}} {
		_, err := n.P.Call(name, request)
		WantCode(t, name+" after DestroyTask", err, codes.NotFound)
	}
	n.WantClean()
}

func TestC51DestroyUnknown(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	main := n.Run("bystander").Main()
	begin := time.Now()
	for _, id := range []string{"no/such/task", "../../etc/passwd", "ünï/\"q\"/{}", strings.Repeat("x", 400)} {
		n.P.Must("DestroyTask", M{"task_id": id, "force": true})
		n.P.Must("DestroyTask", M{"task_id": id})
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
	if !main.Alive() {
		t.Error("a bystander died")
	}
}

func TestC52ThousandCycles(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("cycle", "forever")
	task.Config["command"], task.Config["args"] = "/bin/sleep", []string{"1000"}
	cycles := func(count int) {
		for i := range count {
			task.Start()
			if i%2 == 0 {
				task.MustStop("SIGTERM", time.Second)
				WantResult(t, task.Wait(), 143, 15)
			}
			check(t, task.Destroy(true))
			n.tasks = n.tasks[:1] // they are gone: nothing for the end of the node
			task.ID = task.AllocID + "/" + task.Name + "/" + hexWord(4)
			task.Out, task.Err = task.read("stdout"), task.read("stderr")
		}
	}
	cycles(100)
	measure := func() (fds, threads, mounts, rss int) {
		// The driver has a pidfd of the last shim until it has reaped it.
		Eventually(t, 10*time.Second, "the end of the last shim", func() bool { return len(Children(n.P.Pid)) == 0 })
		fmt.Sscan(StatusField(n.P.Pid, "Threads"), &threads)
		return len(Fds(n.P.Pid)), threads, strings.Count(textOf("/proc/self/mounts"), " "+n.Dir), rssKB(n.P.Pid)
	}
	fds, threads, mounts, rss := measure()
	cycles(900)
	fdsNow, threadsNow, mountsNow, rssNow := measure()
	if fdsNow > fds || threadsNow > threads+2 || mountsNow > mounts ||
		rssNow > rss+1024 && !sanitized(n.P.Pid) {
		t.Errorf("descriptors %d -> %d, threads %d -> %d, mounts %d -> %d, RSS %d -> %d KB",
			fds, fdsNow, threads, threadsNow, mounts, mountsNow, rss, rssNow)
	}
}
