package torture

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/torture/judge"
	"github.com/proa-os/proa/torture/writelog"
)

// patience bounds every single wait: no test is about time.
const patience = 5 * time.Minute

// recording is one boot of a machine, with everything its disk and its firmware
// were told.
type recording struct {
	name      string
	disk      string           // path of the disk as it was before
	after     string           // path of the disk, as long as the machine stays off
	writes    []writelog.Entry // to the disk
	settings  []setting        // of the variables
	moments   []moment         // when the firmware wrote
	sections  []section
	variables []byte // the store before
	flash     []writelog.Entry
}

// setting is what the loader's variables were from some entry of the disk's log
// on.
type setting struct {
	from  int // entries of the disk's log that were there for sure before it
	till  int // entries of the disk's log that were there when it was noticed
	flash int // entries of the firmware's log
	judge.Variables
}

// section is a part of a boot.
type section struct {
	name       string
	start, end int // entries of the disk's log
}

// recorder is a machine that is recorded.
type recorder struct {
	t       *testing.T
	machine *machine.Machine
	boot    *machine.Boot
	watch   *watch
	current *recording
}

func newRecorder(t *testing.T, version string) *recorder {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := machine.Clone(disk, shared.path("out", version, "disk.raw")); err != nil {
		t.Fatal(err)
	}
	m, err := machine.New(machine.Config{Disk: disk, Dir: filepath.Join(dir, "machine"), Record: true})
	if err != nil {
		t.Fatal(err)
	}
	return &recorder{t: t, machine: m}
}

func (r *recorder) wait() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	return ctx
}

// start boots the machine and waits until it answers and no agent runs.
func (r *recorder) start(name string) {
	r.t.Helper()
	base := filepath.Join(r.t.TempDir(), "base.raw")
	if err := machine.Clone(base, r.machine.Disk()); err != nil {
		r.t.Fatal(err)
	}
	store, err := os.ReadFile(r.machine.Variables())
	if err != nil {
		r.t.Fatal(err)
	}
	r.current = &recording{name: name, disk: base, variables: store}
	r.switchOn()
	if r.watch, err = newWatch(r.boot); err != nil {
		r.t.Fatal(err)
	}
	r.awaitReady()
	// Small requests: more of them may be cut apart.
	r.run(fmt.Sprintf("echo %d > /sys/block/vda/queue/max_sectors_kb", sizeOf(128, 16)))
	r.mark("boot")
}

// power boots the machine without a recording.
func (r *recorder) power() {
	r.t.Helper()
	r.switchOn()
	r.awaitReady()
}

func (r *recorder) switchOn() {
	r.t.Helper()
	b, err := r.machine.Boot(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.boot = b
	r.t.Cleanup(func() {
		b.PowerCut()
		if r.t.Failed() {
			r.t.Logf("end of the console of boot %d:\n%s", b.Number, b.Console(30))
		}
	})
}

// awaitReady waits until the guest answers and no agent runs in it.
func (r *recorder) awaitReady() {
	r.t.Helper()
	if err := r.boot.WaitReady(r.wait()); err != nil {
		r.t.Fatal(err)
	}
	r.run("while pidof proa-agent > /dev/null; do usleep 200000; done")
}

// configure points the agent at the second release.
func (r *recorder) configure() {
	r.t.Helper()
	r.run(fmt.Sprintf("mkdir -p /etc/proa && printf 'repository: %s\nchannel: r%s\n' > /etc/proa/agent.yaml && sync", shared.url, second))
}

// reset ends a boot as the guest would.
func (r *recorder) reset() {
	r.t.Helper()
	_, _ = r.boot.Run(r.wait(), "reboot") // whose answer may not arrive
	if reason, err := r.boot.Wait(r.wait()); err != nil || reason != machine.ReasonReset {
		r.t.Fatalf("the boot ended with %q, %v", reason, err)
	}
}

// run runs a command in the guest and returns what it printed.
func (r *recorder) run(command string) string {
	r.t.Helper()
	result, err := r.boot.Run(r.wait(), command)
	if err != nil {
		r.t.Fatal(err)
	}
	if result.ExitCode != 0 {
		r.t.Fatalf("%s: exit code %d\n%s%s", command, result.ExitCode, result.Stdout, result.Stderr)
	}
	return result.Stdout
}

// mark ends a section.
func (r *recorder) mark(name string) {
	start := 0
	if n := len(r.current.sections); n > 0 {
		start = r.current.sections[n-1].end
	}
	r.current.sections = append(r.current.sections, section{name, start, r.watch.disk()})
}

// agent runs proa-agent as a section of its own.
func (r *recorder) agent(args string) {
	r.t.Helper()
	r.run("proa-agent " + args)
	r.mark(args)
}

// stop resets the guest in an orderly way, and returns what was recorded.
func (r *recorder) stop() *recording {
	r.t.Helper()
	r.reset()
	moments, err := r.watch.end()
	if err != nil {
		r.t.Fatal(err)
	}
	rec := r.current
	rec.after = r.machine.Disk()
	if rec.writes, err = readLog(r.boot.DiskWrites); err != nil {
		r.t.Fatal(err)
	}
	if rec.flash, err = readLog(r.boot.VariableWrites); err != nil {
		r.t.Fatal(err)
	}
	r.mark("shutdown")
	rec.sections[len(rec.sections)-1].end = len(rec.writes)
	rec.moments = moments
	if rec.settings, err = rec.decode(moments); err != nil {
		r.t.Fatal(err)
	}
	return rec
}

func readLog(path string) ([]writelog.Entry, error) {
	f, size, err := openLog(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []writelog.Entry
	for r := writelog.NewReader(f, size); ; {
		e, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, e)
	}
}

func openLog(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// decode finds out what the variables were whenever the firmware wrote.
func (r *recording) decode(moments []moment) ([]setting, error) {
	store := append([]byte{}, r.variables...)
	var all []setting
	at := 0
	for _, m := range append([]moment{{}}, moments...) {
		for ; at < m.flash; at++ {
			copy(store[r.flash[at].Sector*writelog.SectorSize:], r.flash[at].Data)
		}
		v, err := judge.ReadVariables(store)
		if err != nil {
			return nil, fmt.Errorf("after %d writes of the firmware: %w", at, err)
		}
		if len(all) == 0 || all[len(all)-1].Variables != v {
			all = append(all, setting{m.from, m.till, at, v})
		}
	}
	return all, nil
}

// at are the variables that may have been set while the disk had completed n
// entries.
func (r *recording) at(n int) []setting {
	var all []setting
	for i, s := range r.settings {
		if s.from <= n && (i+1 == len(r.settings) || n <= r.settings[i+1].till) {
			all = append(all, s)
		}
	}
	return all
}
