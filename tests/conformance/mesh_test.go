//go:build mesh

package conformance

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	wireIP, callerIP, responderIP = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	agentPort, meshPort           = 9000, 21000
	meshSocket                    = "alloc/tmp/consul_http.sock"
)

// callerScript asks for the payload over the mesh, again and again, and says what has changed.
const callerScript = `
import http.client, time, urllib.request
last = None
while True:
    try:
        now = urllib.request.urlopen("http://127.0.0.1:5000/payload", timeout=2).read().decode()
    except (OSError, http.client.HTTPException):
        now = "refused"
    if now != last:
        print(now, flush=True)
    last = now
    time.sleep(0.02)
`

// Mesh is two allocations in bridge mode, each an agent and a proxy, and Consul on the node.
type Mesh struct {
	*Node
	Consul                                         *Consul
	Wire, CallerSpace, ResponderSpace              *Space
	Caller, CallerProxy, Responder, ResponderProxy *Task
	Payload                                        string
	turns                                          int // lines of the caller that were waited for
}

// newMesh makes everything and starts nothing but Consul and the driver.
func newMesh(t testing.TB) *Mesh {
	t.Helper()
	needRoot(t)
	m := &Mesh{Wire: newWire(t, wireIP), Payload: "payload-" + hexWord(8)}
	m.CallerSpace, m.ResponderSpace = m.Wire.plug("caller", callerIP), m.Wire.plug("responder", responderIP)
	m.Node = NewNode(t)
	programs := filepath.Join(m.Dir, "programs")
	m.Config["allow_host_paths"] = append(m.Config["allow_host_paths"].([]any), programs+":ro")
	consul := filepath.Join(programs, "consul")
	check(t, os.Mkdir(programs, 0o755))
	bytes, err := os.ReadFile(os.Getenv("AGENT_CONSUL"))
	check(t, err)
	check(t, os.WriteFile(consul, bytes, 0o755))
	m.Caller = m.NewTask("caller")
	m.Caller.Config["command"], m.Caller.Config["args"] = "/usr/bin/python3", []any{"-c", callerScript}
	m.Responder = m.NewTask("responder")
	m.Responder.Config["command"] = "/usr/bin/python3"
	m.Responder.Config["args"] = []any{"-m", "http.server", "9000", "--bind", "127.0.0.1", "--directory", "local"}
	check(t, os.WriteFile(m.Responder.dir("local")+"/payload", []byte(m.Payload), 0o644))
	m.CallerProxy, m.ResponderProxy = proxyOf(m.Caller, consul), proxyOf(m.Responder, consul)
	for _, task := range []*Task{m.Caller, m.CallerProxy} {
		task.More = network(m.CallerSpace, "caller-box", callerIP)
	}
	for _, task := range []*Task{m.Responder, m.ResponderProxy} {
		task.More = network(m.ResponderSpace, "responder-box", responderIP)
	}
	m.CallerProxy.More["user"], m.ResponderProxy.More["user"] = "nobody", "nobody"
	m.Node.Start()
	m.Consul = startConsul(t, m.Wire, m.Dir, wireIP, filepath.Join(m.Dir, "consul.sock"), socketOf(m.Caller), socketOf(m.Responder))
	m.Consul.intend("deny", "*", "*")
	m.Consul.register("responder", responderIP, agentPort, M{"LocalServicePort": agentPort,
		"Config": M{"bind_address": responderIP}})
	m.Consul.register("caller", callerIP, agentPort, M{"Config": M{"bind_address": callerIP},
		"Upstreams": []any{M{"DestinationName": "responder", "LocalBindPort": 5000}}})
	return m
}

// network is what Nomad says of an allocation in bridge mode with a dns block.
func network(s *Space, box, address string) M {
	return M{"network_isolation_spec": M{"mode": 1, "path": s.Path(), "hosts_config": M{"hostname": box, "address": address}},
		"dns": M{"servers": []any{wireIP}, "searches": []any{"service.consul"}, "options": []any{"timeout:2"}}}
}

// socketOf is where Nomad puts a socket to Consul's API for an allocation in bridge mode. It names
// it from the task's directory, where a driver with images of its own would have the shared one.
func socketOf(t *Task) string { return filepath.Join(t.AllocDir, meshSocket) }

// proxyOf is the mesh proxy of an agent: a task beside it, as docs/network.md has it.
func proxyOf(agent *Task, consul string) *Task {
	proxy := agent.Beside("connect-proxy-" + agent.Name)
	proxy.Config["command"], proxy.Config["args"] = consul, []any{"connect", "proxy", "-sidecar-for", agent.Name}
	proxy.Config["read_paths"] = []any{filepath.Dir(consul)}
	proxy.Config["mount"] = []any{map[string]any{"source": filepath.Join(agent.AllocDir, "alloc"), "target": "alloc",
		"readonly": nil, "propagation": nil}}
	proxy.Env["CONSUL_HTTP_ADDR"] = "unix://" + meshSocket
	return proxy
}

// startAll starts the tasks and waits until the mesh knows both; the caller may not call yet.
func (m *Mesh) startAll() {
	m.T.Helper()
	for _, task := range []*Task{m.Responder, m.ResponderProxy, m.CallerProxy, m.Caller} {
		task.Start()
	}
	m.Consul.report("responder", M{}, nil)
	m.Consul.report("caller", M{}, nil)
	Eventually(m.T, 20*time.Second, "two proxies that Consul finds healthy",
		func() bool { return m.Consul.passing("responder") == 1 && m.Consul.passing("caller") == 1 })
	m.Caller.Out.Await(m.T, "refused\n")
}

// arrives and refused wait for the caller's next line, which must be that. Its lines alternate.
func (m *Mesh) arrives() { m.T.Helper(); m.turn(m.Payload) }
func (m *Mesh) refused() { m.T.Helper(); m.turn("refused") }

func (m *Mesh) turn(want string) {
	m.T.Helper()
	m.turns++
	Eventually(m.T, 10*time.Second, fmt.Sprintf("the caller's turn to %q", want),
		func() bool { return strings.Count(m.Caller.Out.String(), "\n") > m.turns })
	if got := strings.Split(m.Caller.Out.String(), "\n")[m.turns]; got != want {
		m.T.Fatalf("turn %d: want %q, got %q", m.turns, want, got)
	}
}

// allowed is the mesh at work.
func allowed(t testing.TB) *Mesh {
	t.Helper()
	m := newMesh(t)
	m.startAll()
	m.Consul.intend("allow", "caller", "responder")
	m.arrives()
	return m
}

// knock asks for the payload at the responder's public port, with what is given as identity.
func (m *Mesh) knock(from *Space, certificates ...tls.Certificate) (string, error) {
	m.T.Helper()
	conn, err := from.dial(fmt.Sprintf("%s:%d", responderIP, meshPort))
	check(m.T, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
	return ask(secured)
}

// ask says a request for the payload and gives all that comes.
func ask(conn net.Conn) (string, error) {
	if _, err := conn.Write([]byte("GET /payload HTTP/1.0\r\n\r\n")); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(conn)
	return string(reply), err
}

// identity is the certificate that Consul gives the proxy of a service.
func (m *Mesh) identity(service string) tls.Certificate {
	m.T.Helper()
	var leaf struct{ CertPEM, PrivateKeyPEM string }
	check(m.T, json.Unmarshal([]byte(m.Consul.must("GET", "/v1/agent/connect/ca/leaf/"+service, nil)), &leaf))
	certificate, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	check(m.T, err)
	return certificate
}

// What arrives has crossed the wire under TLS alone, and both ends proved who they are.
func TestMeshPayloadCrossesUnderMutualTLSOnly(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	tap := m.Wire.tap("caller")
	m.startAll()
	m.Consul.intend("allow", "caller", "responder")
	m.arrives()
	if tap.saw(m.Payload) || tap.saw("GET /payload") {
		t.Error("the agents' words are readable on the wire")
	}
	if reply, err := m.knock(m.CallerSpace); reply != "" || err == nil {
		t.Errorf("without a certificate: %q, %v", reply, err)
	}
	if reply, err := m.knock(m.CallerSpace, m.identity("stranger")); reply != "" {
		t.Errorf("the certificate of a service without permission: %q, %v", reply, err)
	}
	if reply, err := m.knock(m.CallerSpace, m.identity("caller")); !strings.Contains(reply, m.Payload) {
		t.Errorf("the caller's certificate: %q, %v", reply, err) // else the refusals above prove nothing
	}
	plain, err := m.CallerSpace.dial(fmt.Sprintf("%s:%d", responderIP, meshPort))
	check(t, err)
	defer plain.Close()
	plain.SetDeadline(time.Now().Add(5 * time.Second))
	if reply, _ := ask(plain); strings.Contains(reply, m.Payload) {
		t.Errorf("without TLS: %q", reply)
	}
	Eventually(t, 5*time.Second, "plain words on the tap", func() bool { return tap.saw("GET /payload") })
}

// The agent listens on its namespace's loopback alone; the proxy's port is all that others see.
func TestMeshHasNoOtherWay(t *testing.T) {
	t.Parallel()
	m := allowed(t)
	for _, from := range []*Space{m.CallerSpace, m.Wire} {
		for _, at := range []string{fmt.Sprintf("%s:%d", responderIP, agentPort), fmt.Sprintf("127.0.0.1:%d", agentPort)} {
			if conn, err := from.dial(at); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v, %v", at, conn, err)
			}
		}
	}
	want := fmt.Sprintf("127.0.0.1:%d %s:%d", agentPort, responderIP, meshPort)
	if got := strings.Join(listeners(m.Responder), " "); got != want {
		t.Errorf("in the responder's namespace listen %s, want %s", got, want)
	}
	for _, task := range []*Task{m.Caller, m.CallerProxy, m.Responder, m.ResponderProxy} {
		home := m.CallerSpace
		if task.AllocID == m.Responder.AllocID {
			home = m.ResponderSpace
		}
		if got := task.Shell("readlink /proc/self/ns/net; ls -d /sys/class/net/eth0"); got != home.link()+"/sys/class/net/eth0\n" {
			t.Errorf("%s: an exec finds %q", task.Name, got)
		}
		talk := task.Talk(true, "/bin/readlink", "/proc/self/ns/net")
		talk.WantEnd(0, 0)
		if got := strings.ReplaceAll(talk.Stdout.String(), "\r", ""); got != home.link() {
			t.Errorf("%s: on a terminal one finds %q", task.Name, got)
		}
	}
}

// listeners gives the TCP addresses that are listened at where the task is.
func listeners(task *Task) []string {
	var all []string
	for _, line := range strings.Split(textOf(fmt.Sprintf("/proc/%d/net/tcp", task.Main().Pid)), "\n") {
		var slot, a, b, c, d, port, peer, peerPort, state int
		fields, _ := fmt.Sscanf(line, "%d: %2x%2x%2x%2x:%x %x:%x %x", &slot, &a, &b, &c, &d, &port, &peer, &peerPort, &state)
		if fields == 9 && state == 0x0a { // TCP_LISTEN
			all = append(all, fmt.Sprintf("%d.%d.%d.%d:%d", d, c, b, a, port))
		}
	}
	slices.Sort(all)
	return all
}

func TestMeshIntentionCuts(t *testing.T) {
	t.Parallel()
	m := allowed(t)
	for range 2 {
		m.Consul.intend("deny", "caller", "responder")
		m.refused()
		if reply, err := m.knock(m.CallerSpace, m.identity("caller")); reply != "" {
			t.Errorf("denied: %q, %v", reply, err)
		}
		m.Consul.intend("allow", "caller", "responder")
		m.arrives()
	}
}

// A script check is a command in the task; what it finds there decides whom the mesh leads to.
func TestMeshFollowsScriptChecks(t *testing.T) {
	t.Parallel()
	m := allowed(t)
	script := "import sys, urllib.request\n" +
		"try: print(urllib.request.urlopen('http://127.0.0.1:9000/ready').read().decode())\n" +
		"except Exception as e: print(e); sys.exit(2)"
	verify := func(want string) {
		t.Helper()
		reply, err := m.Responder.Exec(5*time.Second, "/usr/bin/python3", "-c", script)
		if got := m.Consul.report("responder", reply, err); got != want {
			t.Fatalf("the check is %s, want %s: %v, %v", got, want, reply, err)
		}
	}
	ready := filepath.Join(m.Responder.dir("local"), "ready")
	for range 2 {
		verify("critical")
		m.refused()
		check(t, os.WriteFile(ready, []byte("fine"), 0o644))
		verify("passing")
		m.arrives()
		if said := m.Consul.must("GET", "/v1/health/checks/responder", nil); !strings.Contains(said, "fine") {
			t.Errorf("Consul does not know the script's words: %s", said)
		}
		check(t, os.Remove(ready))
	}
	_, err := m.Responder.Exec(time.Second, "/bin/sleep", "60")
	if got := m.Consul.report("responder", nil, err); got != "critical" {
		t.Errorf("a script that hangs: %s", got)
	}
	m.refused()
}

// Agent, proxy and what is executed beside them find names as Nomad gave them, by real look-ups.
func TestMeshNames(t *testing.T) {
	t.Parallel()
	m := allowed(t)
	for _, row := range []struct {
		task    *Task
		box, ip string
	}{{m.Caller, "caller-box", callerIP}, {m.CallerProxy, "caller-box", callerIP}, {m.Responder, "responder-box", responderIP}} {
		said := row.task.Shell("cat /etc/resolv.conf; for n in " + row.box + " responder.service.consul caller; do getent ahostsv4 $n | awk 'NR == 1 { print $1 }'; done")
		want := fmt.Sprintf("search service.consul\nnameserver %s\noptions timeout:2\n%s\n%s\n%s\n", wireIP, row.ip, responderIP, callerIP)
		if said != want {
			t.Errorf("%s: want %q, got %q", row.task.Name, want, said)
		}
	}
}

// The driver's crash is not noticed; a proxy that died comes back in the same namespace.
func TestMeshOutlivesDriverAndProxy(t *testing.T) {
	t.Parallel()
	m := allowed(t)
	m.CrashPlugin()
	for _, task := range m.tasks {
		task.MustRecover()
	}
	m.Consul.intend("deny", "caller", "responder")
	m.refused()
	m.Consul.intend("allow", "caller", "responder")
	m.arrives()
	syscall.Kill(m.ResponderProxy.Main().Pid, syscall.SIGKILL)
	m.refused()
	WantResult(t, m.ResponderProxy.Wait(), 137, 9)
	check(t, m.ResponderProxy.Destroy(false))
	next := m.ResponderProxy.Again()
	next.Env["CONSUL_HTTP_ADDR"] = "unix://" + meshSocket
	next.Start()
	m.arrives()
	if got := m.Responder.Shell("readlink /proc/self/ns/net"); got != m.ResponderSpace.link() {
		t.Errorf("after the recovery an exec finds %q", got)
	}
}

// An agent with state is in the allocation's network; its sidecar, which reaches the stores, is not.
func TestMeshAgentWithState(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.Responder.withState(m.Dir, "3s")
	m.startAll()
	m.Consul.intend("allow", "caller", "responder")
	m.arrives()
	said := m.Responder.Shell(`python3 -c "
import os, socket
api = socket.socket(socket.AF_UNIX)
api.connect(os.environ['AGENT_API'])
api.sendall(b'POST /v1/barrier HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
print(api.recv(4096).split()[1].decode())"`)
	if said != "200\n" {
		t.Errorf("a barrier from within the namespace: %q", said)
	}
	sidecars := slices.DeleteFunc(m.Procs(), func(p Proc) bool { return !strings.Contains(p.Command, "agent-sidecar") })
	if len(sidecars) != 1 {
		t.Fatalf("sidecars: %v", sidecars)
	}
	node, _ := os.Readlink("/proc/self/ns/net")
	if got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", sidecars[0].Pid)); got != node {
		t.Errorf("the sidecar is in %q (%v), the node in %q", got, err, node)
	}
}
