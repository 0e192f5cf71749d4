package conformance

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// v1Mounts gives the first mount of each cgroup v1 controller.
func v1Mounts() map[string]string {
	found := map[string]string{}
	for _, line := range strings.Split(textOf("/proc/self/mounts"), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[2] != "cgroup" {
			continue
		}
		for _, word := range strings.Split(fields[3], ",") {
			if found[word] == "" {
				found[word] = fields[1]
			}
		}
	}
	return found
}

// needV1 skips unless these controllers are in v1 and ours to use.
func needV1(t testing.TB, controllers ...string) map[string]string {
	t.Helper()
	mounts := v1Mounts()
	for _, name := range controllers {
		if mounts[name] == "" || os.Getuid() != 0 {
			t.Skipf("no cgroup v1 controller %q that we may use", name)
		}
	}
	return mounts
}

// v1Dir is the directory of a process in a v1 hierarchy; "" when it has none.
func v1Dir(pid int, controller string) string {
	for _, line := range strings.Split(textOf(fmt.Sprintf("/proc/%d/cgroup", pid)), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), controller) {
			return filepath.Join(v1Mounts()[controller], parts[2])
		}
	}
	return ""
}

// v2Dir is the directory of a process in the v2 hierarchy.
func v2Dir(pid int) string {
	_, path, _ := strings.Cut(textOf(fmt.Sprintf("/proc/%d/cgroup", pid)), "0::")
	return filepath.Join(cgroupRoot(), strings.TrimSpace(path))
}

// memoryVersion is the version of the memory controller that can bound tasks here; 0 none.
func memoryVersion() int {
	if strings.Contains(textOf(filepath.Join(cgroupRoot(), "cgroup.controllers")), "memory") {
		return 2
	}
	if v1Mounts()["memory"] != "" && os.Getuid() == 0 {
		return 1
	}
	return 0
}

// value reads a file of a cgroup.
func value(dir, file string) string { return strings.TrimSpace(textOf(filepath.Join(dir, file))) }

func number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	check(t, err)
	return n
}

// key is the name of the task's directory, and part of its cgroups'.
func (t *Task) key() string {
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%s/%s", t.AllocID, t.Name)
	return fmt.Sprintf("%016x", sum.Sum64())
}

// v1Leftovers lists v1 cgroups that the driver made for these tasks.
func v1Leftovers(tasks []*Task) []string {
	var left []string
	for _, mount := range v1Mounts() {
		for _, task := range tasks {
			for _, who := range []string{"agent", "sidecar"} {
				dir := filepath.Join(mount, "nomad-driver-agent", who+"-"+task.key())
				if _, err := os.Stat(dir); err == nil {
					left = append(left, dir)
				}
			}
		}
	}
	return left
}

// resources is the part of TaskConfig that bounds a task.
func resources(shares, memory, memoryMax int) M {
	return M{"allocated_resources": M{"cpu": M{"cpu_shares": shares},
		"memory": M{"memory_mb": memory, "memory_max_mb": memoryMax}},
		"linux_resources": M{"cpu_shares": shares, "percent_ticks": 0.25}}
}

// allMounts lists every mount of a v1 controller.
func allMounts(controller string) []string {
	var found []string
	for _, line := range strings.Split(textOf("/proc/self/mounts"), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 3 && fields[2] == "cgroup" && slices.Contains(strings.Split(fields[3], ","), controller) {
			found = append(found, fields[1])
		}
	}
	return found
}

// without makes the plugin start in a mount namespace that lacks these v1 controllers. The host's
// mounts stay.
func (n *Node) without(controllers ...string) {
	n.T.Helper()
	var text strings.Builder
	text.WriteString("#!/bin/sh\nexec unshare -m /bin/sh -c '")
	for _, controller := range controllers {
		for _, mount := range allMounts(controller) {
			fmt.Fprintf(&text, "umount %s && ", mount)
		}
	}
	fmt.Fprintf(&text, "exec %s'\n", n.Program)
	wrapper := filepath.Join(n.Dir, "plugin")
	check(n.T, os.WriteFile(wrapper, []byte(text.String()), 0o755))
	n.Program = wrapper
}
