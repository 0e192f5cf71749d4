package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownLogsNode has a plugin whose shims write the log files: no collector, and so no FIFO.
func ownLogsNode(t *testing.T) *Node {
	n := NewNode(t)
	n.Config["log_collection"] = "shim"
	n.Start()
	if message, err := n.P.Open("Fingerprint", M{}).Next(); err != nil || attributes(message)["driver.agent.log_collection"] != "shim" {
		t.Errorf("no attribute to constrain on: %v, %v", message, err)
	}
	if !n.P.Must("Capabilities", M{}).Bool("capabilities.disable_log_collection") {
		t.Fatal("the agent would start a log process")
	}
	return n
}

func (t *Task) withoutFifos() *Task {
	t.closeLogs()
	os.Remove(t.fifo("stdout"))
	os.Remove(t.fifo("stderr"))
	return t
}

func (t *Task) logFile(name string) string {
	return textOf(filepath.Join(t.AllocDir, "alloc", "logs", name))
}

func scribes(n *Node) []Proc {
	return procsWhere(func(pid int) bool {
		return strings.TrimSpace(textOf(fmt.Sprintf("/proc/%d/comm", pid))) == "agent-scribe" && hasFd(pid, n.Dir+"/")
	})
}

func TestL01LogsWithoutALogProcess(t *testing.T) {
	t.Parallel()
	n := ownLogsNode(t)
	task := n.NewTask("talker", "print=hello", "eprint=oh no", "exit=0").withoutFifos().Start()
	WantResult(t, task.Wait(), 0, 0)
	if out, err := task.logFile("talker.stdout.0"), task.logFile("talker.stderr.0"); out != "hello\n" || err != "oh no\n" {
		t.Errorf("stdout %q, stderr %q", out, err)
	}
	check(t, task.Destroy(false))
	again := task.Again().withoutFifos().Start()
	again.Wait()
	if out := task.logFile("talker.stdout.0"); out != "hello\nhello\n" {
		t.Errorf("after a restart: %q", out)
	}
}

func TestL02LogsOutliveScribeAndPlugin(t *testing.T) {
	t.Parallel()
	n := ownLogsNode(t)
	task := n.NewTask("counter")
	task.Config["command"] = "/bin/sh"
	task.Config["args"] = []string{"-c", "i=0; while [ $i -lt 20000 ]; do echo n $i; i=$((i+1)); done; sleep 1000"}
	task.withoutFifos().Start()
	last := 0
	for i := range 5 {
		var found []Proc
		Eventually(t, 5*time.Second, "the next scribe", func() bool {
			found = scribes(n)
			return len(found) == 1 && found[0].Pid != last
		})
		last = found[0].Pid
		check(t, syscall.Kill(last, syscall.SIGKILL))
		if i == 2 {
			n.CrashPlugin()
			check(t, task.Recover())
		}
	}
	Eventually(t, 10*time.Second, "the last line", func() bool {
		return strings.HasSuffix(task.logFile("counter.stdout.0"), "n 19999\n")
	})
	lines := strings.Split(task.logFile("counter.stdout.0"), "\n")
	for i := range 20000 {
		if lines[i] != fmt.Sprint("n ", i) {
			t.Fatalf("line %d is %q", i, lines[i])
		}
	}
}

func TestL03LogLimitsOfTheJob(t *testing.T) {
	t.Parallel()
	n := ownLogsNode(t)
	task := n.NewTask("big")
	task.Config["command"], task.Config["args"] = "/usr/bin/head", []string{"-c", "4500000", "/dev/zero"}
	task.Config["logs"] = map[string]any{"max_files": 2, "max_file_size": 1}
	task.withoutFifos().Start().Wait()
	var sizes []string
	for _, path := range tree(filepath.Join(task.AllocDir, "alloc", "logs")) {
		if info, err := os.Stat(path); err == nil && strings.Contains(path, "stdout") {
			sizes = append(sizes, fmt.Sprint(filepath.Base(path), " ", info.Size()))
		}
	}
	if got := strings.Join(sizes, ", "); got != "big.stdout.3 1000000, big.stdout.4 500000" {
		t.Errorf("files: %s", got)
	}
}

func TestL04LogsBlockWhereNomadCollects(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("hopeful")
	task.Config["logs"] = map[string]any{"max_files": 2, "max_file_size": nil}
	err := task.TryStart()
	if err == nil || !strings.Contains(err.Error(), "logs: Nomad collects the logs of this node") {
		t.Errorf("start: %v", err)
	}
	task.closeLogs()
}

// A task that owns what stands in the way: nothing outside of the allocation is written.
func TestL05LogsFollowNoLinkOfATask(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to run a task as another user")
	}
	t.Parallel()
	n := ownLogsNode(t)
	victim := filepath.Join(n.Dir, "victim")
	check(t, os.MkdirAll(victim, 0o777))
	task := n.NewTask("sly", "print=one", "exit=0")
	task.More = M{"user": "nobody"}
	logs := filepath.Join(task.AllocDir, "alloc", "logs")
	check(t, os.Chmod(filepath.Dir(logs), 0o777))
	task.withoutFifos()
	check(t, os.Rename(logs, logs+".old"))
	check(t, os.Symlink(victim, logs))
	check(t, os.Lchown(logs, 65534, 65534))
	if err := task.TryStart(); err == nil || !strings.Contains(err.Error(), `"logs" is not a directory`) {
		t.Errorf("start: %v", err)
	}
	check(t, os.Remove(logs))
	check(t, os.Rename(logs+".old", logs))
	check(t, os.Symlink(filepath.Join(victim, "x"), filepath.Join(logs, "sly.stdout.0")))
	task.Start().Wait()
	if left := tree(victim); len(left) > 1 {
		t.Errorf("written outside: %v", left)
	}
	if got := task.logFile("sly.stdout.1"); got != "one\n" {
		t.Errorf("the log is %q", got)
	}
}
