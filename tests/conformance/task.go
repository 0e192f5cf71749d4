package conformance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Task is one task of an allocation of its own, with log readers as Nomad's collector has them.
type Task struct {
	N        *Node
	ID       string
	Name     string
	AllocID  string
	AllocDir string
	Config   map[string]any    // the job's config block, every key present as Nomad sends it
	Env      map[string]string // the whole environment
	More     M                 // further fields of TaskConfig
	Out, Err *Log
	Handle   M
}

// NewTask prepares an allocation whose task runs the stub with these steps; it starts nothing.
func (n *Node) NewTask(name string, steps ...string) *Task {
	n.T.Helper()
	word := hexWord(16)
	return n.taskOf(fmt.Sprintf("%s-%s-%s-%s-%s", word[:8], word[8:12], word[12:16], word[16:20], word[20:]), name, steps)
}

// Beside prepares a further task of the same allocation.
func (t *Task) Beside(name string, steps ...string) *Task {
	t.N.T.Helper()
	return t.N.taskOf(t.AllocID, name, steps)
}

func (n *Node) taskOf(alloc, name string, steps []string) *Task {
	n.T.Helper()
	t := &Task{N: n, Name: name, AllocID: alloc, AllocDir: filepath.Join(n.Dir, "a", alloc)}
	t.Config = map[string]any{"command": stubPath, "args": steps, "state": nil, "lease": nil,
		"pids_limit": nil, "memory_swap_mb": nil, "memory_swappiness": nil, "io_weight": nil, "cpu_hard_limit": nil,
		"read_paths": []any{filepath.Dir(stubPath)}, "write_paths": []any{n.Work}}
	for _, dir := range []string{"alloc/logs", "alloc/tmp", "alloc/data", name + "/local", name + "/secrets",
		name + "/private", name + "/tmp"} {
		check(n.T, os.MkdirAll(filepath.Join(t.AllocDir, dir), 0o777))
	}
	for _, stream := range []string{"stdout", "stderr"} {
		check(n.T, syscall.Mkfifo(t.fifo(stream), 0o600))
	}
	t.newRun()
	t.Out, t.Err = t.read("stdout"), t.read("stderr")
	n.tasks = append(n.tasks, t)
	return t
}

// newRun gives the task a new id, as every start and restart does.
func (t *Task) newRun() {
	t.ID = t.AllocID + "/" + t.Name + "/" + hexWord(4)
	t.Env = map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin", "CONF_TASK": t.ID,
		"NOMAD_ALLOC_DIR": filepath.Join(t.AllocDir, "alloc"), "NOMAD_TASK_DIR": t.dir("local"),
		"NOMAD_SECRETS_DIR": t.dir("secrets"), "NOMAD_ALLOC_ID": t.AllocID, "NOMAD_ALLOC_INDEX": "0",
		"NOMAD_TASK_NAME": t.Name, "NOMAD_REGION": "global"}
}

// Again is the next run of the same task: same allocation and directories, new id. As Nomad's
// collector does, a reader that has not seen the end goes on reading.
func (t *Task) Again() *Task {
	next := *t
	next.Handle = nil
	next.newRun()
	for end := time.Now().Add(300 * time.Millisecond); !(t.Out.EOF() && t.Err.EOF()) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if t.Out.EOF() {
		next.Out = t.read("stdout")
	}
	if t.Err.EOF() {
		next.Err = t.read("stderr")
	}
	t.N.tasks = append(t.N.tasks, &next)
	return &next
}

func (t *Task) dir(name string) string { return filepath.Join(t.AllocDir, t.Name, name) }
func (t *Task) fifo(stream string) string {
	return filepath.Join(t.AllocDir, "alloc", "logs", "."+t.Name+"."+stream+".fifo")
}

// read is the collector's reader of one FIFO: blocked in open until somebody writes.
func (t *Task) read(stream string) *Log {
	log := &Log{}
	path := t.fifo(stream)
	go func() {
		file, err := os.OpenFile(path, os.O_RDONLY, 0)
		if err != nil {
			return
		}
		defer file.Close()
		log.Write(nil)
		file.WriteTo(log)
		log.mu.Lock()
		log.eof = true
		log.mu.Unlock()
	}()
	return log
}

// closeLogs releases readers that nobody has written to.
func (t *Task) closeLogs() {
	for _, stream := range []string{"stdout", "stderr"} {
		if fd, err := syscall.Open(t.fifo(stream), syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0); err == nil {
			syscall.Close(fd)
		}
	}
}

// message is the TaskConfig an agent sends.
func (t *Task) message() M {
	m := M{
		"id": t.ID, "name": t.Name, "msgpack_driver_config": Pack(t.Config), "env": Entries(t.Env),
		"resources": M{
			"allocated_resources": M{"cpu": M{"cpu_shares": 100}, "memory": M{"memory_mb": 128}},
			"linux_resources":     M{"cpu_shares": 100, "memory_limit_bytes": 128 << 20, "percent_ticks": 0.025}},
		"alloc_dir": t.AllocDir, "stdout_path": t.fifo("stdout"), "stderr_path": t.fifo("stderr"),
		"task_group_name": "group", "job_name": "job", "alloc_id": t.AllocID, "job_id": "job",
		"namespace": "default", "node_name": "node", "node_id": "11111111-2222-3333-4444-555555555555",
	}
	maps.Copy(m, t.More)
	return m
}

// TryStart starts the task and keeps its handle.
func (t *Task) TryStart() error {
	reply, err := t.N.P.Call("StartTask", M{"task": Encode("TaskConfig", t.message())})
	if err == nil {
		t.Handle = reply["handle"].(M)
	}
	return err
}

// Start starts the task, which must work.
func (t *Task) Start() *Task {
	t.N.T.Helper()
	if err := t.TryStart(); err != nil {
		t.N.T.Fatalf("StartTask: %v", err)
	}
	return t
}

// Run prepares and starts a task whose last step before it stays is to say "ready".
func (n *Node) Run(name string, steps ...string) *Task {
	n.T.Helper()
	t := n.NewTask(name, append(steps, "print=ready", "forever")...).Start()
	t.Out.Await(n.T, "ready")
	return t
}

// stored is the handle as the agent's database gives it back: without the job's config block.
func (t *Task) stored() M {
	config, err := Decode("TaskConfig", []byte(t.Handle.Str("config")))
	check(t.N.T, err)
	delete(config, "msgpack_driver_config")
	handle := maps.Clone(t.Handle)
	handle["config"] = Encode("TaskConfig", config)
	return handle
}

// Recover asks the present plugin to take the task over.
func (t *Task) Recover() error {
	_, err := t.N.P.Call("RecoverTask", M{"handle": t.stored()})
	return err
}

// MustRecover is a recovery that may not fail.
func (t *Task) MustRecover() {
	t.N.T.Helper()
	if err := t.Recover(); err != nil {
		t.N.T.Fatalf("RecoverTask: %v", err)
	}
}

// Wait gives the task's result, which must come in time.
func (t *Task) Wait() M {
	t.N.T.Helper()
	reply, err := t.N.P.Call("WaitTask", M{"task_id": t.ID})
	if err != nil {
		t.N.T.Fatalf("WaitTask: %v", err)
	}
	return reply
}

// waiter is a WaitTask that is under way.
type waiter struct {
	reply  M
	err    error
	done   chan struct{}
	cancel context.CancelFunc
}

// WaitAsync begins a WaitTask without deadline.
func (t *Task) WaitAsync() *waiter {
	ctx, cancel := context.WithCancel(context.Background())
	w := &waiter{done: make(chan struct{}), cancel: cancel}
	p := t.N.P
	go func() {
		w.reply, w.err = p.CallCtx(ctx, "WaitTask", M{"task_id": t.ID})
		close(w.done)
	}()
	return w
}

// Ended tells whether the call has returned.
func (w *waiter) Ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// Result waits for the end of the call.
func (w *waiter) Result(t testing.TB, limit time.Duration) (M, error) {
	t.Helper()
	select {
	case <-w.done:
		return w.reply, w.err
	case <-time.After(limit):
		t.Fatalf("WaitTask did not return within %v", limit)
		return nil, nil
	}
}

// Stop asks for a stop and gives the time it took.
func (t *Task) Stop(signal string, timeout time.Duration) (time.Duration, error) {
	begin := time.Now()
	_, err := t.N.P.Call("StopTask", M{"task_id": t.ID, "signal": signal, "timeout": duration(timeout)})
	return time.Since(begin), err
}

// MustStop is a stop that may not fail.
func (t *Task) MustStop(signal string, timeout time.Duration) time.Duration {
	t.N.T.Helper()
	took, err := t.Stop(signal, timeout)
	if err != nil {
		t.N.T.Fatalf("StopTask: %v", err)
	}
	return took
}

// Destroy destroys the task.
func (t *Task) Destroy(force bool) error {
	_, err := t.N.P.Call("DestroyTask", M{"task_id": t.ID, "force": force})
	return err
}

// Signal sends a signal by name.
func (t *Task) Signal(name string) error {
	_, err := t.N.P.Call("SignalTask", M{"task_id": t.ID, "signal": name})
	return err
}

// Procs lists the agent's processes, the main one first; neither shim nor sidecar.
func (t *Task) Procs() []Proc {
	return procsWhere(func(pid int) bool { return hasEnv(pid, "CONF_TASK="+t.ID+"\x00") })
}

// Main is the agent's main process.
func (t *Task) Main() Proc {
	t.N.T.Helper()
	procs := t.Procs()
	if len(procs) == 0 {
		t.N.T.Fatalf("no process of task %s", t.Name)
	}
	return procs[0]
}

// Shim is the supervisor: the parent of the main process.
func (t *Task) Shim() Proc {
	t.N.T.Helper()
	shim, ok := ReadProc(t.Main().Parent)
	if !ok || !strings.Contains(shim.Command, "shim") {
		t.N.T.Fatalf("parent of the agent is %v, not a shim", shim)
	}
	return shim
}

func duration(d time.Duration) M {
	return M{"seconds": int(d / time.Second), "nanos": int(d % time.Second)}
}

// WantResult fails unless a WaitTask reply says exactly this, with no error text.
func WantResult(t testing.TB, reply M, code, signal int) {
	t.Helper()
	if !reply.Has("result") || reply.Int("result.exit_code") != code || reply.Int("result.signal") != signal ||
		reply.Bool("result.oom_killed") || reply.Str("err") != "" {
		t.Errorf("WaitTask: want exit code %d, signal %d and no error, got %v", code, signal, reply)
	}
}
