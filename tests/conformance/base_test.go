package conformance

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// The driver's name is `agent` and its file is nomad-driver-agent: Nomad matches the plugin block by
// file name and the job by this name.
func TestC16PluginInfo(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	info := n.Launch().Must("PluginInfo", M{})
	if info.Int("type") != 2 || fmt.Sprint(info.List("plugin_api_versions")) != "[v0.1.0]" {
		t.Errorf("type or API versions: %v", info)
	}
	if info.Str("name") != "agent" || !strings.HasPrefix(filepath.Base(n.Program), "nomad-driver-agent") {
		t.Errorf("name %q of file %q", info.Str("name"), n.Program)
	}
	if !regexp.MustCompile(`^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`).MatchString(info.Str("plugin_version")) {
		t.Errorf("version %q", info.Str("plugin_version"))
	}
}

func schemaOf(t testing.TB, p *Plugin, method string) func(text string) ([]byte, error) {
	t.Helper()
	spec, err := Schema([]byte(p.Must(method, M{}).Str("spec")))
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return func(text string) ([]byte, error) { return PackHCL(spec, text) }
}

func TestC17SchemasDecodeConfigs(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	p := n.Launch()
	plugin := schemaOf(t, p, "ConfigSchema")
	for _, text := range []string{"", fmt.Sprintf("state_dir = %q\nrun_dir = %q\nlog_level = \"debug\"\nshim_oom_score_adj = -1\n"+
		"store = \"file:///tmp/x\"\nkey_file = \"/tmp/k\"\ncgroup_parent = \"/sys/fs/cgroup/x\"\nshim = \"/s\"\nsidecar = \"/t\"",
		n.Config["state_dir"], n.Config["run_dir"])} {
		bytes, err := plugin(text)
		check(t, err)
		p.Must("SetConfig", M{"msgpack_config": bytes, "plugin_api_version": "v0.1.0"})
	}
	if _, err := plugin("state_dri = \"/x\""); err == nil {
		t.Error("the plugin schema takes a misspelt key")
	}
	n.Start()
	task := schemaOf(t, n.P, "TaskConfigSchema")
	for _, wrong := range []string{"", "command = \"x\"\nargz = []", "command = [\"x\"]", "command = \"x\"\nstate { }",
		"command = \"x\"\nstate {\n path = \"a\"\n}\nstate {\n path = \"b\"\n}"} {
		if _, err := task(wrong); err == nil {
			t.Errorf("the task schema takes %q", wrong)
		}
	}
	one := n.NewTask("full")
	for _, text := range []string{
		fmt.Sprintf("command = %q\nargs = [\"exit=0\"]", stubPath),
		fmt.Sprintf("command = %q\nargs = [\"exit=0\"]\nstate {\n path = \"local/s\"\n store = \"file://%s?create=true\"\n interval = \"0s\"\n"+
			" exclude = [\"*.tmp\"]\n name = \"a/b\"\n}\nlease {\n ttl = \"5s\"\n}", stubPath, n.Dir+"/store"),
	} {
		bytes, err := task(text)
		check(t, err)
		one.More = M{"msgpack_driver_config": bytes}
		WantResult(t, one.Start().Wait(), 0, 0)
		check(t, one.Destroy(false))
		one = one.Again()
	}
}

func TestC18ValidatingStartChangesNothing(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	roots := []string{n.Dir, n.cgroup, "/run/nomad-driver-agent", "/var/lib/nomad-driver-agent"}
	before := tree(roots...)
	p := n.Launch()
	for range 2 {
		p.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "plugin_api_version": "v0.1.0"})
	}
	if !p.Stop() {
		t.Error("the plugin had to be killed")
	}
	if after := tree(roots...); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
	if procs := n.Procs(); len(procs) != 0 {
		t.Errorf("processes: %v", procs)
	}
}

func TestC18ValidatingStartBesideALiveOne(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	main := task.Main()
	before := tree(filepath.Join(n.Dir, "state"), filepath.Join(n.Dir, "run"))
	p := n.Launch()
	p.Must("PluginInfo", M{})
	p.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "plugin_api_version": "v0.1.0"})
	p.Stop()
	if after := tree(filepath.Join(n.Dir, "state"), filepath.Join(n.Dir, "run")); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
	if !main.Alive() {
		t.Error("the task died")
	}
	task.MustStop("SIGKILL", time.Second)
}

func TestC19InvalidConfigNamesTheKey(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	p := n.Launch()
	for key, wrong := range map[string]any{"state_dir": "relative/path", "run_dir": strings.Repeat("/long", 40), "log_level": "loud",
		"shim_oom_score_adj": 5000, "shim": 7, "sidecar": []string{"x"}, "key_file": "relative", "store": true} {
		config := map[string]any{key: wrong}
		_, err := p.Call("SetConfig", M{"msgpack_config": Pack(config), "plugin_api_version": "v0.1.0"})
		WantCode(t, fmt.Sprintf("%s = %v", key, wrong), err, codes.InvalidArgument)
		if err != nil && !strings.Contains(err.Error(), key) {
			t.Errorf("the error does not name %q: %v", key, err)
		}
	}
	for _, wrong := range [][]byte{{0xc1}, {0x81}, {0xdf, 0xff, 0xff, 0xff, 0xff}, Pack([]string{"x"}), []byte("text")} {
		_, err := p.Call("SetConfig", M{"msgpack_config": wrong, "plugin_api_version": "v0.1.0"})
		WantCode(t, fmt.Sprintf("msgpack %x", wrong), err, codes.InvalidArgument)
	}
	p.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "plugin_api_version": "v0.1.0"})
}

// The limits of the one number there is are -1000 and 0: a value that was misread falls on the other
// side of a limit in some encoding.
func TestC20EveryNumberEncoding(t *testing.T) {
	t.Parallel()
	p := NewNode(t).Launch()
	for value, want := range map[int]codes.Code{0: codes.OK, -1: codes.OK, -32: codes.OK, -33: codes.OK, -128: codes.OK,
		-129: codes.OK, -1000: codes.OK, -1001: codes.InvalidArgument, 1: codes.InvalidArgument, 127: codes.InvalidArgument,
		200: codes.InvalidArgument, 40000: codes.InvalidArgument, 1 << 31: codes.InvalidArgument, -70000: codes.InvalidArgument} {
		for name, encoded := range IntEncodings(value) {
			_, err := p.Call("SetConfig", M{"msgpack_config": Pack(map[string]any{"shim_oom_score_adj": encoded})})
			WantCode(t, fmt.Sprintf("%d as %s", value, name), err, want)
		}
	}
	for what, wrong := range map[string]any{"fraction": -1.5, "text": "many", "empty": "", "list": []any{1}, "true": true,
		"huge": Raw{0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "huge text": "-99999999999999999999999", "not a number": Raw{0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0}} {
		_, err := p.Call("SetConfig", M{"msgpack_config": Pack(map[string]any{"shim_oom_score_adj": wrong})})
		WantCode(t, what, err, codes.InvalidArgument)
	}
}

// mayLowerScores tells whether this machine lets a process be spared by the OOM killer.
func mayLowerScores() bool {
	const file = "/proc/self/oom_score_adj"
	before := strings.TrimSpace(textOf(file))
	if os.WriteFile(file, []byte("-1"), 0o644) != nil {
		return false
	}
	os.WriteFile(file, []byte(before), 0o644)
	return true
}

func TestC20NumberArrives(t *testing.T) {
	if !mayLowerScores() {
		t.Skip("this machine lets nobody lower oom_score_adj (no CAP_SYS_RESOURCE)")
	}
	t.Parallel()
	n := NewNode(t)
	n.Config["shim_oom_score_adj"] = -7
	n.Start()
	task := n.Run("task")
	for pid, want := range map[int]string{task.Shim().Pid: "-7", task.Main().Pid: "0"} {
		if got := strings.TrimSpace(textOf(fmt.Sprintf("/proc/%d/oom_score_adj", pid))); got != want {
			t.Errorf("process %d has %s, not %s", pid, got, want)
		}
	}
}

func TestC21UnknownAndNilKeys(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	for _, key := range []string{"store", "key_file", "log_level", "shim_oom_score_adj"} {
		n.Config[key] = nil
	}
	n.Config["of_a_future_version"] = map[string]any{"deep": []any{1, nil, "x"}}
	n.Start()
	task := n.Run("task")
	if got := strings.TrimSpace(textOf(fmt.Sprintf("/proc/%d/oom_score_adj", task.Shim().Pid))); got != "-500" && mayLowerScores() {
		t.Errorf("default of shim_oom_score_adj: the shim has %s", got)
	}
	if got := strings.TrimSpace(textOf(fmt.Sprintf("/proc/%d/oom_score_adj", task.Main().Pid))); got != "0" {
		t.Errorf("the agent has oom_score_adj %s", got)
	}
}

func TestC22Health(t *testing.T) {
	t.Parallel()
	p := NewNode(t).Launch()
	for _, service := range []string{"plugin", ""} {
		if got := p.Must("Health", M{"service": service}).Int("status"); got != 1 {
			t.Errorf("health of %q: %d", service, got)
		}
	}
	_, err := p.Call("Health", M{"service": "other"})
	WantCode(t, "unknown service", err, codes.NotFound)
	protocol, err := p.client.Client()
	check(t, err)
	check(t, protocol.Ping())
}

func TestC23UnknownMethods(t *testing.T) {
	t.Parallel()
	p := NewNode(t).Launch()
	for range 50 {
		for _, name := range []string{"NoSuchMethod", "NoSuchService"} {
			_, err := p.Call(name, M{})
			WantCode(t, name, err, codes.Unimplemented)
		}
	}
	p.Must("PluginInfo", M{})
}

func TestC24SilentStreams(t *testing.T) {
	t.Parallel()
	p := NewNode(t).Launch() // go-plugin has opened one of each already
	stdio, broker := p.Open("StreamStdio", M{}), p.Open("StartStream", M{})
	for name, stream := range map[string]*Stream{"StreamStdio": stdio, "StartStream": broker} {
		if message, err := stream.Within(300 * time.Millisecond); message != nil || err != nil {
			t.Errorf("%s: %v, %v", name, message, err)
		}
	}
	p.Must("PluginInfo", M{})
}

func TestC25InitRepeated(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	main := n.Run("steady").Main()
	for range 3 {
		n.P.Must("Init", M{})
	}
	if !main.Alive() {
		t.Error("the task died")
	}
}

func TestC25WithoutInit(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	n.P = n.Launch()
	n.P.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "nomad_config": nomadConfig(), "plugin_api_version": "v0.1.0"})
	task := n.Run("old agent")
	task.MustStop("", time.Second)
	WantResult(t, task.Wait(), 143, 15)
	check(t, task.Destroy(true))
}

func TestC26FingerprintStaysOpen(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	begin := time.Now()
	stream := n.P.Open("Fingerprint", M{})
	first, err := stream.Next()
	check(t, err)
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("the first message took %v", took)
	}
	if first.Int("health") != 2 || first.Str("err") != "" || first.Str("health_description") == "" {
		t.Errorf("first message: %v", first)
	}
	names := map[string]bool{}
	for _, item := range first.List("attributes") {
		if names[item.(M).Str("key")] {
			t.Errorf("attribute %q comes twice", item.(M).Str("key"))
		}
		names[item.(M).Str("key")] = true
		if !strings.HasPrefix(item.(M).Str("key"), "driver.agent") {
			t.Errorf("attribute %v", item)
		}
	}
	if !names["driver.agent.version"] {
		t.Errorf("no driver.agent.version in %v", names)
	}
	if again, err := stream.Within(2 * time.Second); err != nil || again != nil && again.Int("health") != 2 {
		t.Errorf("later: %v, %v", again, err)
	}
}

// A running plugin is configured anew: what starts later goes by it, tasks that run stay, and what they
// depend on is not changed.
func TestC19ConfigOfARunningPluginChanges(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	configure := func(changes map[string]any) error {
		config := maps.Clone(n.Config)
		maps.Copy(config, changes)
		_, err := n.P.Call("SetConfig", M{"msgpack_config": Pack(config), "nomad_config": nomadConfig(), "plugin_api_version": "v0.1.0"})
		return err
	}
	first := n.NewTask("first", "forever")
	first.Start()
	check(t, configure(map[string]any{"denied_commands": []any{stubPath}}))
	second := n.NewTask("second", "forever")
	WantCode(t, "start of a denied command", second.TryStart(), codes.PermissionDenied)
	main := first.Main().Pid
	for key, value := range map[string]any{"state_dir": n.Dir + "/other", "run_dir": n.Dir + "/else", "log_collection": "shim"} {
		err := configure(map[string]any{key: value, "denied_commands": nil})
		WantCode(t, key, err, codes.FailedPrecondition)
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("want an error that names %s, got %v", key, err)
		}
	}
	WantCode(t, "a limit below 0", configure(map[string]any{"pids_limit": -1}), codes.InvalidArgument)
	WantCode(t, "start under the configuration of before", second.TryStart(), codes.PermissionDenied)
	check(t, configure(map[string]any{"shim": "/nonexistent"}))
	stream := n.P.Open("Fingerprint", M{})
	if message, err := stream.Next(); err != nil || message.Int("health") != 1 {
		t.Errorf("without a shim: %v, %v", message, err)
	}
	check(t, configure(nil))
	second.Start()
	if first.Main().Pid != main {
		t.Errorf("the first task's process was %d, is %d", main, first.Main().Pid)
	}
	for _, task := range []*Task{first, second} {
		task.Destroy(true)
	}
	n.WantClean()
}

// The state directory cannot be made; then it can. The plugin looks again every 30 s.
func TestC27UnhealthyAndBack(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	obstacle := n.Config["state_dir"].(string)
	check(t, os.WriteFile(obstacle, nil, 0o644))
	p := n.Launch()
	stream := p.Open("Fingerprint", M{})
	p.Must("SetConfig", M{"msgpack_config": Pack(n.Config), "nomad_config": nomadConfig(), "plugin_api_version": "v0.1.0"})
	await := func(health int, limit time.Duration) string {
		t.Helper()
		for end := time.Now().Add(limit); ; {
			message, err := stream.Within(time.Until(end))
			if message == nil {
				t.Fatalf("no message of health %d within %v: %v", health, limit, err)
			}
			if message.Int("health") == health {
				return message.Str("health_description")
			}
		}
	}
	if text := await(1, time.Second); text == "" || strings.ContainsAny(text, "0123456789") {
		t.Errorf("description of a broken driver: %q", text)
	}
	check(t, os.Remove(obstacle))
	await(2, 35*time.Second)
}

func TestC29CancelledStreamsLeaveNothing(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	cycle := func(times int) {
		for range times {
			prints, events := n.P.Open("Fingerprint", M{}), n.P.Open("TaskEvents", M{})
			if _, err := prints.Next(); err != nil {
				t.Fatal(err)
			}
			prints.Cancel()
			events.Cancel()
			prints.Next()
			events.Next()
		}
		n.P.Must("PluginInfo", M{})
	}
	cycle(200)
	fds, rss := len(Fds(n.P.Pid)), rssKB(n.P.Pid)
	cycle(1000)
	if now := len(Fds(n.P.Pid)); now > fds+2 {
		t.Errorf("descriptors: %d, then %d", fds, now)
	}
	if now := rssKB(n.P.Pid); now > rss+1024 && !sanitized(n.P.Pid) {
		t.Errorf("RSS: %d KB, then %d KB", rss, now)
	}
}
