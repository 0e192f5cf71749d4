package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

func TestC37LimitsV1(t *testing.T) {
	needV1(t, "cpu", "pids", "blkio")
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("bound", "print=ready", "forever")
	task.More = M{"resources": resources(300, 64, 0)}
	task.Config["pids_limit"], task.Config["io_weight"], task.Config["cpu_hard_limit"] = 50, 500, true
	task.Start().Out.Await(t, "ready")
	pid := task.Main().Pid
	for _, row := range [][3]string{{"cpu", "cpu.shares", "300"}, {"pids", "pids.max", "50"}} {
		if got := value(v1Dir(pid, row[0]), row[1]); got != row[2] {
			t.Errorf("%s is %s, want %s", row[1], got, row[2])
		}
	}
	if quota := number(t, value(v1Dir(pid, "cpu"), "cpu.cfs_quota_us")); quota <= 0 || quota%25000 != 0 {
		t.Errorf("a quarter of the node is a quota of %d us", quota)
	}
	weights, _ := filepath.Glob(filepath.Join(v1Dir(pid, "blkio"), "blkio*.weight"))
	if len(weights) == 0 || !strings.HasSuffix(value(weights[0], ""), "50") {
		t.Errorf("weights %v", weights)
	}
	shim := task.Shim().Pid
	for _, controller := range []string{"memory", "cpu", "pids", "blkio"} {
		if v1Dir(shim, controller) == v1Dir(pid, controller) {
			t.Errorf("the shim is in the agent's %s cgroup", controller)
		}
	}
}

func TestC37CoresBecomeAnAffinity(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("pinned", "print=ready", "forever")
	task.More = M{"resources": M{"linux_resources": M{"cpuset_cpus": "1"}}}
	if strings.Contains(textOf(filepath.Join(cgroupRoot(), "cgroup.controllers")), "cpuset") {
		t.Skip("a cpuset controller bounds it here")
	}
	task.Start().Out.Await(t, "ready")
	if got := StatusField(task.Main().Pid, "Cpus_allowed_list"); got != "1" {
		t.Errorf("the agent may run on %s", got)
	}
	if got := StatusField(task.Shim().Pid, "Cpus_allowed_list"); got == "1" {
		t.Error("the shim is pinned too")
	}
}

// prepared makes the directories as Nomad 1.7 and later do before StartTask.
func prepared(t testing.TB, task *Task, mounts map[string]string, cores bool) (cpuset string, dirs map[string]string) {
	t.Helper()
	parent, scope := filepath.Base(task.N.Dir), task.AllocID+"."+task.Name
	cpuset = filepath.Join(mounts["cpuset"], parent, "share")
	if cores {
		cpuset = filepath.Join(mounts["cpuset"], parent, "reserve", scope)
	}
	check(t, os.MkdirAll(cpuset, 0o755))
	fill := func(dir string, files ...string) {
		for _, file := range files {
			check(t, os.WriteFile(filepath.Join(dir, file), []byte(value(mounts["cpuset"], file)), 0o644))
		}
	}
	fill(filepath.Join(mounts["cpuset"], parent), "cpuset.cpus", "cpuset.mems")
	if cores { // which of them is the driver's job
		fill(filepath.Dir(cpuset), "cpuset.cpus", "cpuset.mems")
		fill(cpuset, "cpuset.mems")
	} else {
		fill(cpuset, "cpuset.cpus", "cpuset.mems")
	}
	dirs = map[string]string{}
	for _, controller := range []string{"freezer", "cpu", "memory"} {
		dirs[controller] = filepath.Join(mounts[controller], parent, scope)
		check(t, os.MkdirAll(dirs[controller], 0o755))
	}
	t.Cleanup(func() {
		for _, controller := range []string{"freezer", "cpu", "memory", "cpuset"} {
			all := tree(filepath.Join(mounts[controller], parent))
			for i := range all {
				syscall.Rmdir(all[len(all)-1-i])
			}
		}
	})
	return cpuset, dirs
}

func TestC37NomadsOwnCgroups(t *testing.T) {
	mounts := needV1(t, "cpuset", "cpu", "memory", "freezer")
	t.Parallel()
	for _, cores := range []bool{false, true} {
		n := StartedNode(t)
		task := n.NewTask("given", "print=ready", "forever")
		cpuset, dirs := prepared(t, task, mounts, cores)
		res := resources(200, 64, 128)
		res["linux_resources"].(M)["cpuset_cgroup"] = cpuset
		if cores {
			res["linux_resources"].(M)["cpuset_cpus"] = "0"
		}
		task.More = M{"resources": res}
		task.Start().Out.Await(t, "ready")
		pid := task.Main().Pid
		if got := v1Dir(pid, "cpuset"); got != cpuset {
			t.Errorf("cores %v: in cpuset %s, want %s", cores, got, cpuset)
		}
		for controller, dir := range dirs {
			if got := v1Dir(pid, controller); got != dir {
				t.Errorf("cores %v: in %s, want %s", cores, got, dir)
			}
		}
		if got := value(dirs["memory"], "memory.soft_limit_in_bytes"); got != "67108864" {
			t.Errorf("soft limit %s", got)
		}
		if got := value(cpuset, "cpuset.cpus"); cores && got != "0" || !cores && got != value(mounts["cpuset"], "cpuset.cpus") {
			t.Errorf("cores %v: cpuset.cpus is %s", cores, got)
		}
		check(t, task.Destroy(true))
		for controller, dir := range dirs {
			if procs := value(dir, "cgroup.procs"); procs != "" {
				t.Errorf("%s still holds %s", controller, procs)
			}
			if err := os.Remove(dir); err != nil {
				t.Errorf("Nomad cannot remove its own: %v", err)
			}
		}
	}
}

func TestC38MemoryLimitsV1(t *testing.T) {
	needV1(t, "memory")
	t.Parallel()
	const none = "9223372036854771712"
	for _, row := range []struct {
		max              int
		hard, soft, both string
	}{{0, "67108864", none, "67108864"}, {128, "134217728", "67108864", "134217728"}, {-1, none, "67108864", none}} {
		n := StartedNode(t)
		task := n.NewTask("task", "print=ready", "forever")
		task.More = M{"resources": resources(100, 64, row.max)}
		task.Start().Out.Await(t, "ready")
		dir := v1Dir(task.Main().Pid, "memory")
		got := []string{value(dir, "memory.limit_in_bytes"), value(dir, "memory.soft_limit_in_bytes")}
		if got[0] != row.hard || got[1] != row.soft {
			t.Errorf("max %d: hard %s, soft %s", row.max, got[0], got[1])
		}
		if both := value(dir, "memory.memsw.limit_in_bytes"); both != row.both && !strings.Contains(both, "no such file") {
			t.Errorf("max %d: memory and swap together %s", row.max, both)
		}
	}
}

// A limit that was asked for is an error that names it; Nomad's own are said, or with require_limits an error.
func TestC38LimitsThatCannotBeHad(t *testing.T) {
	needV1(t, "memory", "pids")
	t.Parallel()
	n := NewNode(t)
	n.without("memory", "pids")
	n.Start()
	asked := n.NewTask("asked", "forever")
	asked.Config["pids_limit"] = 10
	err := asked.TryStart()
	WantCode(t, "a pids_limit without a controller", err, codes.InvalidArgument)
	if err == nil || !strings.Contains(err.Error(), "pids_limit") {
		t.Errorf("the key is not named: %v", err)
	}
	n.WantClean()
	plain := n.NewTask("plain", "print=ready", "forever").Start()
	plain.Out.Await(t, "ready")
	Eventually(t, 3*time.Second, "an event that says what is not enforced", func() bool {
		return slices.ContainsFunc(n.Events(), func(text string) bool {
			return strings.Contains(text, "plain: not enforced") && strings.Contains(text, "memory") && !strings.Contains(text, "cpu")
		})
	})
	strict := NewNode(t)
	strict.Config["require_limits"] = true
	strict.without("memory")
	strict.Start()
	refused := strict.NewTask("strict", "forever")
	err = refused.TryStart()
	WantCode(t, "memory without a controller under require_limits", err, codes.InvalidArgument)
	if err == nil || !strings.Contains(err.Error(), "resources.memory") {
		t.Errorf("the limit is not named: %v", err)
	}
	strict.WantClean()
}

func attributes(message M) map[string]string {
	all := map[string]string{}
	for _, item := range message.List("attributes") {
		all[item.(M).Str("key")] = item.(M).Str("value.string_val")
	}
	return all
}

func TestC28AttributeTakenBack(t *testing.T) {
	needV1(t, "memory", "pids")
	t.Parallel()
	n := NewNode(t)
	n.without("memory")
	n.Start()
	stream := n.P.Open("Fingerprint", M{})
	first, err := stream.Next()
	check(t, err)
	got := attributes(first)
	if memory, there := got["driver.agent.cgroup.memory"]; !there || memory != "" || got["driver.agent.cgroup.pids"] != "v1" {
		t.Errorf("attributes: %v", got)
	}
	// Now another one goes, in the plugin's own mount namespace.
	args := append([]string{"-t", fmt.Sprint(n.P.Pid), "-m", "umount"}, allMounts("pids")...)
	out, err := exec.Command("nsenter", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("umount: %v, %s", err, out)
	}
	for end := time.Now().Add(35 * time.Second); ; {
		message, err := stream.Within(time.Until(end))
		if message == nil {
			t.Fatalf("the attribute was not taken back: %v", err)
		}
		if pids, there := attributes(message)["driver.agent.cgroup.pids"]; there && pids == "" {
			return
		}
	}
}

func TestC27HelperOfAnotherVersion(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	shim := filepath.Join(n.Dir, "agent-shim")
	put := func(link string) {
		os.Remove(shim)
		check(t, os.Symlink(link, shim))
	}
	other := filepath.Join(n.Dir, "other")
	check(t, os.WriteFile(other, []byte("#!/bin/sh\necho agent-shim 0.0.1\n"), 0o755))
	put(n.Config["shim"].(string))
	n.Config["shim"] = shim
	n.Start()
	stream := n.P.Open("Fingerprint", M{})
	await := func(health int) M {
		t.Helper()
		for end := time.Now().Add(35 * time.Second); ; {
			message, err := stream.Within(time.Until(end))
			if message == nil {
				t.Fatalf("no message of health %d within a period: %v", health, err)
			}
			if message.Int("health") == health {
				return message
			}
		}
	}
	await(2)
	put(other)
	text := await(1).Str("health_description")
	if !strings.Contains(text, "agent-shim") || strings.ContainsAny(text, "0123456789") {
		t.Errorf("description %q", text)
	}
	put(os.Getenv("AGENT_SHIM"))
	await(2)
}

// Every start of this task makes an event; nobody listens.
func TestC30EventsWithoutAListener(t *testing.T) {
	needV1(t, "memory")
	t.Parallel()
	n := NewNode(t)
	n.without("memory")
	n.P = n.Launch()
	n.P.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "nomad_config": nomadConfig(), "plugin_api_version": "v0.1.0"})
	n.P.Must("Init", M{})
	task := n.NewTask("talker", "forever")
	task.Config["command"], task.Config["args"] = "/bin/sleep", []string{"1000"}
	cycles := func(count int) {
		for range count {
			task.Start()
			check(t, task.Destroy(true))
			n.tasks = n.tasks[:1]
			task.ID = task.AllocID + "/" + task.Name + "/" + hexWord(4)
			task.Out, task.Err = task.read("stdout"), task.read("stderr")
		}
	}
	cycles(100)
	before := rssKB(n.P.Pid)
	cycles(400)
	if after := rssKB(n.P.Pid); after > before+1024 && !sanitized(n.P.Pid) {
		t.Errorf("RSS %d -> %d KB over 400 events", before, after)
	}
	stream := n.P.Open("TaskEvents", M{})
	stale := 0
	for {
		event, _ := stream.Within(500 * time.Millisecond)
		if event == nil {
			break
		}
		stale++
	}
	if stale > 256 {
		t.Errorf("a late listener gets %d events of the past", stale)
	}
}

// sidecarOf finds the sidecar of a task.
func sidecarOf(t testing.TB, task *Task) Proc {
	t.Helper()
	shim := task.Shim().Pid
	found := procsWhere(func(pid int) bool {
		proc, ok := ReadProc(pid)
		return ok && proc.Parent == shim && strings.Contains(proc.Command, "agent-sidecar")
	})
	if len(found) != 1 {
		t.Fatalf("sidecars: %v", found)
	}
	return found[0]
}

func TestC62StatsOfTheParts(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	n := sharing(t, shared)
	task := counting(n, shared, "3s").Start()
	task.Out.Await(t, "begun epoch 1")
	agent, sidecar := task.Main(), sidecarOf(t, task)
	all, _ := samples(t, task, 3, 300*time.Millisecond)
	last := all[2]
	parts := map[string]M{}
	for _, item := range last.List("resource_usage_by_pid") {
		parts[item.(M).Str("key")] = item.(M)["value"].(M)
	}
	one, two := parts[fmt.Sprint(agent.Pid)], parts[fmt.Sprint(sidecar.Pid)]
	if len(parts) != 2 || one == nil || two == nil {
		t.Fatalf("agent %d, sidecar %d, parts %v", agent.Pid, sidecar.Pid, last)
	}
	sum := one.Int("memory.rss") + two.Int("memory.rss")
	if sum == 0 || sum != last.Int("agg_resource_usage.memory.rss") {
		t.Errorf("rss %d + %d is not %d", one.Int("memory.rss"), two.Int("memory.rss"), last.Int("agg_resource_usage.memory.rss"))
	}
	if diff := one.Float("cpu.percent") + two.Float("cpu.percent") - last.Float("agg_resource_usage.cpu.percent"); diff > 0.01 || diff < -0.01 {
		t.Errorf("percent of the parts and of the sum differ by %f", diff)
	}
	if memoryVersion() == 1 {
		if v1Dir(sidecar.Pid, "memory") == v1Dir(agent.Pid, "memory") || !strings.Contains(v1Dir(sidecar.Pid, "memory"), "sidecar-") {
			t.Errorf("the sidecar is counted in %s", v1Dir(sidecar.Pid, "memory"))
		}
		if usage := one.Int("memory.usage"); usage == 0 || usage > 128<<20 || one.Int("memory.max_usage") < usage {
			t.Errorf("usage %d, highest %d", usage, one.Int("memory.max_usage"))
		}
	}
	n.CrashPlugin()
	task.MustRecover()
	again, _ := samples(t, task, 1, time.Second)
	if got := len(again[0].List("resource_usage_by_pid")); got != 2 {
		t.Errorf("after recovery there are %d parts", got)
	}
}

func TestC41OomOfAChild(t *testing.T) {
	if memoryVersion() == 0 {
		t.Skip("no memory controller here")
	}
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("parent", "await-child=mem=200", "print=it is gone", "sleep=1", "exit=0")
	task.More = M{"resources": resources(100, 48, 0)}
	task.Start().Out.Await(t, "it is gone")
	reply := task.Wait()
	WantResult(t, reply, 0, 0)
	if !slices.ContainsFunc(n.Events(), func(text string) bool {
		return strings.Contains(text, "out of memory") && strings.Contains(text, "survived")
	}) {
		t.Errorf("no event tells of the child: %q", n.Events())
	}
}

func TestC41OomBelowAShell(t *testing.T) {
	if memoryVersion() == 0 {
		t.Skip("no memory controller here")
	}
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("shell")
	task.Config["command"], task.Config["args"] = "/bin/sh", []string{"-c", stubPath + " mem=200; exit $?"}
	task.More = M{"resources": resources(100, 48, 0)}
	reply := task.Start().Wait()
	if !reply.Bool("result.oom_killed") || reply.Int("result.exit_code") != 137 {
		t.Errorf("result: %v", reply)
	}
}

// The agent dies of memory; shim and sidecar live to save its state and to say so.
func TestC41OomLeavesTheSupervisors(t *testing.T) {
	if memoryVersion() == 0 {
		t.Skip("no memory controller here")
	}
	t.Parallel()
	shared := t.TempDir()
	n := sharing(t, shared)
	task := n.NewTask("hungry").withState(shared, "3s")
	task.Config["command"], task.Config["args"] = "/bin/sh", []string{"-c", `echo saved >"$AGENT_STATE_DIR/last"; echo ready; exec ` + stubPath + ` sleep=0.3 mem=200`}
	task.More = M{"resources": resources(100, 48, 0)}
	reply := task.Start().Wait()
	if !reply.Bool("result.oom_killed") || reply.Int("result.exit_code") != 137 || reply.Int("result.signal") != 9 || reply.Str("err") != "OOM Killed" {
		t.Errorf("result: %v", reply)
	}
	check(t, task.Destroy(false))
	next := sharing(t, shared).NewTask("hungry").withState(shared, "3s")
	next.Config["command"], next.Config["args"] = "/bin/sh", []string{"-c", `echo "epoch $AGENT_EPOCH $(cat "$AGENT_STATE_DIR/last")"; sleep 1000`}
	next.Start().Out.Await(t, "epoch 2 saved")
}

func TestC41ForkBombUnderAPidsLimit(t *testing.T) {
	if v1Mounts()["pids"] == "" && !strings.Contains(textOf(filepath.Join(cgroupRoot(), "cgroup.controllers")), "pids") {
		t.Skip("no pids controller here")
	}
	t.Parallel()
	shared := t.TempDir()
	n := sharing(t, shared)
	task := n.NewTask("bomb").withState(shared, "3s")
	task.Config["command"], task.Config["args"] = "/bin/sh", []string{"-c", `bomb() { bomb | bomb & }; bomb 2>/dev/null; echo lit; exec sleep 1000`} // a shell that cannot fork would end
	task.Config["pids_limit"] = 40
	task.Start().Out.Await(t, "lit")
	shim, sidecar := task.Shim(), sidecarOf(t, task)
	dir := v1Dir(task.Main().Pid, "pids")
	if v1Mounts()["pids"] == "" {
		dir = v2Dir(task.Main().Pid)
	}
	Eventually(t, 5*time.Second, "the limit is met", func() bool {
		events := textOf(filepath.Join(dir, "pids.events"))
		return strings.HasPrefix(events, "max ") && events != "max 0\n"
	})
	time.Sleep(500 * time.Millisecond) // it has all it can get
	if !shim.Alive() || !sidecar.Alive() {
		t.Errorf("shim alive %v, sidecar alive %v", shim.Alive(), sidecar.Alive())
	}
	n.Run("neighbour")
	if took := task.MustStop("SIGTERM", 2*time.Second); took > 6*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if reply := task.Wait(); reply.Int("result.exit_code") == 0 {
		t.Errorf("result: %v", reply)
	}
}

// What a crash of everything leaves is swept by the next plugin, or cleared by the next start.
func TestC50SweepOfV1Cgroups(t *testing.T) {
	needV1(t, "memory")
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("swept")
	if len(v1Leftovers(n.tasks)) == 0 {
		t.Fatal("the task has no v1 cgroups of ours")
	}
	shim := task.Shim()
	n.P.Crash()
	signalAll([]Proc{shim}, syscall.SIGKILL)
	Gone(t, 2*time.Second, shim)
	n.Start()
	Eventually(t, 3*time.Second, "the sweep", func() bool { return len(v1Leftovers(n.tasks)) == 0 })
}

// A task that makes cgroups below its own, hidden and with processes in them, does not keep itself from
// its next start, whoever of its supervisors is left to clean up.
func TestC50TaskMakesCgroupsBelowItsOwn(t *testing.T) {
	mounts := needV1(t, "memory", "pids", "cpu")
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("nester")
	for round := range 2 {
		main, shim := task.Main(), task.Shim()
		for _, dir := range []string{v1Dir(main.Pid, "pids"), v1Dir(main.Pid, "memory"), v2Dir(main.Pid)} {
			below := filepath.Join(dir, "a", ".hidden", "c", "d", "e", "f", "g", "h", "i", "j")
			check(t, os.MkdirAll(below, 0o755))
			if dir != v2Dir(main.Pid) {
				check(t, os.WriteFile(filepath.Join(below, "cgroup.procs"), []byte(fmt.Sprint(main.Pid)), 0o644))
			}
		}
		if round == 0 { // the plugin is not there when the supervisor dies
			n.P.Crash()
			signalAll([]Proc{shim}, syscall.SIGKILL)
			Gone(t, 2*time.Second, shim, main)
			n.Start()
		} else {
			check(t, task.Destroy(true))
		}
		task = task.Again().Start()
		task.Out.Await(t, "ready")
		if dir := v1Dir(task.Main().Pid, "pids"); !strings.HasPrefix(dir, mounts["pids"]) || len(tree(dir)) == 0 || strings.Contains(dir, "hidden") {
			t.Errorf("round %d: the next run is in %s", round, dir)
		}
	}
	check(t, task.Destroy(true))
	if left := v1Leftovers(n.tasks); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
