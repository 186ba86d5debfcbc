package main

import (
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/updater/testhost"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"proa-agent": func() { os.Exit(cli.Main(newRootCommand())) },
	})
}

// program is the agent to be started as a process: the tests' own file is the
// agent under that name (TestMain).
func program(t testing.TB) string {
	t.Helper()
	tests, err := os.Executable()
	check(t, err)
	path := filepath.Join(t.TempDir(), "proa-agent")
	check(t, os.Symlink(tests, path))
	return path
}

// world is a host on 1.0.0 and a real repository.
type world struct {
	config repository.Config
	server *httptest.Server
	host   *testhost.Host
}

func newWorld(t testing.TB, rootMiB int64) *world {
	t.Helper()
	w := &world{config: newRepository(t)}
	handler, err := repository.Handler(w.config.Dir)
	check(t, err)
	t.Cleanup(func() { handler.Close() })
	w.server = httptest.NewServer(handler)
	t.Cleanup(w.server.Close)
	root, err := os.ReadFile(filepath.Join(w.config.Dir, "metadata", "root.json"))
	check(t, err)
	w.host = testhost.NewSized(t, w.server.URL, root, testhost.NewRelease(t, testhost.Spec{Version: "1.0.0"}), rootMiB)
	return w
}

func (w *world) publish(t testing.TB, spec testhost.Spec) *testhost.Release {
	t.Helper()
	release := testhost.NewRelease(t, spec)
	dir := filepath.Join(t.TempDir(), "release")
	release.WriteFolder(t, dir)
	_, err := repository.Publish(t.Context(), repository.PublishConfig{Config: w.config, ReleaseDir: dir, Channel: "stable", AllowDowngrade: true})
	check(t, err)
	w.host.Know(release)
	return release
}

// TestScripts runs the command line as a user does: each file in
// testdata/script is a session on a host of plain files. Beside the agent they
// have: publish VERSION, boot SLOT, rot, health NAME SCRIPT, exits CODE COMMAND….
func TestScripts(t *testing.T) {
	type key struct{}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			tb := env.T().(testing.TB)
			w := newWorld(tb, 1)
			env.Values[key{}] = w
			env.Setenv("HOST", w.host.File(tb))
			env.Setenv("DIR", w.host.Dir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"publish": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value(key{}).(*world).publish(t, testhost.Spec{Version: manifests.Version(args[0])})
			},
			"unreachable": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Value(key{}).(*world).server.Close()
			},
			"health": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value(key{}).(*world).host.AddHealthCheck(t, args[0], args[1])
			},
			"boot": func(ts *testscript.TestScript, _ bool, args []string) {
				if booted := ts.Value(key{}).(*world).host.Boot(t); booted.Slot.String() != args[0] {
					ts.Fatalf("booted slot %s, want %s", booted.Slot, args[0])
				}
			},
			"override": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value(key{}).(*world).host.SetVariable(t, "LoaderEntryDefault", "proa-"+args[0]+".efi")
			},
			"rot": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(rot(ts.Value(key{}).(*world).host))
			},
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				var exit *exec.ExitError
				err = ts.Exec(args[1], args[2:]...)
				if got := 0; err == nil && want != got || err != nil && (!errors.As(err, &exit) || exit.ExitCode() != want) {
					ts.Fatalf("%v ended with %v, want exit code %d", args[1:], err, want)
				}
			},
		},
	})
}

// rot damages data block 7 of slot b and its kernel image.
func rot(host *testhost.Host) error {
	for path, at := range map[string]int64{
		host.Path("disk.raw"):                             host.Offset(partitions.RoleRootB) + 7*verity.BlockSize,
		host.Path("esp/" + esp.UKIPath(partitions.SlotB)): 5000,
	} {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte("rotten"), at)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// TestKilledAgentIsRunAgainAndConverges kills the real program at random
// moments, until it comes through by itself.
func TestKilledAgentIsRunAgainAndConverges(t *testing.T) {
	agent := program(t)
	for round := range 3 {
		w := newWorld(t, 32)
		next := w.publish(t, testhost.Spec{Version: "1.1.0", Blocks: 7000})
		args := []string{"--host", w.host.File(t), "update"}
		began := time.Now()
		killed := 0
		for tries := 0; ; tries++ {
			cmd := exec.Command(agent, args...)
			check(t, cmd.Start())
			// Later each time, so that it ends.
			timer := time.AfterFunc(time.Duration(rand.IntN(80*(tries+1)))*time.Millisecond, func() { cmd.Process.Kill() })
			err := cmd.Wait()
			timer.Stop()
			if err == nil {
				break
			}
			if cmd.ProcessState.Exited() {
				t.Fatalf("round %d, try %d: %v", round, tries, err)
			}
			killed++
		}
		t.Logf("round %d: killed %d times in %.1f s", round, killed, time.Since(began).Seconds())
		if booted := w.host.Boot(t); booted.Release != next {
			t.Errorf("round %d: booted %s", round, booted.Release.Release.Version)
		}
		run(t, exec.Command(agent, "--host", w.host.File(t), "judge"))
		if booted := w.host.Boot(t); booted.Release != next {
			t.Errorf("round %d: %s leads", round, booted.Release.Release.Version)
		}
	}
}
