package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

var withRequest = []string{"SetConfig", "RecoverTask", "StartTask", "WaitTask", "StopTask", "DestroyTask", "InspectTask",
	"TaskStats", "SignalTask"}

// Those that are harmless with nothing in them may say OK.
func TestC71EmptyRequests(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	main := n.Run("bystander").Main()
	harmless := map[string]bool{"SetConfig": true, "StopTask": true, "DestroyTask": true}
	for _, name := range withRequest {
		if name == "TaskStats" {
			if _, err := n.P.Open(name, M{}).Next(); err == nil {
				t.Errorf("%s with nothing in it gave a sample", name)
			}
			continue
		}
		if _, err := n.P.Call(name, M{}); err == nil && !harmless[name] {
			t.Errorf("%s with nothing in it: OK", name)
		}
	}
	for what, request := range map[string]M{"task": {"task": ""}, "config only": {"task": Encode("TaskConfig", M{"msgpack_driver_config": Pack(map[string]any{"command": "/bin/true"})})}} {
		if _, err := n.P.Call("StartTask", request); err == nil {
			t.Errorf("StartTask with %s: OK", what)
		}
	}
	for _, handle := range []M{{}, {"version": 1}, {"version": 99, "config": "", "driver_state": "x"}} {
		if _, err := n.P.Call("RecoverTask", M{"handle": handle}); err == nil {
			t.Errorf("RecoverTask of %v: OK", handle)
		}
	}
	if !main.Alive() {
		t.Error("a bystander died")
	}
	n.P.Must("PluginInfo", M{})
}

// future appends a field of every wire type that no version knows.
func future(message []byte) []byte {
	message = append(message, 0xc0, 0x3e, 0x7f)                            // 1000: varint
	message = append(message, 0xc9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8)          // 1001: fixed64
	message = append(message, 0xd2, 0x3e, 5, 'f', 'u', 't', 'u', 'r')      // 1002: bytes
	message = append(message, 0xdd, 0x3e, 1, 2, 3, 4)                      // 1003: fixed32
	return append(message, 0xfa, 0xff, 0xff, 0xff, 0x0f, 3, 'n', 'e', 'w') // the largest number
}

func TestC72UnknownFields(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	call := func(name string, request M) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		m := methods[name]
		reply, err := n.P.Raw(ctx, m.path, future(Encode(m.request, request)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = Decode(m.reply, reply)
		check(t, err)
	}
	call("PluginInfo", M{})
	call("Capabilities", M{})
	task := n.NewTask("task", "print=ready", "trap=SIGTERM:0", "forever")
	config := future(Encode("TaskConfig", task.message()))
	call("StartTask", M{"task": config})
	task.Out.Await(t, "ready")
	call("InspectTask", M{"task_id": task.ID})
	call("SignalTask", M{"task_id": task.ID, "signal": "SIGCONT"})
	call("StopTask", M{"task_id": task.ID, "timeout": duration(time.Second)})
	call("WaitTask", M{"task_id": task.ID})
	call("DestroyTask", M{"task_id": task.ID})
	config = append(Encode("SetConfigRequest", M{"msgpack_config": Pack(n.Config)}), 0xc0, 0x3e, 1)
	p := n.Launch()
	_, err := p.Raw(context.Background(), methods["SetConfig"].path, config)
	check(t, err)
}

func TestC73MalformedProtobuf(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	main := n.Run("bystander").Main()
	for what, wrong := range map[string][]byte{"ones": bytes.Repeat([]byte{0xff}, 100), "truncated": {0x0a, 0x7f, 'x'},
		"endless varint": bytes.Repeat([]byte{0x80}, 64), "group": {0x0b, 0x0c}, "huge length": {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"field zero": {0x00, 0x00}} {
		for _, name := range withRequest {
			if name == "TaskStats" {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), callLimit)
			_, err := n.P.Raw(ctx, methods[name].path, wrong)
			cancel()
			if err == nil {
				t.Errorf("%s of %s: OK", what, name)
			}
			if code := Code(err); code == codes.Unavailable || code == codes.Canceled || code == codes.DeadlineExceeded {
				t.Errorf("%s of %s: %v", what, name, err)
			}
		}
		if _, err := n.P.Call("StartTask", M{"task": wrong}); err == nil {
			t.Errorf("%s as TaskConfig: OK", what)
		}
	}
	if !main.Alive() {
		t.Error("a bystander died")
	}
	n.P.Must("PluginInfo", M{})
}

// wire is an HTTP/2 connection without a gRPC library on it.
type wire struct {
	conn   net.Conn
	framer *http2.Framer
	encode *hpack.Encoder
	head   bytes.Buffer
}

func openWire(t testing.TB, socket string) *wire {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	check(t, err)
	w := &wire{conn: conn, framer: http2.NewFramer(conn, conn)}
	w.encode = hpack.NewEncoder(&w.head)
	_, err = io.WriteString(conn, http2.ClientPreface)
	check(t, err)
	check(t, w.framer.WriteSettings())
	go io.Copy(io.Discard, conn)
	return w
}

func (w *wire) headers(id uint32, path string, end bool) error {
	w.head.Reset()
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "unused"},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		w.encode.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	return w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.head.Bytes(), EndStream: end, EndHeaders: true})
}

// grpcFrame is a message with its five byte prefix.
func grpcFrame(flag byte, length int, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(length)), body...)
}

func TestC73WireAbuse(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	b := startBare(n)
	b.serve(n)
	main := n.Run("bystander").Main()
	info := methods["PluginInfo"].path
	for what, abuse := range map[string]func(w *wire) error{
		"compressed flag": func(w *wire) error {
			w.headers(1, info, false)
			return w.framer.WriteData(1, true, grpcFrame(1, 3, []byte("abc")))
		},
		"unknown flag": func(w *wire) error {
			w.headers(1, info, false)
			return w.framer.WriteData(1, true, grpcFrame(0x42, 0, nil))
		},
		"message of 4 GB": func(w *wire) error {
			w.headers(1, info, false)
			return w.framer.WriteData(1, true, grpcFrame(0, 0xffffffff, nil))
		},
		"cut message": func(w *wire) error {
			w.headers(1, info, false)
			return w.framer.WriteData(1, true, grpcFrame(0, 100, []byte("x")))
		},
		"no message": func(w *wire) error { return w.headers(1, info, true) },
		"two messages": func(w *wire) error {
			w.headers(1, info, false)
			return w.framer.WriteData(1, true, append(grpcFrame(0, 0, nil), grpcFrame(0, 0, nil)...))
		},
		"oversized frame": func(w *wire) error {
			_, err := w.conn.Write(append([]byte{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1}, make([]byte, 1000)...))
			return err
		},
		"not HTTP/2": func(w *wire) error { _, err := w.conn.Write(bytes.Repeat([]byte("garbage"), 1000)); return err },
		"long path":  func(w *wire) error { return w.headers(1, "/"+strings.Repeat("x", 100000), true) },
		"RST flood": func(w *wire) error {
			for id := uint32(1); id < 4000; id += 2 {
				w.headers(id, info, false)
				w.framer.WriteRSTStream(id, http2.ErrCodeCancel)
			}
			return nil
		},
		"PING flood": func(w *wire) error {
			for range 5000 {
				w.framer.WritePing(false, [8]byte{1})
			}
			return nil
		},
		"SETTINGS flood": func(w *wire) error {
			for range 2000 {
				w.framer.WriteSettings()
			}
			return nil
		},
	} {
		w := openWire(t, b.socket)
		abuse(w) // the server may hang up in the middle: that is an answer
		if _, err := b.Call("PluginInfo", M{}); err != nil {
			t.Fatalf("%s: the other connection fails: %v", what, err)
		}
		w.conn.Close()
	}
	if !main.Alive() {
		t.Error("a bystander died")
	}
	Eventually(t, 5*time.Second, "few descriptors", func() bool { return len(Fds(b.Pid)) < 40 })
	if _, err := n.P.Call("Capabilities", M{}); err != nil {
		t.Error(err)
	}
}

func TestC73ThousandParallelStreams(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	task := n.Run("steady")
	var open []*waiter
	for range 500 {
		open = append(open, task.WaitAsync())
	}
	var streams []*Stream
	for range 500 {
		streams = append(streams, n.P.Open("TaskStats", M{"task_id": task.ID, "collection_interval": duration(time.Second)}))
	}
	for i, stream := range streams {
		if _, err := stream.Next(); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
	n.P.Must("PluginInfo", M{})
	task.MustStop("SIGKILL", 0)
	for _, waiter := range open {
		reply, err := waiter.Result(t, 5*time.Second)
		check(t, err)
		WantResult(t, reply, 137, 9)
	}
	for _, stream := range streams {
		stream.Cancel()
	}
}

// A stop that waits, a start without a log reader and a frozen task: other tasks do not feel it.
func TestC74NothingBlocksTheOthers(t *testing.T) {
	t.Parallel()
	n := StartedNode(t)
	stubborn, frozen := n.Run("stubborn", "note=SIGTERM"), n.Run("frozen")
	check(t, frozen.Signal("SIGSTOP"))
	hung := n.NewTask("hung", "exit=0")
	hung.More = M{"stdout_path": hung.AllocDir + "/nobody"}
	check(t, syscall.Mkfifo(hung.AllocDir+"/nobody", 0o600))
	var wait sync.WaitGroup
	wait.Go(func() { stubborn.Stop("SIGTERM", 3*time.Second) })
	wait.Go(func() { frozen.Stop("SIGTERM", 3*time.Second) })
	wait.Go(func() { hung.TryStart() })
	stubborn.Out.Await(t, "got SIGTERM")
	for i := range 20 {
		begin := time.Now()
		task := n.NewTask(fmt.Sprint("quick", i), "exit=0").Start()
		WantResult(t, task.Wait(), 0, 0)
		check(t, task.Destroy(false))
		n.P.Must("PluginInfo", M{})
		if took := time.Since(begin); took > time.Second {
			t.Errorf("a whole life of another task took %v", took)
		}
	}
	wait.Wait()
}

func TestC73ManyConnections(t *testing.T) {
	t.Parallel()
	n := NewNode(t)
	b := startBare(n)
	var conns []*grpc.ClientConn
	for range 100 {
		conn := dial(t, b.socket)
		conns = append(conns, conn)
		(&Plugin{t: t, Conn: conn}).Must("PluginInfo", M{})
	}
	for _, conn := range conns {
		conn.Close()
	}
	b.Must("PluginInfo", M{})
	Eventually(t, 5*time.Second, "closed descriptors", func() bool { return len(Fds(b.Pid)) < 40 })
}
