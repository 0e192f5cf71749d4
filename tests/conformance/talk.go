package conformance

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// Exec runs a command by ExecTask.
func (t *Task) Exec(timeout time.Duration, words ...string) (M, error) {
	return t.N.P.Call("ExecTask", execRequest(t.ID, timeout, words...))
}

func execRequest(id string, timeout time.Duration, words ...string) M {
	request := M{"task_id": id, "command": list(words)}
	if timeout > 0 {
		request["timeout"] = duration(timeout)
	}
	return request
}

// Shell runs a script in the task, which must work, and gives what it said.
func (t *Task) Shell(script string) string {
	t.N.T.Helper()
	reply, err := t.Exec(10*time.Second, "/bin/sh", "-c", script)
	if err != nil || reply.Int("result.exit_code") != 0 {
		t.N.T.Fatalf("exec %q: %v, %v", script, reply, err)
	}
	return reply.Str("stdout")
}

func list(words []string) []any {
	all := make([]any, len(words))
	for i, word := range words {
		all[i] = word
	}
	return all
}

// Talk is an ExecTaskStreaming call.
type Talk struct {
	t      testing.TB
	stream grpc.ClientStream
	Cancel context.CancelFunc
	// What has come so far.
	Stdout, Stderr             strings.Builder
	OutClosed, ErrClosed, Beat int
	Exited                     []M
}

// Talk opens a call and says nothing.
func (p *Plugin) Talk() *Talk {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := p.Conn.NewStream(ctx, desc, methods["ExecStreaming"].path, grpc.ForceCodec(rawCodec{}))
	check(p.t, err)
	p.t.Cleanup(cancel)
	return &Talk{t: p.t, stream: stream, Cancel: cancel}
}

// Talk opens a call and says what to run.
func (t *Task) Talk(tty bool, words ...string) *Talk {
	t.N.T.Helper()
	talk := t.N.P.Talk()
	talk.Say(M{"setup": M{"task_id": t.ID, "command": list(words), "tty": tty}})
	return talk
}

// Say sends one message; after the end of the call it does nothing.
func (k *Talk) Say(message M) {
	k.t.Helper()
	bytes := Encode("ExecTaskStreamingRequest", message)
	if err := k.stream.SendMsg(&bytes); err != nil && !errors.Is(err, io.EOF) {
		k.t.Fatalf("say: %v", err)
	}
}

// Input sends input.
func (k *Talk) Input(text string) { k.t.Helper(); k.Say(M{"stdin": M{"data": text}}) }

// Next takes one message into account; io.EOF at the good end.
func (k *Talk) Next() error {
	k.t.Helper()
	var bytes []byte
	if err := k.stream.RecvMsg(&bytes); err != nil {
		return err
	}
	message, err := Decode("ExecTaskStreamingResponse", bytes)
	check(k.t, err)
	members := 0
	for _, name := range []string{"stdout", "stderr", "exited"} {
		if message.Has(name) {
			members++
		}
	}
	if members == 0 {
		k.Beat++
	}
	if members > 1 || message.Has("result") != message.Bool("exited") {
		k.t.Errorf("a message with %v", message)
	}
	if len(k.Exited) > 0 {
		k.t.Errorf("after the exited message: %v", message)
	}
	k.take(message, "stdout", &k.Stdout, &k.OutClosed)
	k.take(message, "stderr", &k.Stderr, &k.ErrClosed)
	if message.Bool("exited") {
		k.Exited = append(k.Exited, message["result"].(M))
		if k.OutClosed != 1 || k.ErrClosed != 1 {
			k.t.Errorf("exited after %d and %d close messages", k.OutClosed, k.ErrClosed)
		}
	}
	return nil
}

func (k *Talk) take(message M, name string, text *strings.Builder, closed *int) {
	k.t.Helper()
	if !message.Has(name) {
		return
	}
	data := message.Str(name + ".data")
	if *closed > 0 || len(data) > 32<<10 || (data == "") != message.Bool(name+".close") {
		k.t.Errorf("%s: after %d close messages %d bytes, close %v", name, *closed, len(data), message.Bool(name+".close"))
	}
	text.WriteString(data)
	if message.Bool(name + ".close") {
		*closed++
	}
}

// Until takes messages until the text has come on stdout.
func (k *Talk) Until(text string) {
	k.t.Helper()
	timer := time.AfterFunc(callLimit, k.Cancel)
	defer timer.Stop()
	for !strings.Contains(k.Stdout.String(), text) {
		if err := k.Next(); err != nil {
			k.t.Fatalf("waiting for %q: %v after %q, %q", text, err, k.Stdout.String(), k.Stderr.String())
		}
	}
}

// End takes all the rest; nil after a good end, else the call's error.
func (k *Talk) End() error {
	k.t.Helper()
	timer := time.AfterFunc(callLimit, k.Cancel)
	defer timer.Stop()
	for {
		if err := k.Next(); errors.Is(err, io.EOF) {
			if len(k.Exited) != 1 {
				k.t.Errorf("%d exited messages before the good end", len(k.Exited))
			}
			return nil
		} else if err != nil {
			return err
		}
	}
}

// WantEnd is End with exactly this result.
func (k *Talk) WantEnd(code, signal int) {
	k.t.Helper()
	if err := k.End(); err != nil {
		k.t.Errorf("the call ended with %v", err)
	} else if k.Exited[0].Int("exit_code") != code || k.Exited[0].Int("signal") != signal {
		k.t.Errorf("want exit code %d, signal %d, got %v; output %.200q, %.200q", code, signal, k.Exited[0], k.Stdout.String(), k.Stderr.String())
	}
}
