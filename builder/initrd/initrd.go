// Package initrd makes the initial RAM disk of an image: proa-init, the kernel
// modules that the platform needs to reach its root file system, and nothing
// else.
//
// FindKernel first, then Build with the release it found. Which modules a
// platform wants is a table (Platforms); what they depend on is read from the
// files that depmod wrote beside the kernel's modules. Modules keep their
// signatures: a locked-down kernel loads no others.
package initrd

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Files is the tree of the image, as far as this package looks at it. Paths
// are relative to its root, such as "usr/lib/modules". A path that is not there
// gives an error that wraps fs.ErrNotExist.
type Files interface {
	ReadFile(path string) ([]byte, error)
	// List gives the names in a folder, in any order.
	List(path string) ([]string, error)
}

// Config is what an initrd is made of.
type Config struct {
	Files         Files    // required
	KernelRelease string   // required, as FindKernel gives it
	Platform      string   // required: one of Platforms
	Modules       []string // wanted besides the platform's; each must exist
	Encryption    bool     // whether it opens an encrypted /var with a key from the TPM
	Init          []byte   // required: proa-init, static, for the image's architecture
}

// Report says what went into an initrd.
type Report struct {
	Modules      []string // in the order of loading, by name, such as "dm_verity"
	BuiltIn      []string // wanted, and part of the kernel
	Absent       []string // optional for the platform, and not in this kernel
	Bytes        int64    // of the initrd
	Uncompressed int64    // bytes of the cpio archive in it
}

// The paths in the initrd that proa-init knows.
const (
	initPath    = "init"
	listPath    = "modules.list" // one absolute path a line, in the order of loading
	modulesPath = "modules"
)

// Build returns a zstd-compressed cpio archive. Equal configurations give
// equal bytes.
func Build(c Config) ([]byte, Report, error) {
	if len(c.Init) == 0 {
		return nil, Report{}, fmt.Errorf("the init program is empty")
	}
	drivers, err := platform(c.Platform)
	if err != nil {
		return nil, Report{}, err
	}
	drivers = slices.Clone(drivers)
	if c.Encryption {
		drivers = append(drivers, encryption...)
	}
	for _, name := range c.Modules {
		drivers = append(drivers, driver{names: []string{name}, required: true, why: "the recipe wants it"})
	}
	kernel, err := readIndex(c.Files, c.KernelRelease)
	if err != nil {
		return nil, Report{}, err
	}
	chosen, err := kernel.choose(c.Platform, drivers)
	if err != nil {
		return nil, Report{}, err
	}

	report := Report{BuiltIn: chosen.builtIn, Absent: chosen.absent}
	archive := &Archive{}
	for _, dir := range []string{"dev", "proc", "sys", "run", "sysroot", modulesPath} {
		archive.Folder(dir)
	}
	archive.File(initPath, 0o755, c.Init)
	var list strings.Builder
	for _, m := range chosen.order {
		content, err := readModule(c.Files, kernel.folder, m.path)
		if err != nil {
			return nil, Report{}, err
		}
		name := modulesPath + "/" + m.name + ".ko"
		archive.File(name, 0o644, content)
		fmt.Fprintf(&list, "/%s\n", name)
		report.Modules = append(report.Modules, m.name)
	}
	archive.File(listPath, 0o644, []byte(list.String()))

	var raw bytes.Buffer
	if err := archive.Write(&raw); err != nil {
		return nil, Report{}, err
	}
	compressed, err := compress(raw.Bytes())
	if err != nil {
		return nil, Report{}, err
	}
	report.Bytes, report.Uncompressed = int64(len(compressed)), int64(raw.Len())
	return compressed, report, nil
}

// compress packs as small as the library can. One encoder thread: the bytes
// must not depend on the number of cores. The kernel's decoder allows windows
// of up to 128 MiB; 8 MiB covers the whole archive.
func compress(raw []byte) ([]byte, error) {
	var out bytes.Buffer
	encoder, err := zstd.NewWriter(&out,
		zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(8<<20))
	if err != nil {
		return nil, fmt.Errorf("compressing the initrd: %w", err)
	}
	if _, err := encoder.Write(raw); err != nil {
		return nil, fmt.Errorf("compressing the initrd: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("compressing the initrd: %w", err)
	}
	return out.Bytes(), nil
}

// FindKernel returns the path and the release of the image's kernel, which is
// boot/vmlinuz-RELEASE or usr/lib/modules/RELEASE/vmlinuz. There must be
// exactly one release; an image with two does not say which one to boot.
func FindKernel(files Files) (path, release string, err error) {
	found := make(map[string]string) // path by release
	names, err := list(files, "boot")
	if err != nil {
		return "", "", err
	}
	for _, name := range names {
		if release, ok := strings.CutPrefix(name, "vmlinuz-"); ok && release != "" {
			found[release] = "boot/" + name
		}
	}
	if names, err = list(files, "usr/lib/modules"); err != nil {
		return "", "", err
	}
	for _, release := range names {
		folder := "usr/lib/modules/" + release
		inside, err := list(files, folder)
		if err != nil {
			return "", "", err
		}
		if slices.Contains(inside, "vmlinuz") {
			found[release] = folder + "/vmlinuz"
		}
	}
	var paths []string
	for r, p := range found {
		path, release = p, r
		paths = append(paths, p)
	}
	slices.Sort(paths)
	switch len(paths) {
	case 0:
		return "", "", fmt.Errorf("no kernel in the image: want boot/vmlinuz-RELEASE or usr/lib/modules/RELEASE/vmlinuz")
	case 1:
		return path, release, nil
	}
	return "", "", fmt.Errorf("%d kernels in the image, %s: want exactly one", len(paths), strings.Join(paths, ", "))
}

// list is Files.List for a folder that may be missing or be a file.
func list(files Files, path string) ([]string, error) {
	names, err := files.List(path)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a kernel in %s: %w", path, err)
	}
	return names, nil
}
