// Stub is an agent for tests: it does what its arguments say, one after the other.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var signals = map[string]syscall.Signal{
	"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM,
	"SIGUSR1": syscall.SIGUSR1, "SIGUSR2": syscall.SIGUSR2, "SIGKILL": syscall.SIGKILL,
	"SIGQUIT": syscall.SIGQUIT, "SIGSEGV": syscall.SIGSEGV,
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		die("number %q: %v", text, err)
	}
	return n
}

func die(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "stub: "+format+"\n", args...)
	os.Exit(99)
}

func spawn(detach bool, args ...string) {
	self, err := os.Executable()
	if err != nil {
		die("executable: %v", err)
	}
	cmd := exec.Command(self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: detach}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		die("spawn: %v", err)
	}
}

// on calls what for every arrival of one of the named signals.
func on(names string, what func(name string)) {
	for _, name := range strings.Split(names, ",") {
		arrivals := make(chan os.Signal, 16)
		signal.Notify(arrivals, signals[name])
		go func() {
			for range arrivals {
				what(name)
			}
		}()
	}
}

// tick appends a line to file every few milliseconds for as long as the process lives.
func tick(file string, every time.Duration) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		die("tick: %v", err)
	}
	for i := 0; ; i++ {
		fmt.Fprintf(out, "%d %d\n", i, time.Now().UnixMilli())
		time.Sleep(every)
	}
}

func burn(seconds float64) {
	for end := time.Now().Add(time.Duration(seconds * 1e9)); time.Now().Before(end); {
		for i := 0; i < 1e6; i++ {
			_ = i * i
		}
	}
}

func lines(every time.Duration) {
	for i := 0; ; i++ {
		fmt.Printf("line %d\n", i)
		time.Sleep(every)
	}
}

func facts() {
	wd, _ := os.Getwd()
	groups, _ := os.Getgroups()
	out, _ := json.Marshal(map[string]any{"env": os.Environ(), "args": os.Args, "cwd": wd,
		"uid": os.Getuid(), "gid": os.Getgid(), "groups": groups, "pid": os.Getpid()})
	fmt.Println(string(out))
}

var kept [][]byte

func step(name, value string) {
	first, second, _ := strings.Cut(value, ":")
	switch name {
	case "print":
		fmt.Println(value)
	case "eprint":
		fmt.Fprintln(os.Stderr, value)
	case "facts":
		facts()
	case "append":
		out, err := os.OpenFile(first, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			die("append: %v", err)
		}
		fmt.Fprintln(out, second)
		out.Close()
	case "ignore":
		on(value, func(string) {})
	case "note":
		on(value, func(name string) { fmt.Println("got " + name) })
	case "trap":
		on(first, func(string) { os.Exit(number(second)) })
	case "tick":
		go tick(first, time.Duration(number(second))*time.Millisecond)
	case "lines":
		go lines(time.Duration(number(value)) * time.Millisecond)
	case "child":
		spawn(false, "ignore=SIGTERM,SIGINT", "forever")
	case "await-child": // one that does as told, until it has ended
		self, err := os.Executable()
		if err != nil {
			die("executable: %v", err)
		}
		cmd := exec.Command(self, value)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		fmt.Println("child:", cmd.Run())
	case "daemon": // leaves parent, group and session; ignores what a stop sends
		spawn(true, "detached="+value)
	case "detached":
		spawn(true, "ignore=SIGTERM,SIGINT,SIGHUP", "tick="+value+":10", "forever")
	case "burn":
		n, _ := strconv.ParseFloat(value, 64)
		burn(n)
	case "mem":
		block := make([]byte, number(value)<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		kept = append(kept, block)
	case "sleep":
		n, _ := strconv.ParseFloat(value, 64)
		time.Sleep(time.Duration(n * 1e9))
	case "await": // a file to appear
		for {
			if _, err := os.Stat(value); err == nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	case "kill":
		syscall.Kill(os.Getpid(), signals[value])
		select {}
	case "exit":
		os.Exit(number(value))
	case "forever":
		for {
			time.Sleep(time.Hour)
		}
	default:
		die("unknown step %q", name)
	}
}

func main() {
	for _, arg := range os.Args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		step(name, value)
	}
}
