package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

const (
	cookieKey   = "NOMAD_PLUGIN_MAGIC_COOKIE"
	cookieValue = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"
	callLimit   = 20 * time.Second
)

var handshake = goplugin.HandshakeConfig{
	ProtocolVersion: 2, MagicCookieKey: cookieKey, MagicCookieValue: cookieValue,
}

// connPlugin makes go-plugin hand out its connection instead of a typed client.
type connPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (connPlugin) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("not a server")
}

func (connPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// rawCodec carries bytes; its empty name keeps the content type plain, as Nomad sends it.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (rawCodec) Name() string                    { return "" }

// Log is text that grows while a test looks at it.
type Log struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	eof  bool
	open bool
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = true
	return l.buf.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// EOF tells whether every writer has closed.
func (l *Log) EOF() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.eof
}

// Await waits until the text contains want.
func (l *Log) Await(t testing.TB, want string) {
	t.Helper()
	Eventually(t, 10*time.Second, fmt.Sprintf("output with %q", want),
		func() bool { return strings.Contains(l.String(), want) })
}

// Eventually polls a fact of the outside world until it holds or the deadline passes.
func Eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s", limit, what)
		}
	}
}

// Plugin is one running plugin process and a connection to it.
type Plugin struct {
	t      testing.TB
	client *goplugin.Client
	Conn   *grpc.ClientConn
	Pid    int
	Stderr *Log
}

// Launch starts path with go-plugin, as Nomad does.
func Launch(t testing.TB, path string, env []string, stderr *Log) *Plugin {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = env
	p := &Plugin{t: t, Stderr: stderr}
	p.connect(&goplugin.ClientConfig{Cmd: cmd, SkipHostEnv: true, Stderr: stderr})
	return p
}

// Reattach connects to a process that an earlier client has left behind.
func Reattach(t testing.TB, from *goplugin.ReattachConfig, stderr *Log) *Plugin {
	t.Helper()
	p := &Plugin{t: t, Stderr: stderr}
	p.connect(&goplugin.ClientConfig{Reattach: from})
	return p
}

func (p *Plugin) connect(config *goplugin.ClientConfig) {
	p.t.Helper()
	config.HandshakeConfig = handshake
	config.Plugins = map[string]goplugin.Plugin{"driver": connPlugin{}}
	config.AllowedProtocols = []goplugin.Protocol{goplugin.ProtocolGRPC}
	config.Logger = hclog.NewNullLogger()
	p.client = goplugin.NewClient(config)
	protocol, err := p.client.Client()
	if err != nil {
		p.t.Fatalf("connect to the plugin: %v\n%s", err, p.Stderr)
	}
	conn, err := protocol.Dispense("driver")
	if err != nil {
		p.t.Fatalf("dispense: %v", err)
	}
	p.Conn = conn.(*grpc.ClientConn)
	p.Pid = p.client.ReattachConfig().Pid
}

// Stop ends the process the way a clean agent stop does; false when it had to be killed, or when
// somebody still holds its log pipes, for which an agent would wait for ever.
func (p *Plugin) Stop() bool {
	done := make(chan struct{})
	begin := time.Now()
	go func() { p.client.Kill(); close(done) }()
	select {
	case <-done:
		return time.Since(begin) < 1900*time.Millisecond // then go-plugin kills
	case <-time.After(6 * time.Second):
		syscall.Kill(p.Pid, syscall.SIGKILL)
		return false
	}
}

// Crash is SIGKILL, and returns when the process is gone.
func (p *Plugin) Crash() {
	p.t.Helper()
	syscall.Kill(p.Pid, syscall.SIGKILL)
	Eventually(p.t, 15*time.Second, "the end of the plugin", p.client.Exited)
}

// Raw calls path with bytes as they are.
func (p *Plugin) Raw(ctx context.Context, path string, request []byte) ([]byte, error) {
	var reply []byte
	err := p.Conn.Invoke(ctx, path, &request, &reply, grpc.ForceCodec(rawCodec{}))
	return reply, err
}

// CallCtx calls a method by its name in `methods`.
func (p *Plugin) CallCtx(ctx context.Context, name string, request M) (M, error) {
	m := methods[name]
	reply, err := p.Raw(ctx, m.path, Encode(m.request, request))
	if err != nil {
		return nil, err
	}
	return Decode(m.reply, reply)
}

// Call is CallCtx with a deadline no correct call reaches.
func (p *Plugin) Call(name string, request M) (M, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return p.CallCtx(ctx, name, request)
}

// Must is a call that may not fail.
func (p *Plugin) Must(name string, request M) M {
	p.t.Helper()
	reply, err := p.Call(name, request)
	if err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
	return reply
}

// Stream is an open server stream.
type Stream struct {
	reply  string
	stream grpc.ClientStream
	Cancel context.CancelFunc
}

// Open starts a server stream (or the bidirectional StartStream, which is then left open).
func (p *Plugin) Open(name string, request M) *Stream {
	p.t.Helper()
	m := methods[name]
	ctx, cancel := context.WithCancel(context.Background())
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: name == "StartStream"}
	stream, err := p.Conn.NewStream(ctx, desc, m.path, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		p.t.Fatalf("open %s: %v", name, err)
	}
	if name != "StartStream" {
		bytes := Encode(m.request, request)
		if err := errors.Join(stream.SendMsg(&bytes), stream.CloseSend()); err != nil {
			p.t.Fatalf("send %s: %v", name, err)
		}
	}
	return &Stream{m.reply, stream, cancel}
}

// Next gives the next message; io.EOF at the stream's good end.
func (s *Stream) Next() (M, error) {
	var bytes []byte
	if err := s.stream.RecvMsg(&bytes); err != nil {
		return nil, err
	}
	return Decode(s.reply, bytes)
}

// Within gives the next message, or nil when none comes in time; then the stream is cancelled.
func (s *Stream) Within(limit time.Duration) (M, error) {
	timer := time.AfterFunc(limit, s.Cancel)
	defer timer.Stop()
	message, err := s.Next()
	if err != nil && !errors.Is(err, io.EOF) && !timer.Stop() {
		return nil, nil
	}
	return message, err
}

var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$`)

// CheckLogLines fails on a line that would hurt Nomad's log reader.
func CheckLogLines(t testing.TB, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if !utf8.ValidString(line) || len(line) > 60<<10 {
			t.Errorf("stderr line of %d bytes, not clean: %.200q", len(line), line)
		}
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) != nil {
			continue
		}
		for _, key := range []string{"@message", "@level", "@timestamp"} {
			if _, isText := record[key].(string); !isText {
				t.Errorf("stderr line has no text in %q: %s", key, line)
			}
		}
		if at, _ := record["@timestamp"].(string); !timestamp.MatchString(at) {
			t.Errorf("stderr line has a bad timestamp: %s", line)
		}
	}
}

// sanitized tells whether a program has a sanitizer in it: then its memory is no measure.
func sanitized(pid int) bool {
	maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	return bytes.Contains(maps, []byte("libasan")) || bytes.Contains(maps, []byte("libtsan"))
}

// pluginPath is the plugin under test.
func pluginPath() string { return os.Getenv("AGENT_PLUGIN") }
