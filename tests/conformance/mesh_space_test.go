//go:build mesh

package conformance

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Space is a network namespace of this test, as Nomad's network manager makes one an allocation.
type Space struct {
	t    testing.TB
	Name string
}

// command runs a program that must work.
func command(t testing.TB, line string) {
	t.Helper()
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", line, err, out)
	}
}

// newSpace makes a namespace whose loopback is up.
func newSpace(t testing.TB) *Space {
	t.Helper()
	s := &Space{t, "mesh-" + hexWord(4)}
	command(t, "ip netns add "+s.Name)
	t.Cleanup(func() { command(t, "ip netns del "+s.Name) })
	command(t, "ip -n "+s.Name+" link set lo up")
	return s
}

// newWire makes a namespace with a bridge that has this address.
func newWire(t testing.TB, address string) *Space {
	t.Helper()
	wire := newSpace(t)
	command(t, "ip -n "+wire.Name+" link add bridge type bridge")
	command(t, "ip -n "+wire.Name+" addr add "+address+"/24 dev bridge")
	command(t, "ip -n "+wire.Name+" link set bridge up")
	return wire
}

// plug connects a new namespace with this address to the wire; `port` is the cable's end there.
func (wire *Space) plug(port, address string) *Space {
	wire.t.Helper()
	s := newSpace(wire.t)
	command(wire.t, "ip -n "+s.Name+" link add eth0 type veth peer name "+port+" netns "+wire.Name)
	command(wire.t, "ip -n "+s.Name+" addr add "+address+"/24 dev eth0")
	command(wire.t, "ip -n "+s.Name+" link set eth0 up")
	command(wire.t, "ip -n "+wire.Name+" link set "+port+" master bridge up")
	return s
}

// Path is the file by which the namespace is named to a driver.
func (s *Space) Path() string { return "/run/netns/" + s.Name }

// link is the line by which a process in the namespace names it.
func (s *Space) link() string {
	s.t.Helper()
	var at unix.Stat_t
	check(s.t, unix.Stat(s.Path(), &at))
	return fmt.Sprintf("net:[%d]\n", at.Ino)
}

// The main thread would stay in a namespace for ever: no goroutine that enters one may get it.
func init() { runtime.LockOSThread() }

// within runs a function in the namespace, on a thread of its own that then ends.
func (s *Space) within(what func()) {
	s.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		fd, err := unix.Open(s.Path(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			what()
		}
		done <- err
	}()
	check(s.t, <-done)
}

// dial connects from inside the namespace to a numeric address.
func (s *Space) dial(address string) (conn net.Conn, err error) {
	s.t.Helper()
	s.within(func() { conn, err = net.DialTimeout("tcp", address, 2*time.Second) })
	return conn, err
}

// Tap is what has passed one port of the wire.
type Tap struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// tap listens at a port of the wire until the test ends.
func (wire *Space) tap(port string) *Tap {
	wire.t.Helper()
	var fd int
	var err error
	wire.within(func() { fd, err = packetSocket(port) })
	check(wire.t, err)
	tap, ended := &Tap{}, make(chan struct{})
	stop, stopped, err := pipe()
	check(wire.t, err)
	go func() {
		defer close(ended)
		tap.listen(fd, stop)
	}()
	wire.t.Cleanup(func() {
		unix.Close(stopped)
		<-ended
		unix.Close(fd)
		unix.Close(stop)
	})
	return tap
}

func pipe() (reader, writer int, err error) {
	var ends [2]int
	err = unix.Pipe2(ends[:], unix.O_CLOEXEC)
	return ends[0], ends[1], err
}

func packetSocket(port string) (int, error) {
	all := unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all)
	if err != nil {
		return -1, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	link, err := net.InterfaceByName(port)
	if err != nil {
		return fd, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: link.Index})
}

func (tap *Tap) listen(fd, stop int) {
	frame := make([]byte, 256<<10)
	for {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
		unix.Poll(polled, -1)
		if polled[1].Revents != 0 {
			return
		}
		if n, err := unix.Read(fd, frame); err == nil {
			tap.mu.Lock()
			tap.all.Write(frame[:n])
			tap.mu.Unlock()
		}
	}
}

// saw tells whether these bytes have passed.
func (tap *Tap) saw(text string) bool {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return bytes.Contains(tap.all.Bytes(), []byte(text))
}
