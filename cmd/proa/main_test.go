package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/proa-os/proa/builder/resolve/resolvetest"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/machine/workshop"
)

// fixtures are what builds need beside a recipe, made once: proa-init,
// proa-agent and appliance.tar, a bootable root.
var fixtures = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "proa-fixtures-")
	if err != nil {
		return "", err
	}
	err = workshop.Compile(context.Background(), folder, "cmd/proa-init", "cmd/proa-agent")
	if err == nil {
		_, err = workshop.Appliance(context.Background(), folder)
	}
	return folder, err
})

// tests runs the tests and removes the fixtures.
type tests struct{ *testing.M }

func (m tests) Run() int {
	code := m.M.Run()
	if folder, _ := fixtures(); folder != "" {
		os.RemoveAll(folder)
	}
	return code
}

// TestMain puts proa into the PATH: it is this program under another name.
func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"proa": func() { os.Exit(cli.Main(newRootCommand())) },
	})
}

// TestScripts runs the command line as a user does: each file in
// testdata/script is a session.
func TestScripts(t *testing.T) {
	programs, err := fixtures()
	if err != nil {
		t.Fatal(err)
	}
	commands := worldCommands(t)
	commands["rehearsed"] = rehearsedCommand
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PROGRAMS", programs)
			env.Setenv("ROOT", filepath.Join(programs, "appliance.tar")) // a bootable root as a tar archive
			env.Setenv("HOME", env.WorkDir)
			env.Values["world"] = map[string]*resolvetest.World{}
			return nil
		},
		Cmds: commands,
	})
}
