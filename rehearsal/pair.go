package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/hostconfig"
	"github.com/proa-os/proa/installer"
	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/repository"
)

// Slots of a machine that was installed a moment ago.
const (
	oldSlot = partitions.SlotA
	newSlot = partitions.SlotB
)

// pair is a rehearsal from one release.
type pair struct {
	run  *run
	from repository.Entry
	dir  string // of the logs
}

// acquire waits until one more machine may run.
func (p *pair) acquire(ctx context.Context) (release func(), err error) {
	select {
	case p.run.running <- token{}:
		return func() { <-p.run.running }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// rehearse goes through all scenes. Up to the armed trial there is one machine;
// from there three copies of it go on side by side.
func (p *pair) rehearse(ctx context.Context) ([]Scene, error) {
	first, err := p.newMachine(ctx)
	if err != nil {
		return nil, err
	}
	defer first.Discard() // what is left over, cleanUp removes
	main := p.guest(first)
	acts := [][]scene{
		{{manifests.SceneCutInDownload, main, main.cutInDownload}},
		{{manifests.SceneCutAfterArming, main, main.cutAfterArming}, {manifests.SceneUpdate, main, main.update}},
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	scenes := p.play(ctx, acts[0])
	release()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	failed := scenes[0].Outcome != Passed
	for _, copied := range []struct {
		folder, title string
		act           func(*guest) func(context.Context) error
	}{
		{"trial", manifests.SceneCutInTrial, func(g *guest) func(context.Context) error { return g.cutInTrial }},
		{"health", manifests.SceneFailingHealth, func(g *guest) func(context.Context) error { return g.failHealth }},
	} {
		g := main
		if !failed {
			m, err := first.Copy(p.diskPath(copied.folder), filepath.Join(p.dir, copied.folder))
			if err != nil {
				return nil, err
			}
			defer m.Discard()
			g = p.guest(m)
		}
		acts = append(acts, []scene{{copied.title, g, copied.act(g)}})
	}
	played := make([][]Scene, len(acts))
	played[0] = scenes
	var group errgroup.Group
	// The longest first, so that the others fit beside it.
	for _, i := range []int{3, 2, 1} {
		if failed {
			played[i] = skip(acts[i])
			continue
		}
		release, err := p.acquire(ctx)
		if err != nil {
			break // the end of ctx ends the others, too
		}
		group.Go(func() error {
			defer release()
			played[i] = p.play(ctx, acts[i])
			return nil
		})
	}
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	var all []Scene
	for _, scenes := range played {
		all = append(all, scenes...)
	}
	return all, nil
}

// diskPath is where a machine's disk is.
func (p *pair) diskPath(name string) string {
	return filepath.Join(p.run.scratch, string(p.from.Version)+"-"+name+".raw")
}

// newMachine installs the older release onto a new disk, as for a real machine.
func (p *pair) newMachine(ctx context.Context) (m *machine.Machine, err error) {
	release, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	p.say("installing it onto a disk of %d GiB", p.run.DiskSize>>30)
	path := p.diskPath("disk")
	defer func() {
		if err != nil {
			os.Remove(path)
		}
	}()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = file.Truncate(p.run.DiskSize)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if err := p.install(ctx, path); err != nil {
		return nil, fmt.Errorf("installing it: %w", err)
	}
	return machine.New(machine.Config{
		Disk: path, Dir: p.dir, Arch: string(p.from.Arch), Memory: p.run.Memory, CPUs: p.run.CPUs,
		Accel: p.run.Accel, TPM: p.run.TPM, Screen: true,
	})
}

func (p *pair) install(ctx context.Context, path string) error {
	settings, err := p.settings(ctx)
	if err != nil {
		return err
	}
	root, err := os.ReadFile(filepath.Join(p.run.Repository, "metadata", "root.json"))
	if err != nil {
		return err
	}
	source, err := installer.OpenRepository(ctx, installer.RepositoryConfig{
		URL: p.run.Repository, Root: root, Version: p.from.Version, Product: p.from.Product, Arch: p.from.Arch, UserAgent: "proa-rehearse",
	})
	if err != nil {
		return err
	}
	defer source.Close()
	_, err = installer.Install(ctx, installer.Config{Source: source, Disk: path, Settings: settings, AnyArch: true, Progress: p.run.Progress})
	return err
}

// settings is the configuration of the machine: what its owner gave, and what the
// rehearsal adds.
func (p *pair) settings(ctx context.Context) ([]byte, error) {
	_, old, err := p.run.read(ctx, p.from)
	if err != nil {
		return nil, err
	}
	files := map[string]addedFile{}
	addChecks(files, p.run.Checks)
	owner, err := withFiles(p.run.Settings, files)
	if err != nil {
		return nil, err
	}
	asked, err := hostconfig.Parse("configuration", owner)
	if err != nil {
		return nil, err
	}
	before, err := old.with(asked).settings()
	if err != nil {
		return nil, fmt.Errorf("the agent's settings with release %s: %w", p.from.Version, err)
	}
	after, err := p.run.agent.with(asked).settings()
	if err != nil {
		return nil, fmt.Errorf("the agent's settings with release %s: %w", p.run.to.Version, err)
	}
	ours, err := dropIn(p.run.front.url(), p.run.Channel, p.run.front.url()+healthPath, before, after)
	if err != nil {
		return nil, err
	}
	return withFiles(owner, map[string]addedFile{"/" + ourDropIn: {0o644, ours}})
}

func (p *pair) say(format string, args ...any) {
	p.run.Say(fmt.Sprintf("from %s: ", p.from.Version) + fmt.Sprintf(format, args...))
}

func seconds(d time.Duration) int { return int(d.Round(time.Second) / time.Second) }
