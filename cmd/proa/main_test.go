package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/proa-os/proa/builder/resolve/resolvetest"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/machine/workshop"
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
	if err := workshop.Compile(t.Context(), programs, "cmd/proa-init", "cmd/proa-agent"); err != nil {
		t.Fatal(err)
	}
	root, err := workshop.Appliance(t.Context(), programs)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PROGRAMS", programs)
			env.Setenv("ROOT", root) // a bootable root as a tar archive
			env.Setenv("HOME", env.WorkDir)
			env.Values["world"] = map[string]*resolvetest.World{}
			return nil
		},
		Cmds: worldCommands(t),
	})
}
