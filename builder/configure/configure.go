// Package configure does to a tree what the scripts of its packages would have
// done to a running system, as far as that is written down: users and groups,
// tmpfiles.d, units that are enabled, alternatives, and what Debian's base
// packages set up.
//
// No script runs. Each one is followed the way a first installation would go
// (builder/configure/scripts); the commands that are known here, with words
// that are known, are done on the tree, and all others are reported.
//
// Call Users once the packages' files are in the tree and before owners are
// given by name, then Run.
package configure

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/configure/debian"
	"github.com/proa-os/proa/builder/configure/depmod"
	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/configure/ldcache"
	"github.com/proa-os/proa/builder/configure/tmpfiles"
	"github.com/proa-os/proa/builder/configure/units"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// Config says what is in the tree.
type Config struct {
	Packages []packages.About // in dependency order: what others need comes first
	Source   string           // of what is made, for messages
	Epoch    int64            // the build's time, in seconds since 1970
}

func (c Config) has(format packages.Format) bool {
	return slices.ContainsFunc(c.Packages, func(p packages.About) bool { return p.Format == format })
}

func (c Config) names(name string) bool {
	return slices.ContainsFunc(c.Packages, func(p packages.About) bool { return p.Name == name })
}

// day is that of the build, since 1970.
func (c Config) day() int64 { return c.Epoch / (24 * 60 * 60) }

// Run does everything but users and groups. After an error the tree is of no
// use.
func Run(ctx context.Context, t *tree.Tree, c Config) (Report, error) {
	w, err := newWorld(t, c)
	if err != nil {
		return Report{}, err
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"follow package scripts", w.followScripts},
		{"set up Debian's base", w.setUpDebian},
		{"make what tmpfiles.d asks for", w.applyTmpfiles},
		{"choose alternatives", w.chooseAlternatives},
		{"enable units", w.enableUnits},
		{"index kernel modules", func(ctx context.Context) error { return depmod.Write(ctx, t, c.Source) }},
		{"index shared libraries", func(ctx context.Context) error { return ldcache.Write(ctx, t, c.Source) }},
	} {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		if err := step.run(ctx); err != nil {
			return Report{}, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return w.report, nil
}

// followScripts goes through the scripts of all packages.
func (w *world) followScripts(ctx context.Context) error {
	for _, p := range w.config.Packages {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.follow(ctx, p)
	}
	if err := ctx.Err(); err != nil {
		return err // a script may have been left half-way
	}
	return w.err
}

func (w *world) setUpDebian(context.Context) error {
	if !w.config.has(packages.Deb) {
		return nil
	}
	done, err := debian.SetUp(w.tree, w.config.names, w.config.Source)
	w.report.Declared = append(w.report.Declared, done...)
	return err
}

func (w *world) applyTmpfiles(context.Context) error {
	files := dropin.Files(w.tree, dropin.Folders("tmpfiles.d"), ".conf")
	result, err := tmpfiles.Apply(w.tree, files, w.config.Source)
	w.report.Tmpfiles = append(result.Made, result.Changed...)
	w.report.Faults = append(w.report.Faults, result.Faults...)
	return err
}

func (w *world) chooseAlternatives(context.Context) error {
	admin := "var/lib/alternatives"
	if w.config.has(packages.Deb) {
		admin = "var/lib/dpkg/alternatives"
	}
	names, err := w.alternatives.Write(w.tree, admin, w.config.Source)
	w.report.Alternatives = names
	return err
}

// enableUnits enables what packages and presets want. Debian enables what its
// packages ask for, RPM distributions what their presets say; presets in etc,
// which the recipe brings, come before both.
func (w *world) enableUnits(context.Context) error {
	own, faults, err := units.ReadPolicy(w.tree, "etc")
	if err != nil {
		return err
	}
	w.report.Faults = append(w.report.Faults, faults...)
	all, faults, err := units.ReadPolicy(w.tree, "etc", "usr/local/lib", "usr/lib")
	if err != nil {
		return err
	}
	w.report.Faults = append(w.report.Faults, faults...)
	if !w.config.has(packages.Deb) && w.config.has(packages.RPM) {
		w.preset(all, units.All(w.tree))
	}
	w.preset(own, w.wanted)
	for _, n := range units.All(w.tree) {
		switch enable, _, ok := own.Decide(n); {
		case ok && enable:
			w.preset(own, []units.Name{n})
		case ok:
			gone, err := w.units.Disable(n)
			if err != nil {
				return err
			}
			w.report.Disabled = append(w.report.Disabled, gone...)
		}
	}
	slices.Sort(w.report.Units)
	w.report.Units = slices.Compact(w.report.Units)
	return w.err
}

// preset enables the units that no rule of the policy is against.
func (w *world) preset(p units.Policy, names []units.Name) {
	for _, n := range names {
		links, err := w.units.PresetOne(p, n)
		w.report.Units = append(w.report.Units, links...)
		if err != nil && w.err == nil {
			w.err = err
		}
	}
}

// volatile reports whether a path lies where a machine has nothing of its image.
func volatile(p string) bool {
	p = path.Clean(p)
	for _, folder := range []string{"/run", "/tmp", "/dev", "/proc", "/sys"} {
		if p == folder || strings.HasPrefix(p, folder+"/") {
			return true
		}
	}
	return strings.HasPrefix(p, "/var/run/")
}
