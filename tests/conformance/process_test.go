package conformance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// bare is a plugin process started by hand, for what go-plugin hides.
type bare struct {
	*Plugin
	cmd    *exec.Cmd
	line   string
	took   time.Duration
	socket string
	out    *bufio.Reader
	outEnd *os.File
	errEnd *os.File
}

// bareCommand has a process group of its own, and the descriptors 0, 1, 2 and what is in `files`.
func bareCommand(n *Node, cookie []string, files ...*os.File) (*exec.Cmd, *os.File, *os.File) {
	n.T.Helper()
	cmd := exec.Command(n.Program)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "TMPDIR=" + filepath.Join(n.Dir, "tmp")}, cookie...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.ExtraFiles = files
	outR, outW, err := os.Pipe()
	check(n.T, err)
	errR, errW, err := os.Pipe()
	check(n.T, err)
	cmd.Stdout, cmd.Stderr = outW, errW
	check(n.T, cmd.Start())
	outW.Close()
	errW.Close()
	return cmd, outR, errR
}

// startBare starts, reads the handshake line and connects; stderr stays unread.
func startBare(n *Node, files ...*os.File) *bare {
	n.T.Helper()
	begin := time.Now()
	cmd, out, errs := bareCommand(n, []string{cookieKey + "=" + cookieValue, "PLUGIN_MIN_PORT=10000",
		"PLUGIN_MAX_PORT=25000", "PLUGIN_PROTOCOL_VERSIONS=2"}, files...)
	b := &bare{cmd: cmd, out: bufio.NewReader(out), outEnd: out, errEnd: errs}
	out.SetReadDeadline(begin.Add(10 * time.Second))
	line, err := b.out.ReadString('\n')
	if err != nil {
		n.T.Fatalf("no handshake line: %q, %v", line, err)
	}
	b.took, b.line = time.Since(begin), strings.TrimSpace(line)
	if parts := strings.Split(b.line, "|"); len(parts) > 3 {
		b.socket = parts[3]
	}
	b.Plugin = &Plugin{t: n.T, Conn: dial(n.T, b.socket), Pid: cmd.Process.Pid, Stderr: n.Stderr}
	n.T.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); b.Conn.Close() })
	return b
}

func dial(t testing.TB, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///unused", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}))
	check(t, err)
	return conn
}

// readErrors keeps stderr flowing into the node's log, as an agent does.
func (b *bare) readErrors(n *Node) { go io.Copy(n.Stderr, b.errEnd) }

// serve configures a bare plugin as the node's live one.
func (b *bare) serve(n *Node) {
	n.T.Helper()
	b.readErrors(n)
	n.P = b.Plugin
	b.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "nomad_config": nomadConfig(), "plugin_api_version": "v0.1.0"})
	b.Must("Init", M{})
	n.T.Cleanup(func() { // runs before the node's own end
		for _, task := range n.tasks {
			b.Call("DestroyTask", M{"task_id": task.ID, "force": true})
		}
		n.P = nil
	})
}

func refusesCookie(t *testing.T, cookie ...string) {
	t.Helper()
	n := NewNode(t)
	before := tree(n.Dir)
	begin := time.Now()
	cmd, out, errs := bareCommand(n, cookie)
	text, _ := io.ReadAll(out)
	message, _ := io.ReadAll(errs)
	cmd.Wait()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
	if cmd.ProcessState.ExitCode() != 1 || len(text) != 0 || len(message) == 0 {
		t.Errorf("exit code %d, stdout %q, stderr %q", cmd.ProcessState.ExitCode(), text, message)
	}
	if after := tree(n.Dir); len(after) != len(before) {
		t.Errorf("created: %v", after)
	}
}

func TestC01NoCookieExitsOne(t *testing.T) {
	t.Parallel()
	refusesCookie(t)
}

func TestC02WrongCookieExitsOne(t *testing.T) {
	t.Parallel()
	refusesCookie(t, cookieKey+"=wrong")
}

func TestC03HandshakeLine(t *testing.T) {
	t.Parallel()
	b := startBare(NewNode(t))
	if b.took > 2*time.Second {
		t.Errorf("the line took %v", b.took)
	}
	if parts := strings.Count(b.line, "|") + 1; parts < 5 || parts > 6 {
		t.Errorf("%d parts in %q", parts, b.line)
	}
	if !regexp.MustCompile(`^1\|2\|unix\|/[^|]+\|grpc\|?$`).MatchString(b.line) {
		t.Errorf("handshake line %q", b.line)
	}
}

func TestC04FirstCallNeedsNoRetry(t *testing.T) {
	t.Parallel()
	for range 20 {
		b := startBare(NewNode(t))
		conn, err := net.Dial("unix", b.socket)
		check(t, err)
		conn.Close()
		b.Must("PluginInfo", M{})
	}
}

func TestC05TwoProcessesHaveTwoSockets(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	one, two := startBare(n), startBare(n)
	if one.socket == two.socket {
		t.Errorf("both listen on %q", one.socket)
	}
	one.Must("PluginInfo", M{})
	two.Must("PluginInfo", M{})
}

func TestC06NothingElseOnStdout(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	b := startBare(n)
	b.serve(n)
	task := n.Run("talker", "print=to stdout", "eprint=to stderr")
	task.MustStop("SIGTERM", time.Second)
	task.Wait()
	bad := n.NewTask("bad")
	bad.Config["command"] = "/no/such/program"
	if bad.TryStart() == nil {
		t.Error("a missing program was started")
	}
	b.Call("NoSuchMethod", M{})
	check(t, task.Destroy(true))
	b.Call("Controller", M{})
	b.cmd.Wait()
	rest, _ := io.ReadAll(b.out)
	if len(rest) != 0 {
		t.Errorf("after the handshake line, stdout had %q", rest)
	}
}

func TestC07EmptyConnects(t *testing.T) {
	t.Parallel()
	b := startBare(NewNode(t))
	b.Must("PluginInfo", M{})
	before := len(Fds(b.Pid))
	for range 100 {
		conn, err := net.Dial("unix", b.socket)
		check(t, err)
		conn.Close()
	}
	b.Must("PluginInfo", M{})
	Eventually(t, 5*time.Second, fmt.Sprintf("%d descriptors as before", before),
		func() bool { return len(Fds(b.Pid)) <= before })
}

func TestC08SecondConnection(t *testing.T) {
	t.Parallel()
	b := startBare(NewNode(t))
	b.Must("PluginInfo", M{})
	second := &Plugin{t: t, Conn: dial(t, b.socket), Pid: b.Pid}
	defer second.Conn.Close()
	second.Must("PluginInfo", M{})
	b.Must("PluginInfo", M{})
	b.Conn.Close()
	second.Must("PluginInfo", M{})
}

func TestC09SurvivesSigintAndSigpipe(t *testing.T) {
	t.Parallel()
	b := startBare(NewNode(t))
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGPIPE} {
		check(t, syscall.Kill(b.Pid, sig))
		b.Must("PluginInfo", M{})
	}
}

func TestC10StderrReaderGone(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	b := startBare(n)
	b.errEnd.Close()
	b.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "nomad_config": nomadConfig(), "plugin_api_version": "v0.1.0"})
	for i := range 1000 {
		if _, err := b.Call("StartTask", M{"task": Encode("TaskConfig", M{"id": fmt.Sprint("bad", i)})}); err == nil {
			t.Fatal("an empty task was started")
		}
	}
	b.Must("PluginInfo", M{})
}

// A reader that is there but does not read must not stop the plugin either.
func TestC10StderrReaderStalled(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	b := startBare(n)
	b.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "nomad_config": nomadConfig(), "plugin_api_version": "v0.1.0"})
	for i := range 2000 {
		id := fmt.Sprint("bad", i, strings.Repeat("x", 200))
		b.Call("StartTask", M{"task": Encode("TaskConfig", M{"id": id})})
	}
	b.Must("PluginInfo", M{})
}

func TestC11LogLinesAreClean(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	for _, dirty := range []string{"quote\"s", "new\nline", "nul\x00byte", "bad\xff\xfeutf8", "{\"@message\":5}",
		strings.Repeat("long", 40000)} {
		task := n.NewTask("dirty", "exit=0")
		message := task.message()
		message["name"], message["id"] = dirty, dirty
		n.P.Call("StartTask", M{"task": Encode("TaskConfig", message)})
		message = task.message()
		message["msgpack_driver_config"] = Pack(map[string]any{"command": dirty, "args": []string{dirty}, dirty: 1})
		n.P.Call("StartTask", M{"task": Encode("TaskConfig", message)})
		task.Env[dirty] = dirty
		task.TryStart()
		n.P.Call("WaitTask", M{"task_id": dirty})
		n.P.Call("SignalTask", M{"task_id": dirty, "signal": dirty})
		n.P.Call("StopTask", M{"task_id": dirty, "signal": dirty})
		n.P.Call("RecoverTask", M{"handle": M{"version": 1, "config": dirty, "driver_state": dirty}})
	}
	n.P.Must("PluginInfo", M{}) // the lines themselves are checked at the end of every node
}

func TestC12ShutdownLeavesTasks(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	b := startBare(n)
	b.serve(n)
	tasks := []*Task{n.Run("one"), n.Run("two"), n.Run("three")}
	mains := []Proc{tasks[0].Main(), tasks[1].Main(), tasks[2].Main()}
	b.Call("DriverShutdown", M{})
	begin := time.Now()
	b.Call("Controller", M{})
	b.cmd.Wait()
	if took := time.Since(begin); took > 2*time.Second || b.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("exit code %d after %v", b.cmd.ProcessState.ExitCode(), took)
	}
	if _, err := os.Stat(b.socket); err == nil {
		t.Errorf("socket %q is still there", b.socket)
	}
	for _, main := range mains {
		if !main.Alive() {
			t.Errorf("task process %v died with the plugin", main)
		}
	}
	n.Start()
	for _, task := range tasks {
		task.MustRecover()
		check(t, task.Destroy(true))
	}
}

func TestC13NoChildHoldsTheLogPipes(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	b := startBare(n)
	b.serve(n)
	tasks := []*Task{n.Run("one", "child"), n.Run("two", "daemon="+filepath.Join(n.Work, "tick"))}
	b.cmd.Process.Kill()
	begin := time.Now()
	b.outEnd.SetReadDeadline(begin.Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, b.out); err != nil {
		t.Errorf("stdout: %v", err)
	}
	b.cmd.Wait()
	Eventually(t, time.Second, "the end of stderr", func() bool {
		return len(procsWhere(func(pid int) bool { return pid != b.Pid && holdsPipe(pid, b.errEnd) })) == 0
	})
	n.Start()
	for _, task := range tasks {
		task.MustRecover()
	}
}

// holdsPipe tells whether a process has an end of the pipe that our descriptor is an end of.
func holdsPipe(pid int, end *os.File) bool {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", end.Fd()))
	if err != nil {
		return false
	}
	for _, target := range Fds(pid) {
		if target == name {
			return true
		}
	}
	return false
}

func TestC14TasksHaveNoForeignDescriptors(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	leak, err := os.Open("/etc/hostname") // what an agent may leave open in its children
	check(t, err)
	b := startBare(n, leak)
	b.serve(n)
	var tasks []*Task
	for _, name := range []string{"one", "two", "three"} {
		task := n.NewTask(name)
		task.Config["command"], task.Config["args"] = "/bin/sleep", []string{"1000"}
		tasks = append(tasks, task.Start())
	}
	for _, task := range tasks {
		want := map[int]string{0: "/dev/null", 1: task.fifo("stdout"), 2: task.fifo("stderr")}
		if got := Fds(task.Main().Pid); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("descriptors of the agent: %v", got)
		}
		for number, target := range Fds(task.Shim().Pid) {
			if target == "/etc/hostname" || holdsPipe(task.Shim().Pid, b.errEnd) || holdsPipe(task.Shim().Pid, b.outEnd) {
				t.Errorf("the shim holds the driver's descriptor %d %q", number, target)
			}
		}
		if StatusField(task.Main().Pid, "SigIgn") != strings.Repeat("0", 16) || StatusField(task.Main().Pid, "SigBlk") != strings.Repeat("0", 16) {
			t.Errorf("the agent starts with ignored %s, blocked %s", StatusField(task.Main().Pid, "SigIgn"), StatusField(task.Main().Pid, "SigBlk"))
		}
	}
}

func TestC15SigintToTheGroup(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	b := startBare(n)
	b.serve(n)
	task := n.Run("steady")
	main, shim := task.Main(), task.Shim()
	check(t, syscall.Kill(-b.Pid, syscall.SIGINT))
	check(t, task.Signal("SIGCONT")) // a call after it: the plugin serves
	if !main.Alive() || !shim.Alive() {
		t.Errorf("agent alive: %v, shim alive: %v", main.Alive(), shim.Alive())
	}
	check(t, syscall.Kill(-b.Pid, syscall.SIGKILL))
	b.cmd.Wait()
	if !main.Alive() || !shim.Alive() {
		t.Errorf("after SIGKILL of the group, agent alive: %v, shim alive: %v", main.Alive(), shim.Alive())
	}
	n.Start()
	task.MustRecover()
}
