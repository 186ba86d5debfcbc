package loaders

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Counted is SystemdBoot for a machine that is laid out for trials with counters.
func Counted(m Machine) (Started, error) {
	conf, err := os.ReadFile(filepath.Join(m.Boot, "loader/loader.conf"))
	if err != nil {
		return Started{}, err
	}
	committed := committedByPattern(conf)
	if committed == "" {
		return Started{}, fmt.Errorf("loader.conf is %q", conf)
	}
	kernel, err := SystemdBoot{Dir: m.Boot}.Boot()
	if err != nil {
		return Started{}, err
	}
	slot := strings.TrimSuffix(strings.TrimPrefix(kernel, "proa-"), ".efi")
	return Started{slot, slot != committed}, nil
}

// committedByPattern is the slot that loader.conf names by a pattern, or "".
func committedByPattern(conf []byte) string {
	rest, ok := strings.CutPrefix(string(conf), "default *-")
	if !ok || rest == "" {
		return ""
	}
	return rest[:1]
}

// SystemdBoot plays systemd-boot 252 without any variables on a boot partition, from
// what its source says. A kernel image's version is its content.
type SystemdBoot struct {
	Dir string
	// Cut, if not nil, takes the place of the firmware's rename.
	Cut func(from, to string)
}

type sdEntry struct {
	id, file, sortKey, version, kernel string
	left, done                         int // -1 without a counter
}

// Boot boots once and returns the base name of the kernel image.
func (l SystemdBoot) Boot() (string, error) {
	e, err := l.choose()
	if err != nil || e.left < 0 {
		return filepath.Base(e.kernel), err
	}
	prefix, _, _ := strings.Cut(e.file, "+")
	next := fmt.Sprintf("%s+%d-%d%s", prefix, max(e.left-1, 0), e.done+1, path.Ext(e.file))
	folder := filepath.Join(l.Dir, "loader/entries")
	from, to := filepath.Join(folder, e.file), filepath.Join(folder, next)
	if l.Cut != nil {
		l.Cut(from, to)
	} else if _, err := os.Stat(to); errors.Is(err, os.ErrNotExist) { // else the firmware denies it, and the loader goes on
		if err := os.Rename(from, to); err != nil {
			return "", err
		}
	}
	return filepath.Base(e.kernel), nil
}

func (l SystemdBoot) choose() (sdEntry, error) {
	kernels, err := l.type2()
	if err != nil {
		return sdEntry{}, err
	}
	entries, err := l.type1()
	if err != nil {
		return sdEntry{}, err
	}
	list := append(kernels, entries...)
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
	conf, err := os.ReadFile(filepath.Join(l.Dir, "loader/loader.conf"))
	if err != nil {
		return sdEntry{}, err
	}
	pattern := ""
	for line := range strings.Lines(string(conf)) {
		if rest, ok := strings.CutPrefix(line, "default "); ok {
			pattern = strings.ToLower(strings.TrimSpace(rest))
		}
	}
	for _, e := range list {
		if ok, err := path.Match(pattern, e.id); ok || err != nil {
			return e, err
		}
	}
	return sdEntry{}, fmt.Errorf("no entry matches %q: the loader would take the highest version", pattern)
}

func (l SystemdBoot) type2() (list []sdEntry, err error) {
	names, err := filepath.Glob(filepath.Join(l.Dir, "EFI/Linux/*"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		id := strings.ToLower(filepath.Base(name))
		if !strings.HasSuffix(id, ".efi") {
			continue
		}
		version, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list = append(list, sdEntry{id: id, sortKey: "edge", version: string(version), kernel: name, left: -1, done: -1})
	}
	return list, nil
}

var sdCounter = regexp.MustCompile(`\+([0-9]+)(?:-([0-9]+))?\.conf$`)

func (l SystemdBoot) type1() (list []sdEntry, err error) {
	names, err := filepath.Glob(filepath.Join(l.Dir, "loader/entries/*"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		e := sdEntry{id: strings.ToLower(filepath.Base(name)), file: filepath.Base(name), left: -1, done: -1}
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch key {
			case "efi":
				e.kernel = filepath.Join(l.Dir, value)
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
	return list, nil
}
