package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/proa-os/proa/cmd/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"proa": func() { os.Exit(cli.Main(newRootCommand())) },
	})
}

// TestScripts runs the command line as a user does: each file in
// testdata/script is a session.
func TestScripts(t *testing.T) {
	programs := t.TempDir()
	for _, name := range []string{"proa-init", "proa-agent"} {
		build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(programs, name), "../"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("compiling %s: %v\n%s", name, err, out)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PROGRAMS", programs)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}
