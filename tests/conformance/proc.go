package conformance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Proc is a process as /proc shows it.
type Proc struct {
	Pid, Parent int
	State       string
	Start       uint64
	Command     string
}

// ReadProc reads one process; false when it is gone or a zombie.
func ReadProc(pid int) (Proc, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Proc{}, false
	}
	after := text[bytes.LastIndexByte(text, ')')+1:]
	fields := strings.Fields(string(after))
	parent, _ := strconv.Atoi(fields[1])
	start, _ := strconv.ParseUint(fields[19], 10, 64)
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return Proc{pid, parent, fields[0], start,
		strings.ReplaceAll(strings.TrimRight(string(command), "\x00"), "\x00", " ")}, fields[0] != "Z"
}

// Alive tells whether the very process (not a later one of that pid) still runs.
func (p Proc) Alive() bool {
	now, ok := ReadProc(p.Pid)
	return ok && now.Start == p.Start
}

// Same tells whether both are one process.
func (p Proc) Same(other Proc) bool { return p.Pid == other.Pid && p.Start == other.Start }

func (p Proc) String() string {
	return fmt.Sprintf("%d (parent %d, %s) %q", p.Pid, p.Parent, p.State, p.Command)
}

// procsWhere lists processes, oldest first.
func procsWhere(is func(pid int) bool) []Proc {
	entries, _ := os.ReadDir("/proc")
	var found []Proc
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() || !is(pid) {
			continue
		}
		if proc, ok := ReadProc(pid); ok {
			found = append(found, proc)
		}
	}
	sort.Slice(found, func(i, j int) bool {
		return found[i].Start < found[j].Start || found[i].Start == found[j].Start && found[i].Pid < found[j].Pid
	})
	return found
}

// Children lists the children of all threads of a process, also those that nobody has reaped.
func Children(pid int) []string {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var all []string
	for _, path := range lists {
		text, _ := os.ReadFile(path)
		all = append(all, strings.Fields(string(text))...)
	}
	return all
}

func hasEnv(pid int, text string) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(environ, []byte(text))
}

// Fds gives what each open descriptor of a process is.
func Fds(pid int) map[int]string {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	fds := map[int]string{}
	for _, entry := range entries {
		number, _ := strconv.Atoi(entry.Name())
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			fds[number] = target
		}
	}
	return fds
}

func hasFd(pid int, prefix string) bool {
	for _, target := range Fds(pid) {
		if strings.HasPrefix(target, prefix) {
			return true
		}
	}
	return false
}

// StatusField reads a field of /proc/PID/status, such as VmRSS or SigIgn.
func StatusField(pid int, name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func rssKB(pid int) int {
	kb, _ := strconv.Atoi(strings.TrimSuffix(StatusField(pid, "VmRSS"), " kB"))
	return kb
}

// Gone waits until none of the processes lives.
func Gone(t testing.TB, limit time.Duration, procs ...Proc) {
	t.Helper()
	Eventually(t, limit, fmt.Sprint("the end of ", procs), func() bool {
		for _, proc := range procs {
			if proc.Alive() {
				return false
			}
		}
		return true
	})
}

// tree lists every path below the roots, for a comparison of before and after.
func tree(roots ...string) []string {
	var paths []string
	for _, root := range roots {
		filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				paths = append(paths, path)
			}
			return nil
		})
	}
	return paths
}

// cgroupRoot is where cgroup v2 is mounted; "" without one.
func cgroupRoot() string {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1]
		}
	}
	return ""
}

func signalAll(procs []Proc, sig syscall.Signal) {
	for _, proc := range procs {
		syscall.Kill(proc.Pid, sig)
	}
}
