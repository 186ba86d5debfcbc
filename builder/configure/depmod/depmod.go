// Package depmod makes the index of a kernel's modules that modprobe and udev
// read, as depmod(8) of kmod makes it: modules.dep and its sisters, byte for
// byte those of kmod 30.
//
// What a module needs is found by symbols: a module depends on those that
// export what it leaves undefined. The "depends" field of .modinfo says the
// same without the order in which to load, so it is not looked at.
package depmod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// maxText is the size of a text file that is read, in bytes.
const maxText = 64 << 20

// maxModules is what depmod itself can number.
const maxModules = 1<<16 - 2

// Write makes the index of every usr/lib/modules/RELEASE (or lib/modules,
// where that is another folder) that has modules or a modules.order. An index
// that is complete and lists the files that are there is left as it is: the
// contents of modules are read for others only. source is that of the files it
// makes.
func Write(ctx context.Context, t *tree.Tree, source string) error {
	seen := map[*tree.Node]bool{}
	for _, folder := range []string{"usr/lib/modules", "lib/modules"} {
		names, err := t.Children(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			at := path.Join(folder, name)
			n, ok := t.Lookup(at)
			if !ok || n.Kind != tree.Directory || seen[n] {
				continue
			}
			seen[n] = true
			if err := writeRelease(ctx, t, at, source); err != nil {
				return fmt.Errorf("index of kernel modules, /%s: %w", at, err)
			}
		}
	}
	return nil
}

func writeRelease(ctx context.Context, t *tree.Tree, folder, source string) error {
	modules, err := find(t, folder)
	if err != nil {
		return err
	}
	_, ordered := t.Resolve(folder + "/modules.order")
	if len(modules) == 0 && !ordered || current(t, folder, modules) {
		return nil
	}
	if err := read(ctx, modules); err != nil {
		return err
	}
	if err := sortModules(t, folder, modules); err != nil {
		return err
	}
	x := &index{tree: t, folder: folder, modules: modules, symbols: exported(modules)}
	if err := x.resolve(); err != nil {
		return err
	}
	return x.write(source)
}

// current reports whether the index is complete and of these modules.
func current(t *tree.Tree, folder string, modules []*module) bool {
	for _, file := range files {
		if n, ok := t.Resolve(path.Join(folder, file.name)); !ok || n.Kind != tree.File {
			return false
		}
	}
	listed, err := t.ReadFile(folder+"/modules.dep", maxText)
	if err != nil {
		return false
	}
	var was, is []string
	for line := range strings.Lines(string(listed)) {
		name, _, _ := strings.Cut(line, ":")
		was = append(was, name)
	}
	for _, m := range modules {
		is = append(is, m.path)
	}
	slices.Sort(was)
	slices.Sort(is)
	return slices.Equal(was, is)
}
