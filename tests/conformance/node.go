package conformance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
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
	"google.golang.org/grpc/status"
)

// stubPath is the built stub agent; set by TestMain.
var stubPath string

// Node is one simulated client node: directories, a plugin, tasks.
type Node struct {
	T       testing.TB
	Dir     string
	Work    string         // what tasks and tests may both write to, outside the allocations
	Program string         // the plugin's path
	Config  map[string]any // the plugin's config block
	Env     []string       // added to the plugin's environment
	P       *Plugin
	Stderr  *Log
	cgroup  string
	plugins []*Plugin
	tasks   []*Task
	events  events
}

type events struct {
	mu   sync.Mutex
	list []M
}

func hexWord(n int) string {
	bytes := make([]byte, n)
	rand.Read(bytes)
	return hex.EncodeToString(bytes)
}

// NewNode makes a node without a running plugin. Its end checks that nothing was left behind.
func NewNode(t testing.TB) *Node {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "conf-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	os.Mkdir(filepath.Join(dir, "tmp"), 0o700)
	work := filepath.Join(dir, "work")
	os.Mkdir(work, 0o755)
	os.Chmod(work, 0o777)
	n := &Node{T: t, Dir: dir, Work: work, Program: pluginPath(), Stderr: &Log{}}
	n.Config = map[string]any{
		"state_dir": filepath.Join(dir, "state"), "run_dir": filepath.Join(dir, "run"),
		"shim": os.Getenv("AGENT_SHIM"), "sidecar": os.Getenv("AGENT_SIDECAR"),
		"store": nil, "key_file": nil, "cgroup_parent": nil, "log_level": "debug",
		"shim_oom_score_adj": 0, "pids_limit": nil, "sidecar_memory_mb": nil, "require_limits": nil,
		"allow_host_paths": []any{work, filepath.Dir(stubPath) + ":ro"},
	}
	if root := cgroupRoot(); root != "" {
		cgroup := filepath.Join(root, filepath.Base(dir))
		if os.Mkdir(cgroup, 0o755) == nil {
			n.cgroup, n.Config["cgroup_parent"] = cgroup, cgroup
		}
	}
	t.Cleanup(n.end)
	return n
}

// StartedNode is a node whose plugin has been configured and serves.
func StartedNode(t testing.TB) *Node {
	t.Helper()
	n := NewNode(t)
	n.Start()
	return n
}

// Launch starts a plugin process and says nothing to it.
func (n *Node) Launch() *Plugin {
	n.T.Helper()
	env := append(os.Environ(), "TMPDIR="+filepath.Join(n.Dir, "tmp"))
	p := Launch(n.T, n.Program, append(env, n.Env...), n.Stderr)
	n.plugins = append(n.plugins, p)
	return p
}

// nomadConfig is what an agent sends to the process that will serve.
func nomadConfig() M {
	core := M{"core_id": 0, "base_speed": 2000}
	return M{"driver": M{"client_max_port": 14512, "client_min_port": 14000,
		"topology": M{"cores": []any{core, M{"core_id": 1, "base_speed": 2000}}}}}
}

// Start is the agent's start C: configure, Init, Fingerprint, TaskEvents.
func (n *Node) Start() {
	n.T.Helper()
	n.P = n.Launch()
	n.P.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "nomad_config": nomadConfig(),
		"plugin_api_version": "v0.1.0"})
	n.attach()
}

// attach is what an agent does with a process that is configured already.
func (n *Node) attach() {
	n.T.Helper()
	n.P.Must("Init", M{})
	first, err := n.P.Open("Fingerprint", M{}).Next()
	if err != nil || first.Int("health") != 2 {
		n.T.Fatalf("Fingerprint: %v, %v", first, err)
	}
	stream := n.P.Open("TaskEvents", M{})
	go func() {
		for {
			event, err := stream.Next()
			if err != nil {
				return
			}
			n.events.mu.Lock()
			n.events.list = append(n.events.list, event)
			n.events.mu.Unlock()
		}
	}()
}

// CrashPlugin kills the plugin; the agent notices and starts a new one.
func (n *Node) CrashPlugin() {
	n.T.Helper()
	n.P.Crash()
	n.Start()
}

// Events gives the messages of the task events so far.
func (n *Node) Events() []string {
	n.events.mu.Lock()
	defer n.events.mu.Unlock()
	var all []string
	for _, event := range n.events.list {
		all = append(all, event.Str("task_name")+": "+event.Str("message"))
	}
	return all
}

// Procs lists what lives on this node besides its plugins: shims, sidecars, agents.
func (n *Node) Procs() []Proc {
	return procsWhere(func(pid int) bool {
		if slices.ContainsFunc(n.plugins, func(p *Plugin) bool { return p.Pid == pid }) {
			return false
		}
		return hasEnv(pid, n.Dir+"/") || hasFd(pid, n.Dir+"/")
	})
}

// Leftovers lists files of tasks in state and run directories, sockets and cgroups.
func (n *Node) Leftovers() []string {
	var left []string
	for _, path := range tree(filepath.Join(n.Dir, "state", "tasks"), filepath.Join(n.Dir, "run")) {
		if filepath.Base(path) != "tasks" && path != filepath.Join(n.Dir, "run") {
			left = append(left, path)
		}
	}
	left = append(left, v1Leftovers(n.tasks)...)
	if n.cgroup != "" {
		entries, _ := os.ReadDir(n.cgroup)
		for _, entry := range entries {
			if entry.IsDir() {
				left = append(left, filepath.Join(n.cgroup, entry.Name()))
			}
		}
	}
	return left
}

// WantClean fails unless nothing of any task is left, within the time a dying process needs.
func (n *Node) WantClean() {
	n.T.Helper()
	clean := func() bool { return len(n.Procs())+len(n.Leftovers()) == 0 }
	for end := time.Now().Add(2 * time.Second); !clean(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			n.T.Errorf("left behind: %v %v", n.Procs(), n.Leftovers())
			return
		}
	}
}

// end destroys every task, stops the plugin and checks that nothing remains.
func (n *Node) end() {
	if n.P != nil && !n.T.Failed() {
		n.destroyAll()
		n.WantClean()
	}
	for _, p := range n.plugins {
		if alive := !p.client.Exited(); alive && !p.Stop() {
			n.T.Errorf("plugin %d did not end in time, or its log pipes are held", p.Pid)
		}
	}
	signalAll(n.Procs(), syscall.SIGKILL)
	for _, task := range n.tasks {
		task.closeLogs()
	}
	CheckLogLines(n.T, n.Stderr.String())
	if n.T.Failed() {
		n.T.Logf("events: %q", n.Events())
		n.T.Logf("stderr of the plugin:\n%s", tail(n.Stderr.String(), 40))
	}
	if n.cgroup != "" {
		n.removeCgroup()
	}
	for _, dir := range v1Leftovers(n.tasks) { // of a node that was lost, or of a failed test
		syscall.Rmdir(dir)
	}
	if os.Getenv("CONF_KEEP") == "" {
		os.RemoveAll(n.Dir)
	}
}

func (n *Node) destroyAll() {
	var wait sync.WaitGroup
	for _, task := range n.tasks {
		wait.Go(func() {
			if _, err := n.P.Call("DestroyTask", M{"task_id": task.ID, "force": true}); err != nil {
				n.T.Errorf("destroy %s at the end: %v", task.ID, err)
			}
		})
	}
	wait.Wait()
}

func (n *Node) removeCgroup() {
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		paths := tree(n.cgroup)
		for i := range paths {
			syscall.Rmdir(paths[len(paths)-1-i])
		}
		if _, err := os.Stat(n.cgroup); err != nil || time.Now().After(end) {
			return
		}
	}
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Code is the gRPC code of an error.
func Code(err error) codes.Code { return status.Code(err) }

// WantCode fails unless err has the code.
func WantCode(t testing.TB, what string, err error, want codes.Code) {
	t.Helper()
	if Code(err) != want {
		t.Errorf("%s: want %v, got %v", what, want, err)
	}
}

// canceled tells whether a call ended because the test gave it up.
func canceled(err error) bool {
	return errors.Is(err, context.Canceled) || Code(err) == codes.Canceled || Code(err) == codes.DeadlineExceeded
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func textOf(path string) string {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return fmt.Sprintf("<%v>", err)
	}
	return string(bytes)
}
