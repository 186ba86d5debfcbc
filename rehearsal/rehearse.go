package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/repository"
)

// Config says what is rehearsed, and on what.
type Config struct {
	Repository string              // a repository's folder; required
	From       []manifests.Version // releases that machines run at first, each once; required
	To         manifests.Version   // what they update themselves to; required
	Product    string              // empty: the only one that has the version
	Arch       manifests.Arch      // empty: the only one that has the version
	Channel    string              // that points to To; empty: the first that does

	// Settings is the machines' configuration, Ignition or cloud-config; optional.
	Settings []byte
	// Checks must pass in the trial, beside the release's own.
	Checks []Check

	Dir      string // where logs and pictures stay; it must be empty or missing. Required
	Accel    string // QEMU's -accel; empty: machine.FindAccel
	Memory   int    // of a machine, in MiB; 0 means machine.MemoryDebian
	CPUs     int    // of a machine; 0 means 1
	DiskSize int64  // bytes of a machine's disk, which is sparse; 0 means DefaultDiskSize
	TPM      bool   // give the machines one
	Machines int    // that run at a time; 0 means as many as the host has processors for
	// Patience bounds each single wait; 0 means DefaultPatience.
	Patience time.Duration

	Progress progress.Reporter // nil is silent
	Say      func(line string) // is told what happens; nil is silent
}

// Check is one more thing that must be true of the new release.
type Check struct {
	Name    string // as manifests.CheckName has it
	Command string // run by /bin/sh in the machine; 0 passes
}

// What Config leaves open.
const (
	DefaultDiskSize = 8 << 30
	DefaultPatience = 10 * time.Minute
)

// checkCommandMost bounds the command of a check, in bytes.
const checkCommandMost = 64 << 10

func (c Config) check() error {
	if len(c.From) == 0 {
		return errors.New("no release to go from")
	}
	seen := map[manifests.Version]bool{}
	for _, from := range c.From {
		if seen[from] || from == c.To {
			return fmt.Errorf("from %s to %s: want older releases, each once", from, c.To)
		}
		seen[from] = true
	}
	names := map[string]bool{}
	for _, check := range c.Checks {
		if err := manifests.CheckName("check", check.Name); err != nil {
			return err
		}
		if names[check.Name] || check.Command == "" || len(check.Command) > checkCommandMost || strings.ContainsRune(check.Command, 0) {
			return fmt.Errorf("check %s: want it once, with a command of at most %d bytes", check.Name, checkCommandMost)
		}
		names[check.Name] = true
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Memory == 0 {
		c.Memory = machine.MemoryDebian
	}
	if c.CPUs == 0 {
		c.CPUs = 1
	}
	if c.DiskSize == 0 {
		c.DiskSize = DefaultDiskSize
	}
	if c.Machines == 0 {
		c.Machines = max(1, runtime.NumCPU()/c.CPUs)
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	if c.Say == nil {
		c.Say = func(string) {}
	}
	return c
}

// run is one run of Run. Each field is set by one step.
type run struct {
	Config
	scratch string // prepare the folder: for disks; removed at the end
	made    bool   // prepare the folder: it was not there

	to      repository.Entry   // find the releases
	from    []repository.Entry // find the releases
	kernel  manifests.Digest   // read the new release: of its kernel image
	agent   agentFiles         // read the new release
	front   *front             // serve the repository
	running chan token         // has room for as many machines as may run
	report  Report

	interrupted bool
}

type token struct{}

// Run rehearses. What did not pass is in the report; an error is about what was
// in the way of trying. Run leaves nothing behind but logs and pictures, also when
// ctx ends.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := c.check(); err != nil {
		return Report{}, err
	}
	r := &run{Config: c.withDefaults()}
	defer r.cleanUp()
	r.running = make(chan token, r.Machines)
	r.report.Started = time.Now()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"finding the releases", r.findReleases},
		{"preparing the folder", r.prepareFolder},
		{"reading the new release", r.readNew},
		{"choosing how machines run", r.chooseAccel},
		{"serving the repository", r.serve},
		{"rehearsing", r.rehearse},
	} {
		if err := step.run(ctx); err != nil {
			r.interrupted = ctx.Err() != nil
			return Report{}, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	r.report.Finished = time.Now()
	return r.report, nil
}

func (r *run) cleanUp() {
	r.front.close()
	if r.scratch == "" {
		return
	}
	os.RemoveAll(r.scratch)
	if r.interrupted {
		for _, from := range r.From {
			os.RemoveAll(filepath.Join(r.Dir, string(from)))
		}
	}
	if r.made {
		os.Remove(r.Dir) // unless there are logs in it
	}
}

// prepareFolder also makes sure that what is found there afterwards is of this run.
func (r *run) prepareFolder(context.Context) (err error) {
	entries, err := os.ReadDir(r.Dir)
	if len(entries) > 0 {
		return fmt.Errorf("%s: %w", r.Dir, ErrNotEmpty)
	}
	r.made = errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	if r.Dir, err = filepath.Abs(r.Dir); err != nil {
		return err
	}
	r.scratch = filepath.Join(r.Dir, ".disks")
	return os.Mkdir(r.scratch, 0o700) // a configuration may have secrets
}

// ErrNotEmpty is wrapped by the error of a Config.Dir that has something in it.
var ErrNotEmpty = errors.New("want an empty folder, or a new one")

func (r *run) chooseAccel(ctx context.Context) error {
	if r.Accel == "" {
		accel, why, err := machine.FindAccel(ctx, string(r.to.Arch))
		if err != nil {
			return err
		}
		if r.Accel = accel; why != "" {
			r.Say("emulation, which is slow: KVM cannot be used: " + why)
		}
	}
	r.report.Accel, r.report.Memory, r.report.CPUs = r.Accel, r.Memory, r.CPUs
	return nil
}

func (r *run) serve(context.Context) (err error) {
	r.front, err = newFront(r.Repository)
	return err
}

// rehearse goes from all releases side by side, as far as machines may run.
func (r *run) rehearse(ctx context.Context) error {
	r.report.Pairs = make([]Pair, len(r.from))
	group, ctx := errgroup.WithContext(ctx)
	for i, from := range r.from {
		group.Go(func() error {
			p := &pair{run: r, from: from, dir: filepath.Join(r.Dir, string(from.Version))}
			scenes, err := p.rehearse(ctx)
			r.report.Pairs[i] = Pair{From: from.Version, Release: from.Release, Scenes: scenes}
			if err != nil {
				return fmt.Errorf("from %s: %w", from.Version, err)
			}
			return nil
		})
	}
	return group.Wait()
}
