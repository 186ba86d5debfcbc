package bootcontrol

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sdboot plays systemd-boot 252 without any variables on a folder, from what
// its source says and with no knowledge of the backends. Kernel images are
// files whose content is their version.
type sdboot struct {
	dir string
	// cut, if not nil, takes the place of the firmware's rename.
	cut func(from, to string)
}

type sdEntry struct {
	id, file, sortKey, version, kernel string
	left, done                         int // -1 without a counter
}

// boot boots once and returns the base name of the kernel image.
func (l sdboot) boot(t testing.TB) string {
	t.Helper()
	e := l.choose(t)
	if e.left < 0 {
		return filepath.Base(e.kernel)
	}
	prefix, _, _ := strings.Cut(e.file, "+")
	next := fmt.Sprintf("%s+%d-%d%s", prefix, max(e.left-1, 0), e.done+1, path.Ext(e.file))
	folder := filepath.Join(l.dir, "loader/entries")
	from, to := filepath.Join(folder, e.file), filepath.Join(folder, next)
	if l.cut != nil {
		l.cut(from, to)
	} else if _, err := os.Stat(to); os.IsNotExist(err) { // else the firmware denies it, and the loader goes on
		check(t, os.Rename(from, to))
	}
	return filepath.Base(e.kernel)
}

func (l sdboot) choose(t testing.TB) sdEntry {
	t.Helper()
	list := append(l.type2(t), l.type1(t)...)
	slices.SortStableFunc(list, func(a, b sdEntry) int {
		last := func(e sdEntry) int { return map[bool]int{true: 1}[e.left == 0] }
		return cmp.Or(
			cmp.Compare(last(a), last(b)),
			cmp.Compare(a.sortKey, b.sortKey),
			-cmp.Compare(a.version, b.version),
			-cmp.Compare(a.id, b.id),
			-cmp.Compare(a.left, b.left),
			cmp.Compare(a.done, b.done),
		)
	})
	conf, err := os.ReadFile(filepath.Join(l.dir, "loader/loader.conf"))
	check(t, err)
	pattern := ""
	for line := range strings.Lines(string(conf)) {
		if rest, ok := strings.CutPrefix(line, "default "); ok {
			pattern = strings.ToLower(strings.TrimSpace(rest))
		}
	}
	for _, e := range list {
		if ok, err := path.Match(pattern, e.id); err != nil {
			t.Fatal(err)
		} else if ok {
			return e
		}
	}
	t.Fatalf("no entry matches %q: the loader would take the highest version", pattern)
	return sdEntry{}
}

func (l sdboot) type2(t testing.TB) (list []sdEntry) {
	names, err := filepath.Glob(filepath.Join(l.dir, "EFI/Linux/*"))
	check(t, err)
	for _, name := range names {
		id := strings.ToLower(filepath.Base(name))
		version, err := os.ReadFile(name)
		check(t, err)
		if strings.HasSuffix(id, ".efi") {
			list = append(list, sdEntry{id: id, sortKey: "edge", version: string(version), kernel: name, left: -1, done: -1})
		}
	}
	return list
}

var sdCounter = regexp.MustCompile(`\+([0-9]+)(?:-([0-9]+))?\.conf$`)

func (l sdboot) type1(t testing.TB) (list []sdEntry) {
	names, err := filepath.Glob(filepath.Join(l.dir, "loader/entries/*"))
	check(t, err)
	for _, name := range names {
		e := sdEntry{id: strings.ToLower(filepath.Base(name)), file: filepath.Base(name), left: -1, done: -1}
		content, err := os.ReadFile(name)
		check(t, err)
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch key {
			case "efi":
				e.kernel = filepath.Join(l.dir, value)
			case "sort-key":
				e.sortKey = value
			case "version":
				e.version = value
			}
		}
		if _, err := os.Stat(e.kernel); err != nil || e.kernel == "" || !strings.HasSuffix(e.id, ".conf") {
			continue
		}
		if m := sdCounter.FindStringSubmatch(e.id); m != nil {
			e.left, _ = strconv.Atoi(m[1])
			e.done, _ = strconv.Atoi(cmp.Or(m[2], "0"))
		}
		list = append(list, e)
	}
	return list
}
