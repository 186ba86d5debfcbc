// Package formats makes of a release what clouds, hypervisors and machines
// without a system take: images of a disk in their formats, an ISO image, and
// files to boot from the network.
//
// Convert is all there is to call. It checks the files of the release that it
// uses against its manifest, converts in a folder beside the output, and renames
// the whole into place last. Formats that are more than a copy are written by the
// programs that everybody uses for them, qemu-img and xorriso; what those leave to
// chance is set right after them, so that the same release gives the same bytes
// with the same versions of these programs.
package formats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// Format is something that a release can be converted to.
type Format string

// The formats.
const (
	Raw   Format = "raw"     // the disk as it is, sparse
	Zstd  Format = "raw.zst" // the same, compressed
	QCOW2 Format = "qcow2"   // QEMU, OpenStack, Proxmox
	VHD   Format = "vhd"     // Azure: of fixed size, in whole MiB
	VMDK  Format = "vmdk"    // VMware, stream-optimised
	OVA   Format = "ova"     // VMware and VirtualBox: a whole machine
	GCE   Format = "gce"     // Google Compute Engine: a tar.gz with disk.raw
	AWS   Format = "aws"     // Amazon EC2: raw, in whole GiB
	ISO   Format = "iso"     // a live system to start from a stick or a disc
	PXE   Format = "pxe"     // the same to start from the network: a folder
)

// All are the formats, in the order in which they are documented.
func All() []Format { return []Format{Raw, Zstd, QCOW2, VHD, VMDK, OVA, GCE, AWS, ISO, PXE} }

// Parse reads the name of a format.
func Parse(s string) (Format, error) {
	if slices.Contains(All(), Format(s)) {
		return Format(s), nil
	}
	names := make([]string, 0, len(All()))
	for _, f := range All() {
		names = append(names, string(f))
	}
	return "", fmt.Errorf("format %.40q: want one of %s", s, strings.Join(names, ", "))
}

// Suffix is how the names of files in the format end.
func (f Format) Suffix() string {
	switch f {
	case GCE:
		return ".gce.tar.gz"
	case AWS:
		return ".aws.raw"
	}
	return "." + string(f)
}

// Live reports whether the format is of a live system, which starts from its
// medium and leaves the machine's disks alone until it is told to install.
func (f Format) Live() bool { return f == ISO || f == PXE }

// Config is one conversion.
type Config struct {
	Release string // required: a folder that the builder made
	Format  Format // required
	Output  string // required: the file to make; for PXE a folder
	Replace bool   // put it in the place of what Output is

	Installer []byte                               // required for live systems: the proa program for the release's architecture
	Sign      func(program []byte) ([]byte, error) // signs a live system's kernel image for Secure Boot; nil: it is not signed
	Words     []string                             // more of a live system's kernel command line, such as "proa.install=auto"

	Progress progress.Reporter // nil: silent
}

// Result is what a conversion made.
type Result struct {
	Format Format `json:"format"`
	Path   string `json:"path"`
	Files  []File `json:"files"` // one, but for PXE
}

// File is one file of a Result.
type File struct {
	Name   string           `json:"name"`
	Size   int64            `json:"size"` // bytes
	Digest manifests.Digest `json:"digest"`
}

// ErrExists says that the output is there already.
var ErrExists = errors.New("the output exists already")

// conversion is one under way.
type conversion struct {
	Config
	release release
	unit    int64  // bytes: clouds' disks are a multiple
	work    string // a folder beside the output, for what is not yet whole
	made    string // in work: what becomes the output
}

// Convert makes the output, whole or not at all.
func Convert(ctx context.Context, config Config) (Result, error) { return convert(ctx, config, gib) }

func convert(ctx context.Context, config Config, unit int64) (Result, error) {
	if config.Progress == nil {
		config.Progress = progress.Silent()
	}
	if err := config.check(); err != nil {
		return Result{}, err
	}
	release, err := openRelease(config.Release)
	if err != nil {
		return Result{}, err
	}
	// Programs run in the working folder.
	output, err := filepath.Abs(config.Output)
	if err != nil {
		return Result{}, err
	}
	parent := filepath.Dir(output)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Result{}, err
	}
	work, err := os.MkdirTemp(parent, "."+filepath.Base(config.Output)+".converting-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(work)

	c := &conversion{Config: config, release: release, unit: unit, work: work, made: filepath.Join(work, "made")}
	result := Result{Format: c.Format, Path: c.Output}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"check release", c.checkRelease},
		{"write " + string(c.Format), c.write},
		{"digest " + string(c.Format), func(ctx context.Context) (err error) { result.Files, err = c.digest(ctx); return err }},
		{"move into place", c.publish},
	} {
		if err := step.run(ctx); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err() // a program that was ended says less
			}
			return Result{}, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return result, nil
}

func (c *Config) check() error {
	c.Output = filepath.Clean(c.Output)
	if _, err := Parse(string(c.Format)); err != nil {
		return err
	}
	if err := c.Format.Check(); err != nil {
		return err
	}
	if len(c.Words) > 0 && !c.Format.Live() {
		return fmt.Errorf("format %s takes no words for the kernel's command line: it stands in the release's signed kernel image", c.Format)
	}
	if c.Sign != nil && !c.Format.Live() {
		return fmt.Errorf("format %s has nothing to sign but what is signed as a release", c.Format)
	}
	if c.Format.Live() && len(c.Installer) == 0 {
		return fmt.Errorf("format %s needs the proa program, to install with", c.Format)
	}
	switch info, err := os.Lstat(c.Output); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !c.Replace:
		return fmt.Errorf("%s: %w", c.Output, ErrExists)
	case c.Format == PXE && !isBootSet(c.Output), c.Format != PXE && !info.Mode().IsRegular():
		// Replacing must lose nothing that a conversion did not make.
		return fmt.Errorf("%s is nothing that a conversion to %s made: %w", c.Output, c.Format, ErrExists)
	}
	return nil
}

func (c *conversion) write(ctx context.Context) error {
	return map[Format]func(context.Context) error{
		Raw: c.writeRaw, Zstd: c.writeZstd, QCOW2: c.writeQCOW2, VHD: c.writeVHD, VMDK: c.writeVMDK,
		OVA: c.writeOVA, GCE: c.writeGCE, AWS: c.writeAWS, ISO: c.writeISO, PXE: c.writePXE,
	}[c.Format](ctx)
}

// path is a name in the working folder.
func (c *conversion) path(name string) string { return filepath.Join(c.work, name) }

// publish makes the output appear under its name. A folder that stands there is
// exchanged for the new one in one step.
func (c *conversion) publish(context.Context) error {
	if err := syncAll(c.made); err != nil {
		return err
	}
	_, err := os.Lstat(c.Output)
	flags := uint(unix.RENAME_NOREPLACE)
	switch {
	case c.Replace && c.Format == PXE && err == nil:
		flags = unix.RENAME_EXCHANGE // what was there is removed with the working folder
	case c.Replace:
		flags = 0
	}
	err = unix.Renameat2(unix.AT_FDCWD, c.made, unix.AT_FDCWD, c.Output, flags)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", c.Output, ErrExists) // another conversion was faster
	}
	return errors.Join(err, durable.SyncFolder(filepath.Dir(c.Output)))
}

// syncAll makes a file durable, or a folder with its files.
func syncAll(path string) error {
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return durable.SyncFolder(path) // which is fsync(2), of files as well
	})
}
