package conformance

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// samples collects n messages of a TaskStats stream and when they came.
func samples(t testing.TB, task *Task, count int, interval time.Duration) ([]M, []time.Time) {
	t.Helper()
	stream := task.N.P.Open("TaskStats", M{"task_id": task.ID, "collection_interval": duration(interval)})
	defer stream.Cancel()
	var all []M
	var at []time.Time
	for range count {
		message, err := stream.Next()
		check(t, err)
		all, at = append(all, message["stats"].(M)), append(at, time.Now())
	}
	return all, at
}

func TestC62StatsSamples(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	const interval = 400 * time.Millisecond
	begin := time.Now()
	all, at := samples(t, task, 4, interval)
	if took := at[0].Sub(begin); took > time.Second {
		t.Errorf("the first sample took %v", took)
	}
	for i, sample := range all {
		for _, field := range []string{"id", "timestamp.seconds", "agg_resource_usage.cpu", "agg_resource_usage.memory.rss"} {
			if !sample.Has(field) {
				t.Errorf("sample %d has no %s: %v", i, field, sample)
			}
		}
		measured := sample.List("agg_resource_usage.memory.measured_fields")
		for number, field := range []string{"rss", "cache", "max_usage", "kernel_usage", "kernel_max_usage", "usage", "swap"} {
			if sample.Int("agg_resource_usage.memory."+field) != 0 && !slices.Contains(measured, any(number)) {
				t.Errorf("%s has a value and is not in measured_fields %v", field, measured)
			}
		}
		if sample.Str("id") != task.ID {
			t.Errorf("id %q", sample.Str("id"))
		}
		if len(sample.List("agg_resource_usage.cpu.measured_fields")) == 0 {
			t.Errorf("no measured CPU field: %v", sample)
		}
	}
	if spread := at[3].Sub(at[0]); spread < 3*interval*8/10 || spread > 3*interval*12/10 {
		t.Errorf("3 intervals of %v took %v", interval, spread)
	}
}

// cpuTime is what the kernel has counted for a process.
func cpuTime(pid int) time.Duration {
	text := textOf(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// The right answer is what the kernel counted meanwhile, since other tests share the machine.
func TestC63StatsFollowTheLoad(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("busy", "mem=100", "print=ready", "burn=60").Start()
	task.Out.Await(t, "ready")
	pid := task.Main().Pid
	stream := n.P.Open("TaskStats", M{"task_id": task.ID, "collection_interval": duration(500 * time.Millisecond)})
	defer stream.Cancel()
	_, err := stream.Next()
	check(t, err)
	begin, used := time.Now(), cpuTime(pid)
	sum, last := 0.0, M{}
	const count = 6
	for range count {
		message, err := stream.Next()
		check(t, err)
		last = message["stats"].(M)
		sum += last.Float("agg_resource_usage.cpu.percent")
	}
	want := 100 * float64(cpuTime(pid)-used) / float64(time.Since(begin))
	if got := sum / count; got < want*0.85-3 || got > want*1.15+3 {
		t.Errorf("percent %.1f, the kernel says %.1f", got, want)
	}
	if rss := last.Int("agg_resource_usage.memory.rss"); rss < 100<<20 || rss > 160<<20 {
		t.Errorf("rss %d after 100 MiB", rss)
	}
}

// What is executed in the task is in a cgroup below the task's, and in its figures.
func TestC63StatsCountExecs(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("task")
	talk := task.Talk(false, stubPath, "mem=80", "print=has it", "forever")
	defer talk.Cancel()
	talk.Until("has it")
	all, _ := samples(t, task, 1, time.Second)
	if rss := all[0].Int("agg_resource_usage.memory.rss"); rss < 80<<20 || rss > 160<<20 {
		t.Errorf("rss %d while an exec has 80 MiB", rss)
	}
}

func TestC64StatsOfNoTask(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	if message, err := n.P.Open("TaskStats", M{"task_id": "no/such/task"}).Next(); Code(err) != codes.NotFound {
		t.Errorf("unknown task: %v, %v", message, err)
	}
	task := n.NewTask("brief", "exit=0").Start()
	task.Wait()
	stream := n.P.Open("TaskStats", M{"task_id": task.ID, "collection_interval": duration(100 * time.Millisecond)})
	message, err := stream.Within(500 * time.Millisecond)
	if message != nil && (!message.Has("stats.agg_resource_usage") || !message.Has("stats.timestamp")) {
		t.Errorf("malformed sample: %v, %v", message, err)
	}
}

func TestC64StatsEndWithTheTask(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	gate := n.Work + "/gate"
	task := n.NewTask("ending", "await="+gate, "exit=0").Start()
	stream := n.P.Open("TaskStats", M{"task_id": task.ID, "collection_interval": duration(50 * time.Millisecond)})
	_, err := stream.Next()
	check(t, err)
	check(t, os.WriteFile(gate, nil, 0o644))
	task.Wait()
	for {
		message, err := stream.Within(time.Second)
		if message == nil {
			if err != nil && Code(err) != codes.NotFound && err.Error() != "EOF" {
				t.Errorf("end of the stream: %v", err)
			}
			break
		}
		if !message.Has("stats.agg_resource_usage") || !message.Has("stats.timestamp") {
			t.Errorf("malformed sample: %v", message)
		}
	}
}

func TestC65Signals(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("notes", "note=SIGHUP,SIGUSR1,SIGUSR2")
	for _, name := range []string{"SIGHUP", "SIGUSR1", "SIGUSR2"} {
		check(t, task.Signal(name))
		task.Out.Await(t, "got "+name+"\n")
	}
	WantCode(t, "unknown signal", task.Signal("SIGNONE"), codes.InvalidArgument)
	_, err := n.P.Call("SignalTask", M{"task_id": "no/such/task", "signal": "SIGHUP"})
	WantCode(t, "unknown task", err, codes.NotFound)
	if !task.Main().Alive() {
		t.Error("the task died")
	}
}

// Exec is declared; networks are declared absent in this release.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	capabilities := n.P.Must("Capabilities", M{})
	if !capabilities.Has("capabilities") || !capabilities.Bool("capabilities.exec") || capabilities.Bool("capabilities.must_create_network") {
		t.Errorf("capabilities: %v", capabilities)
	}
	if !capabilities.Bool("capabilities.send_signals") || capabilities.Int("capabilities.fs_isolation") != 0 {
		t.Errorf("capabilities: %v", capabilities)
	}
	for _, name := range []string{"CreateNetwork", "DestroyNetwork"} {
		_, err := n.P.Call(name, M{})
		WantCode(t, name, err, codes.Unimplemented)
	}
}
