package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// lonely waits until the task has no process but its main one, and no cgroup of an exec.
func lonely(t testing.TB, task *Task, limit time.Duration) {
	t.Helper()
	Eventually(t, limit, "the end of everything but the agent", func() bool {
		for _, path := range task.N.Leftovers() {
			if strings.HasPrefix(filepath.Base(path), "exec-") {
				return false
			}
		}
		return len(task.Procs()) == 1 && len(execCgroups(task)) == 0
	})
}

// cgroupOf is the v2 directory of a process.
func cgroupOf(pid int) string {
	for _, line := range strings.Split(textOf(fmt.Sprintf("/proc/%d/cgroup", pid)), "\n") {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return cgroupRoot() + path
		}
	}
	return ""
}

func execCgroups(task *Task) []string {
	found, _ := filepath.Glob(filepath.Join(cgroupOf(task.Main().Pid), "exec-*"))
	return found
}

func TestC66ExecTask(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	reply, err := task.Exec(0, "/bin/sh", "-c", "echo a; echo b >&2; exit 3")
	check(t, err)
	if !reply.Has("result") || reply.Int("result.exit_code") != 3 || reply.Int("result.signal") != 0 ||
		reply.Str("stdout") != "a\nb\n" {
		t.Errorf("got %v", reply)
	}
	if reply, err = task.Exec(0, "/bin/true"); err != nil || !reply.Has("result") || reply.Int("result.exit_code") != 0 {
		t.Errorf("true: %v, %v", reply, err)
	}
	if reply, err = task.Exec(0, "/bin/sh", "-c", "kill -TERM $$"); err != nil || reply.Int("result.exit_code") != 143 || reply.Int("result.signal") != 15 {
		t.Errorf("killed by itself: %v, %v", reply, err)
	}
	begin := time.Now()
	_, err = task.Exec(time.Second, "/bin/sh", "-c", "trap '' TERM INT; setsid sleep 60 & sleep 60")
	WantCode(t, "timeout", err, codes.DeadlineExceeded)
	if took := time.Since(begin); took < time.Second || took > 2*time.Second {
		t.Errorf("a timeout of 1 s took %v", took)
	}
	lonely(t, task, 0)
	if main := task.Main(); !main.Alive() {
		t.Error("the task died")
	}
}

func TestC66ExecTaskRefusesWhatCannotRun(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	for _, row := range []struct {
		what    string
		request M
		want    codes.Code
	}{
		{"nothing", M{}, codes.InvalidArgument},
		{"no command", M{"task_id": task.ID}, codes.InvalidArgument},
		{"empty command", execRequest(task.ID, 0, ""), codes.InvalidArgument},
		{"NUL in the command", execRequest(task.ID, 0, "a\x00b"), codes.InvalidArgument},
		{"unknown task", execRequest("no/such/task", 0, "true"), codes.NotFound},
		{"no such program", execRequest(task.ID, 0, "/no/such/program"), codes.NotFound},
		{"in no PATH", execRequest(task.ID, 0, "no-such-program"), codes.NotFound},
		{"not executable", execRequest(task.ID, 0, "/etc/passwd"), codes.PermissionDenied},
		{"directory", execRequest(task.ID, 0, "/etc"), codes.PermissionDenied},
	} {
		_, err := n.P.Call("ExecTask", row.request)
		WantCode(t, row.what, err, row.want)
	}
	task.MustStop("SIGKILL", 0)
	task.Wait()
	_, err := task.Exec(0, "/bin/true")
	WantCode(t, "ended task", err, codes.FailedPrecondition)
	check(t, task.Destroy(false))
	_, err = task.Exec(0, "/bin/true")
	WantCode(t, "destroyed task", err, codes.NotFound)
}

func TestC66ExecOutputIsBounded(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	reply, err := task.Exec(0, "/bin/sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end")
	check(t, err)
	if out := reply.Str("stdout"); len(out) > 64<<10 || len(out) < 4<<10 || !strings.HasSuffix(out, "x\nthe end\n") {
		t.Errorf("%d bytes, ending %q", len(out), out[max(0, len(out)-20):])
	}
}

func TestC67ExecStreaming(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	for what, first := range map[string]M{
		"without setup": {"stdin": M{"data": "x"}},
		"empty message": {},
		"no command":    {"setup": M{"task_id": task.ID}},
	} {
		talk := n.P.Talk()
		talk.Say(first)
		WantCode(t, what, talk.End(), codes.InvalidArgument)
	}
	talk := n.P.Talk()
	check(t, talk.stream.CloseSend())
	WantCode(t, "closed at once", talk.End(), codes.InvalidArgument)
	talk = n.P.Talk()
	talk.Say(M{"setup": M{"task_id": "no/such/task", "command": list([]string{"true"})}})
	WantCode(t, "unknown task", talk.End(), codes.NotFound)
	WantCode(t, "no such program", task.Talk(false, "/no/such/program").End(), codes.NotFound)

	talk = task.Talk(false, "/bin/sh", "-c", "echo out; echo err >&2; exit 7")
	talk.WantEnd(7, 0)
	if talk.Stdout.String() != "out\n" || talk.Stderr.String() != "err\n" {
		t.Errorf("got %q and %q", talk.Stdout.String(), talk.Stderr.String())
	}
	talk = task.Talk(true, "/bin/sh", "-c", "echo out; echo err >&2; tty >/dev/null; exit $?")
	talk.WantEnd(0, 0)
	if talk.Stdout.String() != "out\r\nerr\r\n" || talk.Stderr.String() != "" {
		t.Errorf("with a terminal: got %q and %q", talk.Stdout.String(), talk.Stderr.String())
	}
	lonely(t, task, time.Second)
}

// Between 100 messages a second and one in a while, both streams arrive whole and in order.
func TestC67ExecStreamsAreWhole(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	script := "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo o$i; echo e$i >&2; done"
	for _, tty := range []bool{false, true} {
		talk := task.Talk(tty, "/bin/sh", "-c", script)
		talk.WantEnd(0, 0)
		var out, errs strings.Builder
		for i := 1; i <= 3000; i++ {
			if tty {
				fmt.Fprintf(&out, "o%d\r\ne%d\r\n", i, i)
			} else {
				fmt.Fprintf(&out, "o%d\n", i)
				fmt.Fprintf(&errs, "e%d\n", i)
			}
		}
		if talk.Stdout.String() != out.String() || talk.Stderr.String() != errs.String() {
			t.Errorf("tty %v: %d and %d bytes, want %d and %d", tty, talk.Stdout.Len(), talk.Stderr.Len(), out.Len(), errs.Len())
		}
	}
}

func TestC68ExecInputAndTerminal(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	talk := task.Talk(false, "/bin/sh", "-c", "cat; echo end")
	talk.Input("one\n")
	talk.Until("one\n")
	talk.Say(M{}) // a heartbeat
	talk.Say(M{"tty_size": M{"height": 10, "width": 20}})
	talk.Say(M{"stdin": M{"data": "two\n", "close": true}})
	talk.WantEnd(0, 0)
	if talk.Stdout.String() != "one\ntwo\nend\n" {
		t.Errorf("got %q", talk.Stdout.String())
	}

	talk = n.P.Talk() // the size may come with the setup, before the command runs
	talk.Say(M{"setup": M{"task_id": task.ID, "tty": true, "command": list([]string{"/bin/sh", "-c",
		"trap 'stty size' WINCH; stty size; echo ready; while ! read line; do :; done; echo \"<$line>\"; cat; echo end"})},
		"tty_size": M{"height": 33, "width": 101}})
	talk.Until("33 101\r\nready\r\n")
	talk.Say(M{"tty_size": M{"height": 40, "width": 120}})
	talk.Until("40 120\r\n")
	talk.Say(M{"tty_size": M{"height": 41, "width": 121}})
	talk.Until("41 121\r\n")
	talk.Input("typed\n")
	talk.Until("<typed>\r\n")
	talk.Say(M{"stdin": M{"data": "half a line", "close": true}})
	talk.WantEnd(0, 0)
	if !strings.HasSuffix(talk.Stdout.String(), "half a lineend\r\n") {
		t.Errorf("got %q", talk.Stdout.String())
	}

	talk = task.Talk(true, "/bin/sleep", "60") // no shell: it may lose a signal between fork and exec
	Eventually(t, 5*time.Second, "the command", func() bool {
		procs := task.Procs()
		return len(procs) == 2 && procs[1].Command == "/bin/sleep 60"
	})
	talk.Input("\x03") // ^C is the terminal's business: it signals the foreground
	talk.WantEnd(130, 2)
	lonely(t, task, time.Second)
}

func TestC68ExecInputThatNobodyReads(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	talk := task.Talk(false, "/bin/sh", "-c", "exec <&-; echo closed; sleep 0.3; echo end")
	talk.Until("closed\n")
	for range 20 {
		talk.Input(strings.Repeat("x", 32<<10))
	}
	talk.WantEnd(0, 0)

	talk = task.Talk(false, "/bin/sh", "-c", "echo ready; sleep 60")
	talk.Until("ready\n")
	before := rssKB(n.P.Pid)
	sent := make(chan int, 1)
	go func() { // until the driver takes no more
		count := 0
		for ; count < 4096; count++ {
			bytes := Encode("ExecTaskStreamingRequest", M{"stdin": M{"data": strings.Repeat("x", 32<<10)}})
			if talk.stream.SendMsg(&bytes) != nil {
				break
			}
		}
		sent <- count
	}()
	time.Sleep(500 * time.Millisecond)
	if grown := rssKB(n.P.Pid) - before; grown > 16<<10 && !sanitized(n.P.Pid) {
		t.Errorf("the driver grew by %d KiB", grown)
	}
	talk.Cancel()
	if count := <-sent; count == 4096 {
		t.Error("128 MiB of input went to a command that reads nothing")
	}
	lonely(t, task, 2*time.Second)
}

func TestC69ExecCancel(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	main := task.Main()
	for _, tty := range []bool{false, true} {
		talk := task.Talk(tty, "/bin/sh", "-c", "trap '' TERM INT HUP; setsid sleep 60 & (sleep 60 & sleep 60) & echo ready; sleep 60")
		talk.Until("ready")
		Eventually(t, 5*time.Second, "all processes of the command", func() bool { return len(task.Procs()) == 6 })
		talk.Cancel()
		lonely(t, task, 2*time.Second)
	}
	for range 20 { // at any moment of the beginning
		talk := task.Talk(false, "/bin/sleep", "60")
		time.Sleep(time.Duration(time.Now().UnixNano()%5) * time.Millisecond)
		talk.Cancel()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	_, err := n.P.CallCtx(ctx, "ExecTask", execRequest(task.ID, 0, "/bin/sleep", "60"))
	cancel()
	if !canceled(err) {
		t.Errorf("a cancelled ExecTask: %v", err)
	}
	lonely(t, task, 2*time.Second)
	if !main.Alive() || !main.Same(task.Main()) {
		t.Error("the task was touched")
	}
	task.Shell("true")
}

func TestC70ExecSlowReader(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	const size = 64 << 20
	talk := task.Talk(false, "/bin/sh", "-c", fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x; echo end", size))
	check(t, talk.Next())
	before, most := rssKB(n.P.Pid), 0
	time.Sleep(500 * time.Millisecond) // the reader stalls
	stalled := rssKB(n.P.Pid) - before
	for slow := 0; ; slow++ {
		if err := talk.Next(); err != nil {
			break
		}
		if slow%200 == 0 {
			most = max(most, rssKB(n.P.Pid)-before)
			time.Sleep(2 * time.Millisecond)
		}
	}
	if len(talk.Exited) != 1 || talk.Stdout.Len() != size+4 || strings.Trim(talk.Stdout.String(), "x") != "end\n" {
		t.Errorf("%d bytes of %d, exited %v", talk.Stdout.Len(), size+4, talk.Exited)
	}
	if max(most, stalled) > 8<<10 && !sanitized(n.P.Pid) {
		t.Errorf("the driver grew by %d KiB while the reader stalled and by %d KiB in all", stalled, most)
	}
	t.Logf("the driver grew by %d KiB (stalled), %d KiB (at most)", stalled, most)
}

// Statement 7 of section 8.5: what the command is surrounded by.
func TestExecSurroundings(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("target", "facts", "print=ready", "forever")
	task.More = M{"user": "nobody"}
	task.Start()
	task.Out.Await(t, "ready")
	main := task.Main()
	talk := task.Talk(false, stubPath, "facts", "forever")
	talk.Until("}\n")
	procs := task.Procs()
	if len(procs) != 2 {
		t.Fatalf("processes: %v", procs)
	}
	command := procs[1]
	for _, kind := range []string{"pid", "mnt", "net", "ipc", "uts", "cgroup", "user"} {
		own, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", main.Pid, kind))
		its, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", command.Pid, kind))
		if own != its || own == "" {
			t.Errorf("namespace %s: %q is not %q", kind, its, own)
		}
	}
	for _, field := range []string{"Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "SigBlk", "SigIgn"} {
		if own, its := StatusField(main.Pid, field), StatusField(command.Pid, field); own != its && field != "SigIgn" {
			t.Errorf("%s: %q is not %q", field, its, own)
		}
	}
	if own, its := textOf(fmt.Sprintf("/proc/%d/limits", main.Pid)), textOf(fmt.Sprintf("/proc/%d/limits", command.Pid)); own != its {
		t.Errorf("limits:\n%s\nare not\n%s", its, own)
	}
	if own, its := textOf(fmt.Sprintf("/proc/%d/oom_score_adj", main.Pid)), textOf(fmt.Sprintf("/proc/%d/oom_score_adj", command.Pid)); own != its {
		t.Errorf("oom_score_adj %q is not %q", its, own)
	}
	if cgroupRoot() != "" && filepath.Dir(cgroupOf(command.Pid)) != cgroupOf(main.Pid) {
		t.Errorf("cgroup %q is not below %q", cgroupOf(command.Pid), cgroupOf(main.Pid))
	}
	facts := talk.Stdout.String()
	own := strings.ReplaceAll(strings.SplitAfter(task.Out.String(), "}\n")[0], `"print=ready",`, "")
	cut := func(text string) string { return text[strings.Index(text, `"cwd"`):strings.Index(text, `"pid"`)] }
	if cut(own) != cut(facts) || !strings.Contains(facts, "CONF_TASK="+task.ID) {
		t.Errorf("facts %s are not %s", facts, own)
	}
	fds := Fds(command.Pid)
	for fd, target := range fds {
		if fd > 2 && !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/sys/fs/cgroup") { // the Go runtime's own
			t.Errorf("descriptor %d: %s", fd, target)
		}
		if strings.HasPrefix(target, task.AllocDir) {
			t.Errorf("descriptor %d: %s of the task's logs", fd, target)
		}
	}
	talk.Cancel()
	lonely(t, task, 2*time.Second)
}

// What relative commands are, and a terminal's TERM.
func TestExecFindsCommands(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("target", "print=ready", "forever")
	for _, place := range []string{"local/both", "both", "local/only-local", "only-task"} {
		check(t, os.WriteFile(filepath.Join(task.AllocDir, "target", place), []byte("#!/bin/sh\necho "+place+" $0\n"), 0o755))
	}
	task.Start()
	task.Out.Await(t, "ready")
	for command, want := range map[string]string{"both": "local/both", "only-local": "local/only-local", "only-task": "only-task", "local/both": "local/both"} {
		reply, err := task.Exec(0, command)
		if err != nil || reply.Str("stdout") != want+" "+task.dir(want)+"\n" {
			t.Errorf("%s: %v, %v", command, reply, err)
		}
	}
	if reply, err := task.Exec(0, "sh", "-c", "pwd; echo TERM=$TERM"); err != nil || reply.Str("stdout") != task.dir("")+"\nTERM=\n" {
		t.Errorf("sh by PATH: %v, %v", reply, err)
	}
	talk := task.Talk(true, "sh", "-c", "echo TERM=$TERM")
	talk.WantEnd(0, 0)
	if talk.Stdout.String() != "TERM=xterm\r\n" {
		t.Errorf("got %q", talk.Stdout.String())
	}
}

// A task with state: the agent's own variables, and nothing of the sidecar's.
func TestExecBesideASidecar(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	n := sharing(t, shared)
	task := counting(n, shared, "3s").Start()
	task.Out.Await(t, "begun epoch 1")
	Eventually(t, 2*time.Second, "the shim's word that the agent runs", func() bool {
		_, err := task.Exec(0, "/bin/true")
		return err == nil
	})
	look := func(when string) {
		out := task.Shell(`echo "$AGENT_NAME $AGENT_EPOCH $AGENT_STATE_DIR $(test -S "$AGENT_API" && echo socket)"; ls /proc/self/fd | wc -l; env | grep -i -e key -e store -e secret=; true`)
		if want := fmt.Sprintf("conformance/agent 1 %s socket\n4\n", task.dir("local/state")); out != want {
			t.Errorf("%s: got %q, want %q", when, out, want)
		}
	}
	look("at first")
	n.CrashPlugin()
	task.MustRecover()
	look("after a recovery")
}

func TestExecIntoAStandbyIsRefused(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	one, two := sharing(t, shared), sharing(t, shared)
	first := counting(one, shared, "3s").Start()
	first.Out.Await(t, "begun epoch 1")
	second := counting(two, shared, "3s").Start()
	standby(t, two, second)
	_, err := second.Exec(0, "/bin/true")
	WantCode(t, "standby", err, codes.FailedPrecondition)
	if err == nil || !strings.Contains(err.Error(), "standby") {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestExecAfterRecovery(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("target", "print=ready", "forever")
	task.More = M{"user": "nobody"}
	task.Start()
	task.Out.Await(t, "ready")
	n.CrashPlugin()
	task.MustRecover()
	out := task.Shell("id -un; pwd; echo $CONF_TASK")
	if want := "nobody\n" + task.dir("") + "\n" + task.ID + "\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	talk := task.Talk(true, "sh", "-c", "read line; echo \"got $line\"")
	talk.Input("a line\n")
	talk.WantEnd(0, 0)
	lonely(t, task, time.Second)
}

// Nothing of an exec outlives the driver; what a helper that died too has left goes at the recovery.
func TestExecEndsWithTheDriver(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	const script = "trap '' TERM HUP; setsid sleep 60 & echo ready; sleep 60"
	talk := task.Talk(true, "/bin/sh", "-c", script)
	talk.Until("ready")
	n.P.Crash()
	lonely(t, task, 2*time.Second)
	n.Start()
	task.MustRecover()

	talk = task.Talk(false, "/bin/sh", "-c", script)
	talk.Until("ready")
	Eventually(t, 2*time.Second, "the command's second child", func() bool { return len(task.Procs()) == 4 })
	helpers := procsWhere(func(pid int) bool {
		proc, ok := ReadProc(pid)
		return ok && proc.Parent == n.P.Pid && strings.Contains(proc.Command, "shim") && proc.Pid != task.Shim().Pid
	})
	if len(helpers) != 1 {
		t.Fatalf("helpers: %v", helpers)
	}
	syscall.Kill(n.P.Pid, syscall.SIGSTOP) // so that it cannot clear up
	signalAll(helpers, syscall.SIGKILL)
	n.P.Crash()
	Eventually(t, 2*time.Second, "the death of the command itself", func() bool { return len(task.Procs()) == 3 })
	n.Start()
	task.MustRecover()
	lonely(t, task, time.Second)
	task.Shell("true")
}

// A helper that dies alone takes its command along, and the driver says so.
func TestExecHelperDies(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	talk := task.Talk(false, "/bin/sh", "-c", "setsid sleep 60 & echo ready; sleep 60")
	talk.Until("ready")
	signalAll(procsWhere(func(pid int) bool {
		proc, ok := ReadProc(pid)
		return ok && proc.Parent == n.P.Pid && pid != task.Shim().Pid
	}), syscall.SIGKILL)
	WantCode(t, "helper killed", talk.End(), codes.Internal)
	lonely(t, task, time.Second)
}

func TestExecEndsWithTheTask(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for name, end := range map[string]func(task *Task){
		"stop":    func(task *Task) { task.MustStop("SIGTERM", 5*time.Second) },
		"kill":    func(task *Task) { syscall.Kill(task.Main().Pid, syscall.SIGKILL) },
		"destroy": func(task *Task) { check(t, task.Destroy(true)) },
		"shim":    func(task *Task) { syscall.Kill(task.Shim().Pid, syscall.SIGKILL) },
	} {
		task := n.NewTask(name, "trap=SIGTERM:0", "print=ready", "forever").Start()
		task.Out.Await(t, "ready")
		talk := task.Talk(false, "/bin/sh", "-c", "trap '' TERM; setsid sleep 60 & echo ready; sleep 60")
		talk.Until("ready")
		end(task)
		begin := time.Now()
		talk.WantEnd(137, 9)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s: the exec ended %v later", name, took)
		}
		Eventually(t, 2*time.Second, name+": the end of all", func() bool { return len(task.Procs()) == 0 })
	}
}

func TestExecLimit(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task, other := n.Run("target"), n.Run("other")
	var talks []*Talk
	for range 32 {
		talk := task.Talk(false, "/bin/sh", "-c", "echo ready; read line")
		talk.Until("ready")
		talks = append(talks, talk)
	}
	_, err := task.Exec(0, "/bin/true")
	WantCode(t, "one more", err, codes.FailedPrecondition)
	other.Shell("true")
	talks[0].Input("go\n")
	talks[0].WantEnd(0, 0)
	task.Shell("true")
	for _, talk := range talks[1:] {
		talk.Cancel()
	}
	lonely(t, task, 2*time.Second)
}

// C74 for execs: one into a frozen task waits for the thaw, and everybody else is served meanwhile.
func TestC74ExecIntoAFrozenTask(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task, other := n.Run("frozen"), n.Run("other")
	freezer := filepath.Join(cgroupOf(task.Main().Pid), "cgroup.freeze")
	if n.cgroup == "" || os.WriteFile(freezer, []byte("1"), 0o644) != nil {
		t.Skip("no cgroup v2 to freeze")
	}
	done := make(chan error, 1)
	go func() { _, err := task.Exec(0, "/bin/true"); done <- err }()
	abandoned := task.Talk(false, "/bin/sleep", "60")
	for range 5 {
		begin := time.Now()
		other.Shell("true")
		n.P.Must("InspectTask", M{"task_id": task.ID})
		if took := time.Since(begin); took > time.Second {
			t.Errorf("other calls took %v", took)
		}
	}
	abandoned.Cancel()
	select {
	case err := <-done:
		t.Errorf("an exec in a frozen task ended: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	check(t, os.WriteFile(freezer, []byte("0"), 0o644))
	select {
	case err := <-done:
		check(t, err)
	case <-time.After(5 * time.Second):
		t.Error("an exec did not go on after the thaw")
	}
	lonely(t, task, 2*time.Second)
}

// A session that says nothing is kept alive by empty messages, by which an agent learns that its
// user has gone.
func TestExecHeartbeat(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	talk := task.Talk(false, "/bin/sh", "-c", "sleep 11; echo end")
	begin := time.Now()
	talk.WantEnd(0, 0)
	if talk.Beat != 1 {
		t.Errorf("%d heartbeats in %v", talk.Beat, time.Since(begin))
	}
}

// Many at once, and again and again: nothing is left, and nothing grows.
func TestExecManyTimes(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("target")
	round := func() {
		var wait sync.WaitGroup
		for i := range 16 {
			wait.Go(func() {
				reply, err := task.Exec(10*time.Second, "/bin/sh", "-c", fmt.Sprintf("echo %d", i))
				if err != nil || reply.Str("stdout") != fmt.Sprintf("%d\n", i) {
					t.Errorf("%v, %v", reply, err)
				}
			})
		}
		wait.Wait()
	}
	for range 3 {
		round()
	}
	lonely(t, task, 2*time.Second)
	fds, rss := len(Fds(n.P.Pid)), rssKB(n.P.Pid)
	begin := time.Now()
	for range 12 {
		round()
	}
	t.Logf("%d execs a second", int(192/time.Since(begin).Seconds()))
	lonely(t, task, 2*time.Second)
	Eventually(t, 2*time.Second, "the former number of descriptors", func() bool { return len(Fds(n.P.Pid)) <= fds })
	if grown := rssKB(n.P.Pid) - rss; grown > 2<<10 && !sanitized(n.P.Pid) {
		t.Errorf("the driver grew by %d KiB", grown)
	}
	zombies := procsWhere(func(pid int) bool { proc, _ := ReadProc(pid); return proc.Parent == n.P.Pid && proc.State == "Z" })
	if len(zombies) > 0 {
		t.Errorf("zombies: %v", zombies)
	}
	if main := task.Main(); slices.ContainsFunc(task.Procs(), func(p Proc) bool { return !p.Same(main) }) {
		t.Error("something is left")
	}
}
