package appliance

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// modules are what the appliance and its initrd use of the kernel; the modules
// that they depend on come with them.
var modules = []string{
	"virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "dm-mod", "dm-verity", "erofs", "overlay",
	"virtio_scsi", "sd_mod", "sr_mod",
	"vfat", "nls_ascii", "nls_cp437", "nls_utf8", "nls_iso8859-1", "efivarfs", "loop", "softdog", "qemu_fw_cfg", "isofs",
	"crc32c-intel", "crc32c_generic", "sha256_generic", "sha256-ssse3",
}

// addModules adds the modules that the kernel has of those, with a modules.dep
// that lists them alone.
func (r *root) addModules(debian *archive) error {
	lists := debian.match("usr/lib/modules/*/modules.dep")
	if len(lists) != 1 {
		return fmt.Errorf("module lists %q: want exactly one usr/lib/modules/*/modules.dep", lists)
	}
	dir := path.Dir(lists[0])
	list, err := debian.read(lists[0])
	if err != nil {
		return err
	}
	dependencies, files := parseModulesDep(string(list))
	var kept strings.Builder
	for _, file := range closure(r.modules, dependencies, files) {
		content, err := debian.read(path.Join(dir, file))
		if err != nil {
			return err
		}
		r.file(path.Join(dir, file), 0o644, content)
		fmt.Fprintln(&kept, strings.TrimSpace(file+": "+strings.Join(dependencies[file], " ")))
	}
	r.file(lists[0], 0o644, []byte(kept.String()))
	for _, name := range []string{"modules.builtin", "modules.order", "modules.softdep"} {
		if content, err := debian.read(path.Join(dir, name)); err == nil {
			r.file(path.Join(dir, name), 0o644, content)
		}
	}
	return nil
}

// parseModulesDep reads modules.dep (depmod(8)): what each file depends on,
// transitively, and the file of each module name.
func parseModulesDep(text string) (dependencies map[string][]string, files map[string]string) {
	dependencies, files = map[string][]string{}, map[string]string{}
	for line := range strings.Lines(text) {
		file, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		dependencies[file] = strings.Fields(rest)
		name, _, _ := strings.Cut(path.Base(file), ".")
		files[canonical(name)] = file
	}
	return dependencies, files
}

// closure is the files of wanted modules and of what they depend on, sorted.
// A module that the kernel does not have as a file may be built in.
func closure(wanted []string, dependencies map[string][]string, files map[string]string) []string {
	var all []string
	for _, name := range wanted {
		if file, ok := files[canonical(name)]; ok {
			all = append(append(all, file), dependencies[file]...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// canonical makes the two spellings of a module's name equal, as modprobe does.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }
