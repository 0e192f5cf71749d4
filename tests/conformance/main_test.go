package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"AGENT_PLUGIN", "AGENT_SHIM", "AGENT_SIDECAR"} {
		if info, err := os.Stat(os.Getenv(name)); err != nil || info.IsDir() {
			fmt.Fprintf(os.Stderr, "set %s to the built program (%v)\n", name, err)
			os.Exit(1)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "stub-")
	if err != nil {
		panic(err)
	}
	os.Chmod(dir, 0o755)
	stubPath = filepath.Join(dir, "stub")
	build := exec.Command("go", "build", "-o", stubPath, "./stub")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the stub: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}
