package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/bench/workbench"
)

// trial is one pair on the bench: releases old and new, and their trees.
type trial struct {
	pair
	bench    workbench.Bench
	workshop *workshop
	base     string             // folder of the old release
	size     int64              // of the new root image, bytes
	copies   []workbench.Sample // of dd, which writes as much
	index    int64              // bytes of our chunk index
	plan     time.Duration      // what our plan takes
}

// figure is what one method costs on one pair. What is not known is 0.
type figure struct {
	Method   method
	Bytes    int64 // that travel for the root: contents, index, metadata of the method
	Kernel   int64 // for the kernel image, which only ours brings
	Metadata int64 // of what is signed, and says what the release is; ours alone
	Making   workbench.Sample
	Applying workbench.Sample
}

// method is a way to bring a release to a host.
type method struct {
	name string
	any  bool // what it publishes serves a host with any older release
	note string
}

var (
	ostreeDelta   = method{name: "ostree static delta"}
	ostreeObjects = method{name: "ostree objects", any: true, note: "objects that the old commit has not, compressed one by one, as a pull without a delta fetches them"}
	xdelta        = method{name: "xdelta3", note: "`-9 -S lzma -B` of the image's size"}
	zstdPatch     = method{name: "zstd --patch-from", note: "`-12 --long=31`; `-19` took twenty times as long on the pair security, for a larger file"}
	casync        = method{name: "casync", any: true, note: "chunks of 64 KiB on average, the index and the chunks that the old image has not"}
	wholeImage    = method{name: "whole image, zstd -9", any: true}
)

// methods are all of them.
var methods = []method{proaDelta, proaIndex, ostreeDelta, ostreeObjects, xdelta, zstdPatch, bsdiffFiles, casync,
	blocks9, blocks19, rauc, raucSquashed, wholeImage}

// A method that is written down is its name.
func (m method) MarshalText() ([]byte, error) { return []byte(m.name), nil }

func (m *method) UnmarshalText(name []byte) error {
	at := slices.IndexFunc(methods, func(m method) bool { return m.name == string(name) })
	if at < 0 {
		return fmt.Errorf("no method %q", name)
	}
	*m = methods[at]
	return nil
}

// step measures some methods.
type step struct {
	name string
	run  func(*trial, context.Context) ([]figure, error)
}

var steps = []step{
	{"proa", (*trial).proa},
	{"ostree", (*trial).ostree},
	{"xdelta3", (*trial).xdelta},
	{"zstd", (*trial).zstdPatch},
	{"bsdiff", (*trial).bsdiff},
	{"casync", (*trial).casync},
	{"blocks", (*trial).blocks},
	{"whole", (*trial).whole},
}

func stepNames() string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.name
	}
	return strings.Join(names, ",")
}

// chooseSteps gives the steps of some names, and all when there are none.
func chooseSteps(names string) ([]step, error) {
	if names == "" {
		return steps, nil
	}
	var chosen []step
	for _, name := range strings.Split(names, ",") {
		at := slices.IndexFunc(steps, func(s step) bool { return s.name == name })
		if at < 0 {
			return nil, fmt.Errorf("no method %q: want some of %s", name, stepNames())
		}
		chosen = append(chosen, steps[at])
	}
	return chosen, nil
}

// load is how many processes wanted a processor in the last five minutes.
func load() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	var load [2]float64
	_, err = fmt.Sscan(string(text), &load[0], &load[1])
	return load[1], err
}

const (
	rounds = 3                // how often what is short is run
	short  = 30 * time.Second // and what that is
)

// repeat measures a command, between what it needs and what looks at what it did.
func (t *trial) repeat(ctx context.Context, before, command, after string) (workbench.Sample, error) {
	var samples []workbench.Sample
	for range rounds {
		if _, err := t.bench.Command(ctx, before); err != nil {
			return workbench.Sample{}, err
		}
		s, err := t.bench.Command(ctx, command)
		if err != nil {
			return workbench.Sample{}, err
		}
		if _, err := t.bench.Command(ctx, after); err != nil {
			return workbench.Sample{}, err
		}
		if samples = append(samples, s); s.Took > short {
			break
		}
	}
	return workbench.Middle(samples), nil
}

// file measures a method that makes one file: what it takes to make it, and to
// make the new image out of it, which has to be the same and safe on the disk.
func (t *trial) file(ctx context.Context, m method, making, name, applying string) ([]figure, error) {
	f := figure{Method: m}
	var err error
	if f.Making, err = t.bench.Command(ctx, making); err != nil {
		return nil, err
	}
	if f.Bytes, err = fileSize(t.bench.Path(name)); err != nil {
		return nil, err
	}
	f.Applying, err = t.apply(ctx, applying)
	return []figure{f}, err
}

// apply measures a command that makes the new image: applied.
func (t *trial) apply(ctx context.Context, command string) (workbench.Sample, error) {
	return t.repeat(ctx, "rm -f applied", command+" && sync applied", "cmp applied new/root.erofs")
}

func (t *trial) xdelta(ctx context.Context) ([]figure, error) {
	source := fmt.Sprintf("-B %d -s old/root.erofs", 1<<30)
	return t.file(ctx, xdelta, "xdelta3 -e -9 -S lzma "+source+" new/root.erofs patch", "patch", "xdelta3 -d "+source+" patch applied")
}

func (t *trial) zstdPatch(ctx context.Context) ([]figure, error) {
	return t.file(ctx, zstdPatch, "zstd -q -12 --long=31 --patch-from=old/root.erofs new/root.erofs -o patch", "patch",
		"zstd -q -d --long=31 --patch-from=old/root.erofs patch -o applied")
}

func (t *trial) whole(ctx context.Context) ([]figure, error) {
	return t.file(ctx, wholeImage, "zstd -q -9 -T0 new/root.erofs -o packed", "packed", "zstd -q -d packed -o applied")
}

// casync has a store of chunks for each image: a host needs those that are in
// the new one's alone.
func (t *trial) casync(ctx context.Context) ([]figure, error) {
	if _, err := t.bench.Command(ctx, "casync make --store=old.castr old.caibx old/root.erofs"); err != nil {
		return nil, err
	}
	f := figure{Method: casync}
	var err error
	if f.Making, err = t.bench.Command(ctx, "casync make --store=new.castr new.caibx new/root.erofs"); err != nil {
		return nil, err
	}
	bytes, err := fileSize(t.bench.Path("new.caibx"))
	if err != nil {
		return nil, err
	}
	missing, err := t.missing("new.castr", "old.castr")
	if err != nil {
		return nil, err
	}
	f.Bytes = bytes + missing
	f.Applying, err = t.apply(ctx, "casync extract --store=new.castr --seed=old/root.erofs new.caibx applied")
	return []figure{f}, err
}

// missing is the bytes of the files of one folder that another has not.
func (t *trial) missing(of, from string) (int64, error) {
	total := int64(0)
	root := t.bench.Path(of)
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if _, err := os.Stat(t.bench.Path(from, name)); err == nil {
			return nil
		}
		size, err := fileSize(path)
		total += size
		return err
	})
	return total, err
}
