package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestC31StartReply(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("task")
	handle := task.Handle
	if handle.Int("version") < 1 || handle.Int("state") != 1 {
		t.Errorf("version %d, state %d", handle.Int("version"), handle.Int("state"))
	}
	config, err := Decode("TaskConfig", []byte(handle.Str("config")))
	check(t, err)
	if config.Str("id") != task.ID || config.Str("alloc_dir") != task.AllocDir || len(config.List("env")) != len(task.Env) {
		t.Errorf("the config is not echoed: %v", config)
	}
	if size := len(handle.Str("driver_state")); size == 0 || size >= 65536 {
		t.Errorf("driver_state of %d bytes", size)
	}
	shown := n.P.Must("InspectTask", M{"task_id": task.ID})
	if shown.Str("task.id") != task.ID || shown.Str("task.name") != "task" || shown.Int("task.state") != 1 ||
		!shown.Has("task.started_at") || shown.Int("task.completed_at.seconds") != -62135596800 || !shown.Has("task.result") {
		t.Errorf("InspectTask: %v", shown)
	}
}

func TestC32KnownIdIsRefused(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("task")
	main := task.Main()
	_, err := n.P.Call("StartTask", M{"task": Encode("TaskConfig", task.message())})
	WantCode(t, "second start", err, codes.AlreadyExists)
	if procs := task.Procs(); len(procs) != 1 || !procs[0].Same(main) {
		t.Errorf("processes: %v", procs)
	}
}

// wantRefused: an error that no restart can help, and nothing of the start remains.
func wantRefused(t testing.TB, task *Task, what string) {
	t.Helper()
	err := task.TryStart()
	if err == nil {
		t.Errorf("%s: started", what)
		check(t, task.Destroy(true))
		return
	}
	switch code := Code(err); code {
	case codes.Unavailable, codes.Canceled, codes.Unknown, codes.OK:
		t.Errorf("%s: code %v: %v", what, code, err)
	}
	if present, recoverable := recoverableDetail(t, err); present && recoverable {
		t.Errorf("%s: marked recoverable: %v", what, err)
	}
	task.N.WantClean()
	for number, target := range Fds(task.N.P.Pid) {
		if strings.HasPrefix(target, task.AllocDir) {
			t.Errorf("%s: the driver still holds %d: %s", what, number, target)
		}
	}
	if _, err := task.N.P.Call("WaitTask", M{"task_id": task.ID}); Code(err) != codes.NotFound {
		t.Errorf("%s: WaitTask afterwards: %v", what, err)
	}
}

// recoverableDetail reads the first detail of the status.
func recoverableDetail(t testing.TB, err error) (present, recoverable bool) {
	t.Helper()
	bytes, e := proto.Marshal(status.Convert(err).Proto())
	check(t, e)
	st, e := Decode("Status", bytes)
	check(t, e)
	if len(st.List("details")) == 0 {
		return false, false
	}
	any := st.List("details")[0].(M)
	if !strings.HasSuffix(any.Str("type_url"), "/hashicorp.nomad.plugins.shared.structs.RecoverableError") {
		t.Errorf("first detail is %q", any.Str("type_url"))
	}
	body, e := Decode("RecoverableError", []byte(any.Str("value")))
	check(t, e)
	if codes.Code(st.Int("code")) != Code(err) {
		t.Errorf("details have code %d, the status %v", st.Int("code"), Code(err))
	}
	return true, body.Bool("recoverable")
}

func TestC33BadConfigLeavesNothing(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	plain := filepath.Join(n.Dir, "plain")
	check(t, os.WriteFile(plain, []byte("no program"), 0o644))
	broken := filepath.Join(n.Dir, "broken")
	check(t, os.WriteFile(broken, []byte("no program"), 0o755))
	for what, change := range map[string]map[string]any{
		"no command":              {"command": nil},
		"empty command":           {"command": ""},
		"command of a wrong type": {"command": 7},
		"missing program":         {"command": "/no/such/program"},
		"not found in PATH":       {"command": "no-such-program-at-all"},
		"not executable":          {"command": plain},
		"not a program":           {"command": broken},
		"a directory":             {"command": n.Dir},
		"args of a wrong type":    {"args": "one"},
		"nil in args":             {"args": []any{"a", nil}},
		"unknown key":             {"comand": "x"},
		"state without path":      {"state": map[string]any{"path": nil}},
		"state of a wrong type":   {"state": "here"},
		"interval not a duration": {"state": map[string]any{"path": "s", "interval": "soon"}},
		"interval negative":       {"state": map[string]any{"path": "s", "interval": "-1s"}},
		"lease without state":     {"lease": map[string]any{"ttl": "5s"}},
		"ttl too short":           {"state": map[string]any{"path": "s"}, "lease": map[string]any{"ttl": "1ms"}},
		"no store anywhere":       {"state": map[string]any{"path": "local/s"}},
		"store of no scheme":      {"state": map[string]any{"path": "local/s", "store": "here"}},
	} {
		task := n.NewTask("task")
		for key, value := range change {
			task.Config[key] = value
		}
		wantRefused(t, task, what)
	}
	for what, more := range map[string]M{
		"no id":                       {"id": ""},
		"no alloc id":                 {"alloc_id": ""},
		"relative alloc dir":          {"alloc_dir": "relative"},
		"unknown user":                {"user": "no-such-user-here"},
		"missing alloc dir":           {"alloc_dir": "/no/such/dir"},
		"missing log FIFO":            {"stdout_path": "/no/such/fifo"},
		"id with NUL":                 {"id": "a\x00b"},
		"name not UTF-8":              {"name": "a\xffb"},
		"garbage for config":          {"msgpack_driver_config": "\xc1\xc1"},
		"truncated config":            {"msgpack_driver_config": "\x82\xa7command"},
		"bomb for config":             {"msgpack_driver_config": "\xdd\xff\xff\xff\xff"},
		"volume outside the task":     {"mounts": []any{M{"task_path": "/x", "host_path": "/tmp"}}},
		"volume that leaves the task": {"mounts": []any{M{"task_path": "local/../../x", "host_path": "/tmp"}}},
		"volume that is not there":    {"mounts": []any{M{"task_path": "local/x", "host_path": "/no/such/volume"}}},
		"device that is not there":    {"devices": []any{M{"task_path": "/dev/x", "host_path": "/dev/no-such"}}},
		"device that is none":         {"devices": []any{M{"task_path": "/dev/x", "host_path": "/etc/passwd"}}},
		"device outside /dev":         {"devices": []any{M{"task_path": "/x", "host_path": "/dev/null"}}},
		"network namespace not there": {"network_isolation_spec": M{"mode": 1, "path": "/run/netns/no-such"}},
	} {
		task := n.NewTask("task")
		task.More = more
		wantRefused(t, task, what)
	}
	long := n.NewTask("task")
	long.Env["LONG"] = strings.Repeat("x", 200<<10) // the kernel takes 128 KiB
	wantRefused(t, long, "an environment variable over the kernel's limit")
	WantResult(t, n.NewTask("good", "exit=0").Start().Wait(), 0, 0)
}

// The transient fault: the plugin may open no more descriptors.
func TestC34TransientFaultIsRecoverable(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	n.P.Must("PluginInfo", M{})
	var old unix.Rlimit
	check(t, unix.Prlimit(n.P.Pid, unix.RLIMIT_NOFILE, nil, &old))
	low := unix.Rlimit{Cur: uint64(slices.Max(append([]int{}, keys(Fds(n.P.Pid))...))) + 1, Max: old.Max}
	check(t, unix.Prlimit(n.P.Pid, unix.RLIMIT_NOFILE, &low, nil))
	task := n.NewTask("task", "exit=7")
	err := task.TryStart()
	check(t, unix.Prlimit(n.P.Pid, unix.RLIMIT_NOFILE, &old, nil))
	if err == nil {
		t.Fatal("started without descriptors")
	}
	if present, recoverable := recoverableDetail(t, err); !present || !recoverable {
		t.Errorf("not marked recoverable: %v", err)
	}
	n.WantClean()
	WantResult(t, task.Again().Start().Wait(), 7, 0)
}

func keys(fds map[int]string) []int {
	var all []int
	for number := range fds {
		all = append(all, number)
	}
	return all
}

func TestC35NoLogReader(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("task", "forever")
	orphan := filepath.Join(n.Dir, "orphan.fifo")
	check(t, syscall.Mkfifo(orphan, 0o600))
	task.More = M{"stdout_path": orphan}
	begin, done := time.Now(), make(chan error, 1)
	go func() { done <- task.TryStart() }()
	for range 5 { // others are served meanwhile
		other := n.NewTask("other", "exit=0")
		WantResult(t, other.Start().Wait(), 0, 0)
		check(t, other.Destroy(false))
	}
	err := <-done
	if took := time.Since(begin); err == nil || took > 10*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
	if present, recoverable := recoverableDetail(t, err); !present || !recoverable {
		t.Errorf("not marked recoverable: %v", err)
	}
	n.WantClean()
}

// The kernel takes 2 MiB of arguments and environment with the usual stack limit, in strings of at
// most 128 KiB; the message is larger than gRPC's usual limit of 4 MiB.
func TestC36LargeEnvironment(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("large", "facts", "exit=0")
	for i := range 18 {
		task.Env[fmt.Sprint("BIG_", i)] = strings.Repeat("e", 100<<10)
	}
	task.More = M{"device_env": Entries(map[string]string{"UNUSED": strings.Repeat("d", 5<<20)})}
	WantResult(t, task.Start().Wait(), 0, 0)
	if got := len(task.Out.String()); got < 18*100<<10 {
		t.Errorf("the agent saw %d bytes", got)
	}
	check(t, task.Destroy(false))
	over := n.NewTask("over")
	for i := range 80 {
		over.Env[fmt.Sprint("BIG_", i)] = strings.Repeat("e", 100<<10)
	}
	wantRefused(t, over, "an environment of 8 MB")
}

type facts struct {
	Env, Args []string
	Cwd       string
	Uid, Gid  int
	Groups    []int
}

func factsOf(t testing.TB, task *Task) facts {
	t.Helper()
	var got facts
	task.Out.Await(t, "\n")
	check(t, json.Unmarshal([]byte(strings.SplitN(task.Out.String(), "\n", 2)[0]), &got))
	return got
}

func TestC37TaskGetsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("exact", "facts", "forever")
	task.Env["QUOTED"] = "a \"b\" 'c' $d ${e}\nnew line \\ ünï"
	task.Env["EMPTY"] = ""
	task.Start()
	got := factsOf(t, task)
	slices.Sort(got.Env)
	var want []string
	for key, value := range task.Env {
		want = append(want, key+"="+value)
	}
	slices.Sort(want)
	if fmt.Sprint(got.Env) != fmt.Sprint(want) {
		t.Errorf("environment:\n%q\nwant:\n%q", got.Env, want)
	}
	if got.Args[0] != stubPath || got.Cwd != filepath.Join(task.AllocDir, task.Name) {
		t.Errorf("args %q, working directory %q", got.Args, got.Cwd)
	}
}

func TestC37User(t *testing.T) {
	t.Parallel()
	nobody, err := user.Lookup("nobody")
	if err != nil || os.Getuid() != 0 {
		t.Skip("needs root and the user nobody")
	}
	n := StartedNode(t)
	task := n.NewTask("exact", "facts", "forever")
	task.More = M{"user": "nobody"}
	task.Start()
	got := factsOf(t, task)
	if fmt.Sprint(got.Uid) != nobody.Uid || fmt.Sprint(got.Gid) != nobody.Gid || slices.Contains(got.Groups, 0) {
		t.Errorf("uid %d, gid %d, groups %v", got.Uid, got.Gid, got.Groups)
	}
	if uids := StatusField(task.Main().Pid, "Uid"); strings.Contains("\t"+uids+"\t", "\t0\t") {
		t.Errorf("uids %s", uids)
	}
}

func TestC37Cgroup(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	if n.cgroup == "" {
		t.Skip("no writable cgroup v2 hierarchy")
	}
	given := filepath.Join(n.cgroup, "given.scope")
	check(t, os.Mkdir(given, 0o755))
	task := n.NewTask("task", "print=ready", "forever")
	task.More = M{"resources": M{"linux_resources": M{"cpuset_cgroup": given}}}
	task.Start().Out.Await(t, "ready")
	inside := textOf(fmt.Sprintf("/proc/%d/cgroup", task.Main().Pid))
	if !strings.Contains(inside, filepath.Base(n.cgroup)+"/given.scope") {
		t.Errorf("the agent is in %s", inside)
	}
	if shim := textOf(fmt.Sprintf("/proc/%d/cgroup", task.Shim().Pid)); strings.Contains(shim, "given.scope") {
		t.Errorf("the shim is in the task's cgroup: %s", shim)
	}
	check(t, task.Destroy(true))
	if below := tree(given); slices.ContainsFunc(below, func(p string) bool { info, e := os.Stat(p); return e == nil && info.IsDir() && p != given }) {
		t.Errorf("sub-cgroups remain: %v", below)
	}
	check(t, os.Remove(given))
}

func TestC38MemoryLimits(t *testing.T) {
	if controllers := textOf(filepath.Join(cgroupRoot(), "cgroup.controllers")); !strings.Contains(controllers, "memory") {
		t.Skipf("no memory controller in cgroup v2 here (%q)", strings.TrimSpace(controllers))
	}
	t.Parallel()
	for _, row := range []struct {
		max       int
		hard, low string
	}{{128, "134217728", "67108864"}, {-1, "max", "67108864"}} {
		n := StartedNode(t)
		task := n.NewTask("task", "print=ready", "forever")
		task.More = M{"resources": M{"allocated_resources": M{"cpu": M{"cpu_shares": 100},
			"memory": M{"memory_mb": 64, "memory_max_mb": row.max}}}}
		task.Start().Out.Await(t, "ready")
		_, path, _ := strings.Cut(textOf(fmt.Sprintf("/proc/%d/cgroup", task.Main().Pid)), "0::")
		dir := filepath.Join(cgroupRoot(), strings.TrimSpace(path))
		if hard, low := textOf(dir+"/memory.max"), textOf(dir+"/memory.low"); strings.TrimSpace(hard) != row.hard || strings.TrimSpace(low) != row.low {
			t.Errorf("max %d: memory.max %s, memory.low %s", row.max, hard, low)
		}
	}
}

// crashNode has a plugin that dies right after it has spawned the shim of the first start.
func crashNode(t testing.TB) *Node {
	t.Helper()
	crash := os.Getenv("AGENT_PLUGIN_CRASH")
	if _, err := os.Stat(crash); crash == "" || err != nil {
		t.Skip("no crash build of the plugin (set AGENT_PLUGIN_CRASH)")
	}
	n := NewNode(t)
	n.Program, n.Env = crash, []string{"AGENT_TEST_CRASH=after-spawn"}
	n.Start()
	return n
}

// crashDuringStart lets the plugin die in StartTask and starts a good one.
func crashDuringStart(t testing.TB, n *Node, task *Task) {
	t.Helper()
	if err := task.TryStart(); err == nil {
		t.Fatal("the crash hook did not fire")
	}
	Eventually(t, 5*time.Second, "the crash", n.P.client.Exited)
	n.Program, n.Env = pluginPath(), nil
	n.Start()
}

// onlyOne waits until exactly one copy runs and it is this task's.
func onlyOne(t testing.TB, n *Node, task *Task, word, effects string) {
	t.Helper()
	task.Out.Await(t, word)
	main := task.Main()
	others := procsWhere(func(pid int) bool {
		return pid != main.Pid && hasEnv(pid, "NOMAD_ALLOC_ID="+task.AllocID+"\x00")
	})
	if len(others) != 0 {
		t.Errorf("beside %v there are %v", main, others)
	}
	if shims := procsWhere(func(pid int) bool {
		proc, _ := ReadProc(pid)
		parent, _ := ReadProc(proc.Parent)
		return proc.Command == n.Config["shim"] && parent.Command != proc.Command && hasFd(pid, n.Dir+"/")
	}); len(shims) > 1 {
		t.Errorf("shims: %v", shims)
	}
	if _, err := os.Stat(effects); err != nil {
		t.Errorf("no effects: %v", err)
	}
}

func TestC39DoubleStartSameId(t *testing.T) {
	t.Parallel()
	n := crashNode(t)
	effects := filepath.Join(n.Work, "effects")
	task := n.NewTask("task", "append="+effects+":begun", "print=ready", "forever")
	crashDuringStart(t, n, task)
	task.Start() // the agent asks again with the same id
	onlyOne(t, n, task, "ready", effects)
	task.MustStop("SIGTERM", time.Second)
	task.Wait()
	check(t, task.Destroy(true))
	n.WantClean()
}

func TestC39DoubleStartNewId(t *testing.T) {
	t.Parallel()
	n := crashNode(t)
	effects := filepath.Join(n.Work, "effects")
	task := n.NewTask("task", "append="+effects+":begun", "print=ready", "forever")
	crashDuringStart(t, n, task)
	next := task.Again() // the agent died as well: it never had a handle
	next.Config["args"] = []string{"append=" + effects + ":again", "print=once more", "forever"}
	next.Start()
	onlyOne(t, n, next, "once more", effects)
	next.MustStop("SIGTERM", time.Second)
	next.Wait()
	check(t, next.Destroy(true))
	n.WantClean()
}
