package conformance

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
)

// lineNumbers reads what the stub's `lines` step has said.
func lineNumbers(text string) []int {
	var numbers []int
	for _, line := range strings.Split(text, "\n") {
		if number, found := strings.CutPrefix(line, "line "); found {
			n, _ := strconv.Atoi(number)
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// wantNoGap waits for more lines and fails when one is missing or came twice.
func wantNoGap(t testing.TB, task *Task) {
	t.Helper()
	have := len(lineNumbers(task.Out.String()))
	Eventually(t, 5*time.Second, "more lines", func() bool { return len(lineNumbers(task.Out.String())) > have+3 })
	for i, number := range lineNumbers(task.Out.String()) {
		if i != number {
			t.Fatalf("line %d is %d", i, number)
		}
	}
}

// everythingWorks is item 53's list, on a task that was recovered.
func everythingWorks(t *testing.T, n *Node, task *Task, main Proc) {
	t.Helper()
	wantNoGap(t, task)
	if now := task.Main(); !now.Same(main) {
		t.Errorf("main process was %v, is %v", main, now)
	}
	waiter := task.WaitAsync()
	check(t, task.Signal("SIGHUP"))
	task.Out.Await(t, "got SIGHUP")
	stats := n.P.Open("TaskStats", M{"task_id": task.ID, "collection_interval": duration(time.Second)})
	if sample, err := stats.Within(time.Second); sample == nil || !sample.Has("stats.agg_resource_usage") {
		t.Errorf("TaskStats: %v, %v", sample, err)
	}
	stats.Cancel()
	if waiter.Ended() {
		t.Errorf("WaitTask ended early: %v, %v", waiter.reply, waiter.err)
	}
	task.MustStop("SIGTERM", 5*time.Second)
	reply, err := waiter.Result(t, time.Second)
	check(t, err)
	WantResult(t, reply, 5, 0)
	WantResult(t, task.Wait(), 5, 0)
	check(t, task.Destroy(false))
	n.WantClean()
}

func liner(n *Node) *Task {
	n.T.Helper()
	return n.Run("liner", "note=SIGHUP", "trap=SIGTERM:5", "lines=10")
}

func TestC53RecoverAfterCrash(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	n.CrashPlugin()
	task.MustRecover()
	everythingWorks(t, n, task, main)
}

func TestC53RecoverTwiceInARow(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	for range 5 {
		n.CrashPlugin()
		task.MustRecover()
	}
	everythingWorks(t, n, task, main)
}

// The plugin dies while StopTask waits: the new one is asked again.
func TestC53CrashDuringStop(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("stubborn", "note=SIGTERM")
	done := make(chan error, 1)
	go func() { _, err := task.Stop("SIGTERM", 3*time.Second); done <- err }()
	task.Out.Await(t, "got SIGTERM")
	n.P.Crash()
	if err := <-done; err == nil {
		t.Error("StopTask of a dead plugin said OK")
	}
	n.Start()
	task.MustRecover()
	task.MustStop("SIGTERM", time.Second)
	WantResult(t, task.Wait(), 137, 9)
}

// reattaches is an agent's start after its crash; `meanwhile` runs while nobody is connected.
func (n *Node) reattaches(meanwhile func()) {
	n.T.Helper()
	before := n.P
	from := before.client.ReattachConfig()
	before.Conn.Close()
	meanwhile()
	n.P = Reattach(n.T, &goplugin.ReattachConfig{Protocol: from.Protocol, ProtocolVersion: from.ProtocolVersion,
		Addr: from.Addr, Pid: from.Pid}, n.Stderr)
	n.P.Must("PluginInfo", M{})
	n.attach()
}

// The agent crashed and the plugin did not: it connects again.
func TestC53AgentCrashPluginAlive(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	n.reattaches(func() {})
	task.MustRecover()
	everythingWorks(t, n, task, main)
}

func TestC54RecoverAnExitedTask(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	gate, effects := filepath.Join(n.Work, "gate"), filepath.Join(n.Work, "effects")
	exits := n.NewTask("exits", "append="+effects+":once", "await="+gate, "exit=7").Start()
	dies := n.Run("dies")
	stays := n.Run("stays")
	procs := []Proc{exits.Main(), exits.Shim(), dies.Main(), dies.Shim()}
	n.P.Crash()
	check(t, os.WriteFile(gate, nil, 0o644))
	syscall.Kill(procs[2].Pid, syscall.SIGKILL)
	Gone(t, 5*time.Second, procs...)
	n.Start()
	for _, task := range []*Task{exits, dies, stays} {
		task.MustRecover()
	}
	begin := time.Now()
	WantResult(t, exits.Wait(), 7, 0)
	WantResult(t, dies.Wait(), 137, 9)
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("WaitTask took %v", took)
	}
	if text := textOf(effects); text != "once\n" {
		t.Errorf("effects: %q", text)
	}
	check(t, exits.Destroy(false))
	WantResult(t, exits.Again().Start().Wait(), 7, 0) // the restart policy's new run
}

func TestC55RecoverTwice(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	task.MustRecover() // known: it was never lost
	n.CrashPlugin()
	task.MustRecover()
	task.MustRecover()
	everythingWorks(t, n, task, main)
}

func TestC56BadDriverState(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	main, shim := task.Main(), task.Shim()
	good := task.Handle.Str("driver_state")
	n.CrashPlugin()
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	states := map[string]string{"empty": "", "garbage": "\xde\xad\xbe\xef", "text": "pid=1", "foreign": strings.Repeat("\x93", 300),
		"truncated": good[:len(good)-1], "half": good[:len(good)/2], "one bit": string(flipped), "too long": good + "x",
		"huge": strings.Repeat("x", 1<<20)}
	for i := range 8 { // the head holds magic and version
		changed := []byte(good)
		changed[i] ^= 0x7f
		states[fmt.Sprint("byte ", i)] = string(changed)
	}
	for what, state := range states {
		handle := task.stored()
		handle["driver_state"] = state
		begin := time.Now()
		_, err := n.P.Call("RecoverTask", M{"handle": handle})
		if took := time.Since(begin); err == nil || took > time.Second {
			t.Errorf("%s: after %v: %v", what, took, err)
		}
		if code := Code(err); code == codes.Unavailable || code == codes.Canceled {
			t.Errorf("%s: code %v", what, code)
		}
	}
	for what, config := range map[string]string{"no config": "", "garbage config": "\xff\xff\xff"} {
		handle := task.stored()
		handle["config"] = config
		if _, err := n.P.Call("RecoverTask", M{"handle": handle}); err == nil {
			t.Errorf("%s: recovered", what)
		}
	}
	if !main.Alive() || !shim.Alive() {
		t.Errorf("agent alive: %v, shim alive: %v", main.Alive(), shim.Alive())
	}
	task.MustRecover()
}

// A handle of one task must not give another task's process.
func TestC56SwappedDriverState(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	one, two := n.Run("one"), n.Run("two")
	n.CrashPlugin()
	handle := one.stored()
	handle["driver_state"] = two.Handle.Str("driver_state")
	if _, err := n.P.Call("RecoverTask", M{"handle": handle}); err == nil {
		t.Error("one was recovered with the state of two")
		one.MustStop("SIGKILL", 0)
		if !two.Main().Alive() {
			t.Error("and its stop killed two")
		}
	}
	one.MustRecover()
	two.MustRecover()
}

// withPid starts /bin/sleep until it gets this very pid; false when that does not happen soon.
func withPid(t testing.TB, pid int) (Proc, bool) {
	t.Helper()
	const script = "echo $1 >/proc/sys/kernel/ns_last_pid; sleep 1000 >&- 2>&- & echo $!"
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		out, err := exec.Command("/bin/sh", "-c", script, "sh", strconv.Itoa(pid-1)).Output()
		if err != nil {
			return Proc{}, false
		}
		got, _ := strconv.Atoi(strings.TrimSpace(string(out)))
		if got == pid {
			proc, _ := ReadProc(pid)
			t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
			return proc, true
		}
		syscall.Kill(got, syscall.SIGKILL)
	}
	return Proc{}, false
}

// reboots: later plugins see another boot id. Needs root.
func (n *Node) reboots() {
	n.T.Helper()
	boot := filepath.Join(n.Dir, "boot_id")
	check(n.T, os.WriteFile(boot, []byte("00000000-1111-2222-3333-444444444444\n"), 0o444))
	n.Program = filepath.Join(n.Dir, "nomad-driver-agent-rebooted")
	script := "#!/bin/sh\nexec unshare -m sh -c 'mount --bind " + boot + " /proc/sys/kernel/random/boot_id && exec " + pluginPath() + "'\n"
	check(n.T, os.WriteFile(n.Program, []byte(script), 0o755))
}

// The reboot: every process is gone, the boot id is another, and the pids belong to others.
func TestC57Reboot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a mount namespace")
	}
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	main, shim := task.Main(), task.Shim()
	n.P.Crash()
	signalAll([]Proc{shim, main}, syscall.SIGKILL)
	Gone(t, 5*time.Second, shim, main)
	var innocents []Proc
	for _, pid := range []int{shim.Pid, main.Pid} {
		if proc, ok := withPid(t, pid); ok {
			innocents = append(innocents, proc)
		}
	}
	if len(innocents) == 0 {
		t.Log("no pid could be had again; the check is only of the boot id")
	}
	n.reboots()
	n.Start()
	if err := task.Recover(); err == nil {
		t.Error("a task of an earlier boot was recovered")
	}
	check(t, task.Destroy(true))
	for _, proc := range innocents {
		if !proc.Alive() {
			t.Errorf("an innocent process was killed: %v", proc)
		}
	}
	next := task.Again().Start() // after server contact: a new run
	next.Out.Await(t, "ready")
	if same := procsWhere(func(pid int) bool { return hasEnv(pid, "NOMAD_ALLOC_ID="+task.AllocID+"\x00") }); len(same) != 1 {
		t.Errorf("running: %v", same)
	}
	check(t, next.Destroy(true))
}

func TestC58StartAfterFailedRecovery(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	n.CrashPlugin()
	handle := task.stored()
	handle["driver_state"] = "garbage"
	if _, err := n.P.Call("RecoverTask", M{"handle": handle}); err == nil {
		t.Fatal("garbage was recovered")
	}
	check(t, task.Destroy(true)) // what the agent does then
	next := task.Again()
	next.Config["args"] = []string{"print=once more", "forever"}
	next.Start().Out.Await(t, "once more")
	if all := procsWhere(func(pid int) bool { return hasEnv(pid, "NOMAD_ALLOC_ID="+task.AllocID+"\x00") }); len(all) != 1 {
		t.Errorf("copies after the new start: %v", all)
	}
	check(t, next.Destroy(true))
	n.WantClean()
}

func TestC59RecoverFiftyTasks(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tasks := make([]*Task, 50)
	for i := range tasks {
		tasks[i] = n.NewTask(fmt.Sprint("task", i))
		tasks[i].Config["command"], tasks[i].Config["args"] = "/bin/sleep", []string{"1000"}
	}
	each := func(what func(*Task) error) {
		var wait sync.WaitGroup
		for _, task := range tasks {
			wait.Go(func() {
				if err := what(task); err != nil {
					t.Errorf("%s: %v", task.Name, err)
				}
			})
		}
		wait.Wait()
	}
	each((*Task).TryStart)
	n.CrashPlugin()
	begin := time.Now()
	each((*Task).Recover)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("recovery of 50 took %v", took)
	}
	each(func(task *Task) error { _, err := task.Stop("SIGTERM", time.Second); return err })
	for _, task := range tasks {
		WantResult(t, task.Wait(), 143, 15)
	}
}

// Two builds: the tasks of one are recovered by the other.
func TestC60Upgrade(t *testing.T) {
	t.Parallel()
	old := os.Getenv("AGENT_PLUGIN_OLD")
	if old == "" {
		old = os.Getenv("AGENT_PLUGIN_CRASH")
	}
	if _, err := os.Stat(old); old == "" || err != nil {
		t.Skip("no other build of the plugin (set AGENT_PLUGIN_OLD or AGENT_PLUGIN_CRASH)")
	}
	n := NewNode(t)
	n.Program = old
	n.Start()
	task := liner(n)
	main := task.Main()
	n.P.Stop()
	n.Program = pluginPath()
	n.Start()
	task.MustRecover()
	everythingWorks(t, n, task, main)
}

// laterBuild is a program whose messages have fields that the others do not know.
func laterBuild(t *testing.T, name string) string {
	path := filepath.Join(os.Getenv("AGENT_BIN"), name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no %s in AGENT_BIN", name)
	}
	return path
}

func TestC60LaterShimEarlierDriver(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	n.Config["shim"] = laterBuild(t, "agent-shim-later")
	n.Start()
	task := liner(n)
	main := task.Main()
	n.CrashPlugin()
	task.MustRecover()
	everythingWorks(t, n, task, main)
}

func TestC60LaterDriverEarlierShim(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	n.P.Stop()
	n.Program = laterBuild(t, "nomad-driver-agent-later")
	n.Start()
	task.MustRecover()
	everythingWorks(t, n, task, main)
}

// The launch record is of a version after ours: refused, and left to the driver that wrote it.
func TestC60FutureRecord(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	main := task.Main()
	n.P.Stop()
	records, _ := filepath.Glob(filepath.Join(n.Dir, "state/tasks/*/launch"))
	if len(records) != 1 {
		t.Fatalf("records: %v", records)
	}
	good, err := os.ReadFile(records[0])
	check(t, err)
	check(t, os.WriteFile(records[0], futureRecord(good), 0o600))
	n.Start()
	if err := task.Recover(); err == nil || !strings.Contains(err.Error(), "of a later driver") {
		t.Errorf("RecoverTask: %v", err)
	}
	check(t, task.Destroy(true)) // what the agent does then
	again := task.Again()
	if err := again.TryStart(); err == nil || !strings.Contains(err.Error(), "of a later driver") {
		t.Errorf("StartTask: %v", err)
	}
	if !main.Alive() {
		t.Error("the task died")
	}
	check(t, os.WriteFile(records[0], good, 0o600)) // the driver that wrote it is back
	task.MustRecover()
	check(t, task.Destroy(true))
}

// futureRecord has version 9, and its checksum again.
func futureRecord(record []byte) []byte {
	bytes := slices.Clone(record)
	bytes[8] = 9
	sum := fnv.New64a()
	sum.Write(bytes[:len(bytes)-8])
	binary.LittleEndian.PutUint64(bytes[len(bytes)-8:], sum.Sum64())
	return bytes
}

// An agent of a later version leaves fields in the handle that we do not know.
func TestC60HandleWithUnknownFields(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := liner(n)
	main := task.Main()
	n.CrashPlugin()
	handle := task.stored()
	handle["config"] = append(handle["config"].([]byte), 0xfa, 0x3f, 2, 'h', 'i')
	_, err := n.P.Call("RecoverTask", M{"handle": handle})
	check(t, err)
	everythingWorks(t, n, task, main)
}

func wantSupervisorLoss(t testing.TB, task *Task, procs []Proc) {
	t.Helper()
	reply := task.Wait()
	if reply.Str("err") == "" || !reply.Has("result") || reply.Int("result.exit_code") == 0 {
		t.Errorf("WaitTask after supervisor loss: %v", reply)
	}
	Gone(t, time.Second, procs...)
}

func TestC61SupervisorKilled(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tick := filepath.Join(n.Work, "tick")
	task := n.Run("orphan", "ignore=SIGTERM,SIGHUP", "child", "daemon="+tick)
	Eventually(t, 5*time.Second, "the grandchild", func() bool { _, err := os.Stat(tick); return err == nil })
	procs := task.Procs()
	check(t, syscall.Kill(task.Shim().Pid, syscall.SIGKILL))
	wantSupervisorLoss(t, task, procs)
	check(t, task.Destroy(false))
	next := task.Again().Start()
	next.Out.Await(t, "ready")
	check(t, next.Destroy(true))
	n.WantClean()
}

// The supervisor dies while no driver is there to see it.
func TestC61SupervisorKilledWithoutDriver(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	tick := filepath.Join(n.Work, "tick")
	task := n.Run("orphan", "ignore=SIGTERM,SIGHUP", "daemon="+tick)
	Eventually(t, 5*time.Second, "the grandchild", func() bool { _, err := os.Stat(tick); return err == nil })
	procs := task.Procs()
	shim := task.Shim()
	n.P.Crash()
	check(t, syscall.Kill(shim.Pid, syscall.SIGKILL))
	Gone(t, 5*time.Second, shim)
	n.Start()
	if task.Recover() == nil {
		wantSupervisorLoss(t, task, procs)
	}
	check(t, task.Destroy(true))
	Gone(t, time.Second, procs...)
	next := task.Again().Start()
	next.Out.Await(t, "ready")
	check(t, next.Destroy(true))
	n.WantClean()
}
