package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// needRoot skips what only a driver of root can give.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// sh makes the task a shell script; what it prints is the evidence.
func (t *Task) sh(script string) *Task {
	t.Config["command"], t.Config["args"] = "/bin/sh", []any{"-c", script}
	return t
}

// said runs the task to its end and gives what it printed, without the last newline.
func (t *Task) said() string {
	t.N.T.Helper()
	t.Start()
	WantResult(t.N.T, t.Wait(), 0, 0)
	Eventually(t.N.T, 5*time.Second, "the end of the output", func() bool { return t.Out.EOF() && t.Err.EOF() })
	return strings.TrimSuffix(t.Out.String()+t.Err.String(), "\n")
}

// says fails unless the script, run in this task, prints exactly this.
func (t *Task) says(want string) {
	t.N.T.Helper()
	if got := t.said(); got != want {
		t.N.T.Errorf("%s: want %q, got %q", t.Config["args"], want, got)
	}
}

// can prints a word for each command: did it work?
func can(commands ...string) string {
	var script strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&script, "( %s ) >/dev/null 2>&1 && echo yes || echo no\n", c)
	}
	return script.String()
}

func TestC37NoNewPrivs(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	n.NewTask("task").sh("grep NoNewPrivs /proc/self/status").says("NoNewPrivs:\t1")
}

func TestC37Capabilities(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := NewNode(t)
	n.Config["allow_caps"] = []any{"chown", "net_raw", "net_bind_service"}
	n.Start()
	script := "grep -E 'Cap(Eff|Bnd)' /proc/self/status | tr -d '\\n'"
	n.NewTask("task").sh(script).says("CapEff:\t0000000000000401CapBnd:\t0000000000000401")
	more := n.NewTask("more").sh(script)
	more.Config["cap_add"], more.Config["cap_drop"] = []any{"CAP_NET_RAW"}, []any{"all"}
	more.says("CapEff:\t0000000000002000CapBnd:\t0000000000002000")
	user := n.NewTask("user").sh(script)
	user.More = M{"user": "nobody"}
	user.says("CapEff:\t0000000000000000CapBnd:\t0000000000000000")
	given := n.NewTask("given").sh(script)
	given.More, given.Config["cap_add"] = M{"user": "nobody"}, []any{"net_bind_service"}
	given.says("CapEff:\t0000000000000400CapBnd:\t0000000000000400")
}

// Who may make device nodes can open none of them.
func TestC37DeviceNodesOfAnAgent(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := NewNode(t)
	n.Config["allow_caps"], n.Config["allow_unconfined"] = []any{"all"}, []any{"landlock", "mounts"}
	n.Start()
	tries := []string{}
	for _, dir := range []string{"local", "../alloc", "tmp", "/tmp", "/var/tmp", "/dev/shm", n.Work} {
		tries = append(tries, "mknod "+dir+"/n c 1 3; echo x >"+dir+"/n && test -c "+dir+"/n")
	}
	for _, dir := range []string{"/dev", "/usr", "/etc", "/srv", "/", "/run"} {
		tries = append(tries, "mknod "+dir+"/conf-node c 1 3")
	}
	task := n.NewTask("task").sh("echo x >/dev/null && echo usual; " + can(tries...))
	task.Config["cap_add"] = []any{"mknod"}
	task.says("usual\n" + strings.TrimSuffix(strings.Repeat("no\n", len(tries)), "\n"))
	for _, word := range []string{"landlock", "mounts"} {
		bare := n.NewTask("bare").sh("true")
		bare.Config["cap_add"], bare.Config["unconfined"] = []any{"mknod"}, []any{word}
		if err := bare.TryStart(); Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "cap_add: mknod") {
			t.Errorf("mknod without %s: %v", word, err)
		}
	}
	n.destroyAll()
	n.WantClean()
}

func TestC37LimitsAndUmask(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.NewTask("task").sh("ulimit -Sn; ulimit -Hn; ulimit -c; umask; nice; pwd; cat /proc/self/oom_score_adj")
	task.Config["ulimit"] = map[string]any{"nofile": "64:128"}
	task.Config["umask"], task.Config["nice"], task.Config["work_dir"] = "027", 5, "local"
	task.Config["oom_score_adj"] = 300
	task.says("64\n128\n0\n0027\n5\n" + task.dir("local") + "\n300")
}

func TestC37Namespaces(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	kinds := []string{"mnt", "pid", "ipc", "uts", "cgroup"}
	var script []string
	for _, kind := range kinds {
		script = append(script, "readlink /proc/self/ns/"+kind)
	}
	for i, got := range strings.Split(n.NewTask("task").sh(strings.Join(script, ";")).said(), "\n") {
		ours, err := os.Readlink("/proc/self/ns/" + kinds[i])
		check(t, err)
		if got == ours || !strings.HasPrefix(got, kinds[i]) {
			t.Errorf("%s: %q, ours %q", kinds[i], got, ours)
		}
	}
}

func TestC37HostModes(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := NewNode(t)
	n.Config["allow_unconfined"] = []any{"pid", "ipc", "mounts", "landlock", "seccomp", "no_new_privs"}
	n.Start()
	task := n.NewTask("task").sh("for k in pid ipc mnt; do readlink /proc/self/ns/$k; done; grep -E 'NoNewPrivs|Seccomp:' /proc/self/status")
	task.Config["pid_mode"], task.Config["ipc_mode"] = "host", "host"
	task.Config["unconfined"] = []any{"mounts", "landlock", "seccomp", "no_new_privs"}
	want := ""
	for _, kind := range []string{"pid", "ipc", "mnt"} {
		link, err := os.Readlink("/proc/self/ns/" + kind)
		check(t, err)
		want += link + "\n"
	}
	task.says(want + "NoNewPrivs:\t0\nSeccomp:\t0")
}

func TestC37PrivateTmpAndShm(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	mark := "/tmp/" + filepath.Base(n.Dir) + ".mark"
	shm := "/dev/shm/" + filepath.Base(n.Dir)
	check(t, os.WriteFile(mark, nil, 0o644))
	defer os.Remove(mark)
	n.NewTask("task").sh(can("test -e "+mark, "touch /tmp/a /var/tmp/b /dev/shm/c", "touch "+shm)).says("no\nyes\nyes")
	if _, err := os.Stat(shm); err == nil {
		t.Errorf("%s is on the host", shm)
	}
}

func TestC37ReadOnlySystem(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	if unix.Access("/usr", unix.W_OK) != nil {
		t.Skip("nothing there could be written anyway")
	}
	n.NewTask("task").sh(can("cat /etc/passwd", "touch /usr/x", "touch /etc/x", "touch $NOMAD_TASK_DIR/x",
		"touch $NOMAD_ALLOC_DIR/x", "touch /x", "mkdir /root/x", "cat /etc/shadow | grep .")).
		says("yes\nno\nno\nyes\nyes\nno\nno\nno")
}

func TestC37SecretsAreReadOnlyAndPrivateIsHidden(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	task := n.NewTask("task")
	for _, dir := range []string{"secrets", "private"} {
		check(t, os.WriteFile(filepath.Join(task.dir(dir), "key"), []byte("k"), 0o644))
	}
	task.sh(can("cat $NOMAD_SECRETS_DIR/key", "touch $NOMAD_SECRETS_DIR/x", "cat "+task.dir("private")+"/key")).
		says("yes\nno\nno")
}

// Neither files nor processes of other tasks, and nothing of the driver.
func TestC37OthersAreHidden(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	other := n.NewTask("other", "print=ready", "forever")
	check(t, os.WriteFile(filepath.Join(other.dir("secrets"), "key"), []byte("k"), 0o644))
	other.Start()
	other.Out.Await(t, "ready")
	task := n.NewTask("task")
	task.sh(can("ls "+other.AllocDir, "ls "+n.Config["state_dir"].(string)+"/tasks", "ls "+n.Config["run_dir"].(string)+"/*",
		"cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep 'print=read[y]'") + "ls /dev | tr '\\n' ' '").
		says("no\nno\nno\nno\ncore fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ")
}

func TestC37MaskedProc(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	n.NewTask("task").sh(can("echo 1 > /proc/sys/kernel/panic", "test -s /proc/kcore", "test -s /proc/keys",
		"echo h > /proc/sysrq-trigger", "ls /sys/firmware/*", "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/unified/x",
		"cat /proc/self/status", "cat /proc/1/environ")).
		says("no\nno\nno\nno\nno\nno\nyes\nno")
}

func TestC37Seccomp(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	n.NewTask("task").sh("grep Seccomp: /proc/self/status; " +
		can("unshare -r true", "unshare -m true", "mount -t tmpfs x /tmp", "true")).
		says("Seccomp:\t2\nno\nno\nno\nyes")
}

func TestC37JobMounts(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	host := filepath.Join(n.Work, "data")
	check(t, os.Mkdir(host, 0o777))
	check(t, os.WriteFile(filepath.Join(host, "file"), []byte("from the host\n"), 0o644))
	task := n.NewTask("task").sh("cat local/data/file; " + can("touch local/data/new", "touch local/deep/down/new"))
	mount := func(target string, readonly bool) map[string]any {
		return map[string]any{"source": host, "target": target, "readonly": readonly, "propagation": nil}
	}
	task.Config["mount"] = []any{mount("local/data", true), mount("local/deep/down", false)}
	task.says("from the host\nno\nyes")
	if _, err := os.Stat(filepath.Join(host, "new")); err != nil {
		t.Error("the writable mount is not the host's directory")
	}
}

func TestC37NomadVolumes(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	volume := filepath.Join(n.Dir, "volume")
	check(t, os.Mkdir(volume, 0o777))
	task := n.NewTask("task").sh(can("touch local/rw/x", "touch local/ro/y", "ls local/ro/x"))
	task.More = M{"mounts": []any{
		M{"task_path": task.dir("local") + "/ro", "host_path": volume, "readonly": true},
		M{"task_path": "local/rw", "host_path": volume, "propagation_mode": "private"}}}
	task.says("yes\nno\nyes")
}

// A volume may be where the operator has made a place for it on the machine, and in nobody's way.
func TestC37VolumeOnTheMachine(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	volume := filepath.Join(n.Dir, "volume")
	check(t, os.Mkdir(volume, 0o777))
	place, err := os.MkdirTemp("/srv", "conf-")
	check(t, err)
	defer os.RemoveAll(place)
	check(t, os.Chmod(place, 0o755))
	check(t, os.Chmod(volume, 0o777)) // whatever the umask
	check(t, os.Mkdir(place+"/rw", 0o755))
	check(t, os.Mkdir(place+"/ro", 0o755))
	check(t, os.Symlink("rw", place+"/link"))
	program := filepath.Join(place, "program")
	check(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	task := n.NewTask("task").sh(can("touch "+place+"/rw/x", "ls "+place+"/ro/x", "touch "+place+"/ro/y", "touch "+place+"/z", "ls "+place))
	task.More = M{"user": "nobody", "mounts": []any{
		M{"task_path": place + "/ro", "host_path": volume, "readonly": true},
		M{"task_path": place + "/rw", "host_path": volume}}}
	task.says("yes\nyes\nno\nno\nno")
	if _, err := os.Stat(place + "/rw/x"); err == nil {
		t.Errorf("the machine's own directory was written")
	}
	for target, why := range map[string]string{
		"/": "system's", "/etc": "system's", "/usr/local": "system's", "/tmp": "made for each", "/proc": "made for each",
		place + "/absent": "not on this machine", place + "/link": "symbolic links", place + "/rw/../ro": "..",
		program: "volume a directory", place: "would hide", n.Config["state_dir"].(string): "made for each",
	} {
		wrong := n.NewTask("wrong")
		wrong.Config["command"] = program
		wrong.More = M{"mounts": []any{M{"task_path": target, "host_path": volume}}}
		err := wrong.TryStart()
		if Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "volume_mount.destination") || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: want a refusal that says %q, got %v", target, why, err)
		}
	}
	n.destroyAll()
	n.WantClean()
}

// A mount made on the host later comes in with host-to-task, and never with private.
func TestC37Propagation(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	volume := filepath.Join(n.Dir, "volume")
	check(t, os.MkdirAll(filepath.Join(volume, "in"), 0o777))
	check(t, unix.Mount(volume, volume, "", unix.MS_BIND, ""))
	defer unix.Unmount(volume, unix.MNT_DETACH)
	check(t, unix.Mount("", volume, "", unix.MS_SHARED, ""))
	gate := filepath.Join(n.Work, "gate")
	task := n.NewTask("task").sh("echo ready; while ! test -e " + gate + "; do sleep 0.05; done; " +
		can("test -e local/slave/in/mark", "test -e local/private/in/mark"))
	task.More = M{"mounts": []any{
		M{"task_path": "local/slave", "host_path": volume, "propagation_mode": "host-to-task"},
		M{"task_path": "local/private", "host_path": volume, "propagation_mode": "private"}}}
	task.Start()
	task.Out.Await(t, "ready")
	in := filepath.Join(volume, "in")
	check(t, unix.Mount("tmpfs", in, "tmpfs", 0, ""))
	defer unix.Unmount(in, unix.MNT_DETACH)
	check(t, os.WriteFile(filepath.Join(in, "mark"), nil, 0o644))
	check(t, os.WriteFile(gate, nil, 0o644))
	task.Wait()
	task.Out.Await(t, "ready\nyes\nno\n")
}

func TestC37Devices(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	node := filepath.Join(n.Dir, "node") // of its own: what is allowed for /dev/null is allowed under any name
	check(t, unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	task := n.NewTask("task").sh(can("test -c /dev/mine", "cat /dev/mine", "echo x > /dev/mine", "test -e /dev/kmsg"))
	task.More = M{"devices": []any{M{"task_path": "/dev/mine", "host_path": node, "cgroup_permissions": "r"}}}
	task.says("yes\nyes\nno\nno")
}

func TestC37NetworkNamespace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	name := "conf-" + hexWord(4)
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	defer exec.Command("ip", "netns", "del", name).Run()
	n := StartedNode(t)
	path := "/run/netns/" + name
	if _, err := os.Stat(path); err != nil {
		path = "/var/run/netns/" + name
	}
	var want syscall.Stat_t
	check(t, syscall.Stat(path, &want))
	task := n.NewTask("task").sh("readlink /proc/self/ns/net; cat /etc/resolv.conf; grep box /etc/hosts; " + can("touch /etc/hosts"))
	task.More = M{"network_isolation_spec": M{"mode": 1, "path": path,
		"hosts_config": M{"hostname": "box", "address": "172.26.64.2"}},
		"dns": M{"servers": []any{"10.0.0.53"}, "searches": []any{"a.example"}, "options": []any{"ndots:2"}}}
	task.says(fmt.Sprintf("net:[%d]\nsearch a.example\nnameserver 10.0.0.53\noptions ndots:2\n172.26.64.2 box\nno", want.Ino))
}

// A user of Nomad's pool has no name here, and Nomad's data directory is closed to it.
func TestC37PoolUserBelowAClosedDirectory(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	task := n.NewTask("task", "facts", "append=local/x:y")
	check(t, os.Chmod(n.Dir, 0o700))
	check(t, os.Chmod(filepath.Join(n.Dir, "a"), 0o711))
	for _, dir := range []string{task.dir("local"), task.dir("")} {
		check(t, os.Chmod(dir, 0o777))
	}
	task.More = M{"user": "nomad-80123"}
	var got struct{ UID, GID int }
	check(t, json.Unmarshal([]byte(task.said()), &got))
	if got.UID != 80123 || got.GID != 80123 {
		t.Errorf("runs as %+v", got)
	}
}

func TestC33WhatTheNodeDoesNotAllow(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := NewNode(t)
	n.Config["denied_users"], n.Config["denied_commands"] = []any{"daemon", "8*"}, []any{"/usr/bin/*sleep"}
	n.Start()
	mount := func(key string, value any) map[string]any {
		m := map[string]any{"source": n.Work, "target": "local/x", "readonly": false, "propagation": nil}
		m[key] = value
		return map[string]any{"mount": []any{m}}
	}
	for what, change := range map[string]map[string]any{
		"capability":           {"cap_add": []any{"sys_admin"}},
		"unknown capability":   {"cap_add": []any{"sys_everything"}},
		"no seccomp":           {"unconfined": []any{"seccomp"}},
		"unknown protection":   {"unconfined": []any{"everything"}},
		"the host's PIDs":      {"pid_mode": "host"},
		"unknown mode":         {"pid_mode": "guest"},
		"the host's IPC":       {"ipc_mode": "host"},
		"negative niceness":    {"nice": -5},
		"negative score":       {"oom_score_adj": -5},
		"denied command":       {"command": "/bin/sleep"},
		"unknown limit":        {"ulimit": map[string]any{"files": "1"}},
		"limit of a bad form":  {"ulimit": map[string]any{"nofile": "2:1"}},
		"umask of a bad form":  {"umask": "888"},
		"isolation level":      {"isolation": "some"},
		"path of the host":     {"read_paths": []any{"/root"}},
		"path that is absent":  {"write_paths": []any{"local/no-such"}},
		"mount of the host":    mount("source", "/etc"),
		"mount outside":        mount("target", "/data"),
		"mount upwards":        mount("target", "local/../../x"),
		"shared mount":         mount("propagation", "bidirectional"),
		"mount without source": mount("source", nil),
	} {
		task := n.NewTask("task")
		for key, value := range change {
			task.Config[key] = value
		}
		wantRefused(t, task, what)
	}
	for _, user := range []string{"daemon", "1", "8", "nomad-80001"} {
		task := n.NewTask("task")
		task.More = M{"user": user}
		wantRefused(t, task, "user "+user)
	}
	WantResult(t, n.NewTask("good", "exit=0").Start().Wait(), 0, 0)
}

// What the kernel refuses in the child is named, and nothing is left.
func TestC33LinkInAMountsPlace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	task := n.NewTask("task")
	check(t, os.Symlink("/etc", filepath.Join(task.dir("local"), "way")))
	task.Config["mount"] = []any{map[string]any{"source": n.Work, "target": "local/way/cron.d", "readonly": nil, "propagation": nil}}
	err := task.TryStart()
	if err == nil || !strings.Contains(err.Error(), "local/way/cron.d") || !strings.Contains(err.Error(), "ymbolic link") {
		t.Errorf("want an error that names the target, got %v", err)
	}
	n.WantClean()
}

func TestC33BadPluginConfig(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]any{"isolation": "some", "allow_unconfined": []any{"everything"},
		"allow_host_paths": []any{"relative"}, "read_paths": []any{"relative"}, "allow_priority": "perhaps"} {
		n := NewNode(t)
		n.P = n.Launch()
		n.Config[key] = value
		_, err := n.P.Call("SetConfig", M{"msgpack_config": Pack(n.Config), "nomad_config": nomadConfig(),
			"plugin_api_version": "v0.1.0"})
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// The node's attributes say what its kernel has, so that a job can constrain on it.
func TestC26IsolationAttributes(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	stream := n.P.Open("Fingerprint", M{})
	first, err := stream.Next()
	check(t, err)
	found := map[string]string{}
	for _, item := range first.List("attributes") {
		found[item.(M).Str("key")] = item.(M).Str("value.string_val")
	}
	for _, key := range []string{"landlock", "seccomp", "mounts", "namespaces", "pid_namespaces", "root"} {
		if _, ok := found["driver.agent."+key]; !ok && os.Geteuid() == 0 {
			t.Errorf("no attribute %s: %v", key, found)
		}
	}
}

// Who looks into a task by a command finds the agent there, by name and by number.
func TestC66ExecSeesTheAgent(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	task := n.NewTask("task").sh("echo $$; exec sleep 1000").Start()
	task.Out.Await(t, "\n")
	pid := strings.TrimSpace(task.Out.String())
	look := "cat /proc/" + pid + "/comm; " + can("cat /proc/1/environ", "kill -0 "+pid)
	if got := task.Shell(look); got != "sleep\nno\nyes\n" {
		t.Errorf("process %s: %q", pid, got)
	}
}

// A command that is executed in a task gets the same plan, not only the same namespaces.
func TestC66ExecIsConfinedAsTheAgent(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := StartedNode(t)
	fields := "grep -E 'NoNewPrivs|Seccomp:|Cap(Eff|Bnd)' /proc/self/status; "
	tried := can("touch /usr/x", "touch $NOMAD_SECRETS_DIR/x", "unshare -m true", "ls "+n.Config["state_dir"].(string)+"/tasks", "touch local/x")
	task := n.NewTask("task").sh(fields + tried + "echo ready; sleep 1000").Start()
	task.Out.Await(t, "ready\n")
	agent := strings.TrimSuffix(task.Out.String(), "ready\n")
	if got := task.Shell(fields + tried); got != agent {
		t.Errorf("the agent has %q, an exec %q", agent, got)
	}
	if !strings.HasSuffix(agent, "no\nno\nno\nno\nyes\n") {
		t.Errorf("the agent could: %q", agent)
	}
}
