package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var bsdiffFiles = method{name: "bsdiff, files", note: "each changed file against that of the same path, where `/lib/modules/OLD` is that of `/lib/modules/NEW`; " +
	"patches and new files in one tar archive, `zstd -19`. Folders, names, owners, modes and what is gone are not in it: no tool makes a tree of it. " +
	"Of the images as a whole it would need 17 times their size in memory"}

// bsdiffMemory is how many times the larger of two files bsdiff has in memory.
const bsdiffMemory = 17

// bsdiff makes a patch for each file, where half of the memory that is free is enough.
func (t *trial) bsdiff(ctx context.Context) ([]figure, error) {
	changed, added, err := t.compareTrees()
	if err != nil {
		return nil, err
	}
	free, err := freeMemory()
	if err != nil {
		return nil, err
	}
	for _, c := range changed {
		size, err := fileSize(t.bench.Path("new.tree", c.new))
		if err != nil {
			return nil, err
		}
		if bsdiffMemory*size > free/2 {
			return nil, leftOut(fmt.Sprintf("%s needs %s of memory", c.new, mebibytes(bsdiffMemory*size)))
		}
	}
	var making, applying strings.Builder
	making.WriteString("set -e\nmkdir patches\n")
	applying.WriteString("set -e\nmkdir unpacked applied.tree\nzstd -q -d <patch | tar --no-same-owner -C unpacked -xf -\n")
	for i, c := range changed {
		fmt.Fprintf(&making, "bsdiff %s %s patches/%d\n", quote("old.tree/"+c.old), quote("new.tree/"+c.new), i)
		fmt.Fprintf(&applying, "bspatch %s applied.tree/%d unpacked/%[2]d\n", quote("old.tree/"+c.old), i)
	}
	making.WriteString("tar -cf - -C patches . -C ../new.tree --verbatim-files-from -T added | zstd -q -19 >patch\n")
	applying.WriteString("sync -f applied.tree\n")
	for name, content := range map[string]string{"making": making.String(), "applying": applying.String(), "added": strings.Join(added, "\n")} {
		if err := os.WriteFile(t.bench.Path(name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	f := figure{Method: bsdiffFiles}
	f.Making, err = t.bench.Command(ctx, "sh making")
	if err != nil {
		return nil, err
	}
	if f.Bytes, err = fileSize(t.bench.Path("patch")); err != nil {
		return nil, err
	}
	f.Applying, err = t.repeat(ctx, "rm -rf unpacked applied.tree", "sh applying", "true")
	return []figure{f}, err
}

func quote(path string) string { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }

// freeMemory is bytes.
func freeMemory() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	var kib int64
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/meminfo does not say MemAvailable")
}

type change struct{ old, new string }

// compareTrees finds what differs of the two trees, each content once.
func (t *trial) compareTrees() (changed []change, added []string, err error) {
	old, err := contents(t.bench.Path("old.tree"))
	if err != nil {
		return nil, nil, err
	}
	fresh, err := contents(t.bench.Path("new.tree"))
	if err != nil {
		return nil, nil, err
	}
	known := map[[sha256.Size]byte]bool{}
	paths := map[string]string{} // those of the old tree, by what they are called without a kernel's version
	oldKernel, newKernel := kernelVersion(old), kernelVersion(fresh)
	for _, c := range old {
		known[c.digest] = true
		paths[strings.ReplaceAll(c.path, oldKernel, "KERNEL")] = c.path
	}
	for _, c := range fresh {
		if known[c.digest] {
			continue
		}
		known[c.digest] = true
		if before, found := paths[strings.ReplaceAll(c.path, newKernel, "KERNEL")]; found {
			changed = append(changed, change{before, c.path})
		} else {
			added = append(added, c.path)
		}
	}
	return changed, added, nil
}

type content struct {
	path   string
	digest [sha256.Size]byte
}

// contents lists the regular files of a tree.
func contents(root string) ([]content, error) {
	var all []content
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, content{name, sha256.Sum256(data)})
		return err
	})
	return all, err
}

// kernelVersion is the name of the folder of the kernel's modules.
func kernelVersion(tree []content) string {
	for _, c := range tree {
		if _, rest, found := strings.Cut(c.path, "lib/modules/"); found {
			version, _, _ := strings.Cut(rest, "/")
			return version
		}
	}
	return "no kernel"
}
