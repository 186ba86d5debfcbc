package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-os/proa/bench/workbench"
)

// pair is an update from one system to another.
type pair struct {
	name     string
	what     string
	old, new string // systems
}

var pairs = []pair{
	{"config", "one configuration file, from 900 to 1,300 bytes", "point", "settings"},
	{"security", "a security update of a few packages", "stable", "security"},
	{"kernel", "a kernel alone", "stable", "kernel"},
	{"point", "a point release, with the kernel", "stable", "point"},
	{"jump", "the next release of Debian", "point", "next"},
}

// system is what a recipe is locked to.
type system struct {
	suites   []string // of Debian's archive; the last is of the security archive when there are several
	from     string   // the system whose lock this one begins with
	update   string   // what becomes the newest then: arguments of proa lock
	settings int      // bytes of the configuration file
}

const (
	oldSettings = 900
	newSettings = 1300
)

var (
	bookworm = []string{"bookworm", "bookworm-updates", "bookworm-security"}
	trixie   = []string{"trixie", "trixie-updates", "trixie-security"}
)

var systems = map[string]system{
	"stable":   {[]string{"bookworm"}, "", "", oldSettings},
	"security": {bookworm, "stable", "--update openssl libssl3 libexpat1 liblzma5 xz-utils libssh2-1", oldSettings},
	"point":    {bookworm, "stable", "--update", oldSettings},
	"kernel":   {bookworm, "stable", "--update linux-image-cloud-amd64", oldSettings},
	"settings": {bookworm, "point", "", newSettings},
	"next":     {trixie, "", "", oldSettings},
}

const recipe = `product: bench
platform: qemu
sources:
  - deb:
      repositories:
        - {url: http://deb.debian.org/debian, suites: [%s], signedBy: [%[2]s]}
%[3]s      packages: [linux-image-cloud-amd64, kmod, systemd, systemd-sysv, systemd-boot-efi, udev, dbus, e2fsprogs, iproute2, procps,
        openssh-server, ca-certificates, busybox-static, python3, perl, git, vim, gcc, curl, rsync, tcpdump, man-db, nftables,
        locales, xz-utils, jq, bind9-host, unzip, tzdata]
  - dir: overlay
slots: {root: 900MiB}
esp: 160MiB
var: 512MiB
`

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

func (s system) recipe() string {
	main, security := s.suites, ""
	if last := len(s.suites) - 1; last > 0 {
		main = s.suites[:last]
		security = fmt.Sprintf("        - {url: http://deb.debian.org/debian-security, suites: [%s], signedBy: [%s]}\n", s.suites[last], keyring)
	}
	return fmt.Sprintf(recipe, strings.Join(main, ", "), keyring, security)
}

// configuration is a file as services have: one value differs by its size.
func configuration(size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Settings of the appliance. One value a line.\nlevel = %d\nretries = 3\n", size)
	for i := 0; b.Len() < size-20; i++ {
		fmt.Fprintf(&b, "zone.%02d = 10.%d.%d.0/24\n", i, i, i*37%256)
	}
	return (b.String() + strings.Repeat("#", size))[:size-1] + "\n"
}

// newVersion is that of a pair's new release.
const newVersion = "1.1.0"

// workshop makes the releases of pairs.
type workshop struct {
	bench    workbench.Bench
	releases map[string]string // folders of releases by system and version
	kept     kept
	limit    time.Duration // of one step
}

// recipeFolder is where a system's recipe and lock are. They stay from one run to
// the next: remove the lock to have newer packages.
func (w *workshop) recipeFolder(name string) string {
	return filepath.Join(w.bench.Kept, "updates", name)
}

// lock writes what a system is made from.
func (w *workshop) lock(ctx context.Context, name string) error {
	s, folder := systems[name], w.recipeFolder(name)
	if s.from != "" {
		if err := w.lock(ctx, s.from); err != nil {
			return err
		}
	}
	for file, content := range map[string]string{"recipe.yaml": s.recipe(), "overlay/etc/appliance.conf": configuration(s.settings)} {
		path := filepath.Join(folder, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	locked := filepath.Join(folder, "proa.lock")
	if _, err := os.Stat(locked); err == nil {
		return nil
	}
	command := "proa lock -q " + folder
	if s.from != "" {
		command = "cp " + filepath.Join(w.recipeFolder(s.from), "proa.lock") + " " + locked + " && " + command + " " + s.update
	}
	_, err := w.bench.Command(ctx, command)
	return err
}

// release builds a system, following the layout of an earlier release when that
// is named, and gives its folder.
func (w *workshop) release(ctx context.Context, name, version, previous string) (string, error) {
	key := name + "-" + version
	if folder, built := w.releases[key]; built {
		return folder, nil
	}
	if err := os.MkdirAll(w.bench.Path("recipes"), 0o755); err != nil {
		return "", err
	}
	if err := w.lock(ctx, name); err != nil {
		return "", err
	}
	follow := ""
	if previous != "" {
		follow = "--previous " + previous
	}
	folder := w.bench.Path("releases", key)
	_, err := w.bench.Command(ctx, fmt.Sprintf("mkdir -p releases && cp -r %s recipes/%s && proa build -q recipes/%[2]s %[3]s -o %s --version %s",
		w.recipeFolder(name), key, follow, folder, version))
	w.releases[key] = folder
	return folder, err
}

// published gives a folder with keys, and a repository that has one release.
func (w *workshop) published(ctx context.Context, release string) (string, error) {
	folder := w.bench.Path("published", filepath.Base(release))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	_, err := w.bench.Command(ctx, fmt.Sprintf(`mkdir -p published/making && cd published/making && proa key new -o keys && proa repo init repository --keys keys &&
proa repo publish -q --keys keys --channel stable %s --repo repository && cd .. && mv making %s`, release, folder))
	return folder, err
}

// prepare makes the releases of a pair, and their files for the peers.
func (w *workshop) prepare(ctx context.Context, p pair) (*trial, error) {
	t := &trial{pair: p, bench: w.bench, workshop: w}
	t.bench.Folder = w.bench.Path(p.name)
	if err := os.MkdirAll(t.bench.Folder, 0o755); err != nil {
		return nil, err
	}
	old, err := w.release(ctx, p.old, "1.0.0", "")
	if err != nil {
		return nil, err
	}
	fresh, err := w.release(ctx, p.new, newVersion, old)
	if err != nil {
		return nil, err
	}
	for name, folder := range map[string]string{"old": old, "new": fresh} {
		if err := os.Symlink(folder, t.bench.Path(name)); err != nil {
			return nil, err
		}
	}
	t.base = old
	if t.size, err = fileSize(t.bench.Path("new", "root.erofs")); err != nil {
		return nil, err
	}
	// What the peers of trees see is what the file system has.
	_, err = t.bench.Command(ctx, `set -e
fsck.erofs --extract=old.tree old/root.erofs
fsck.erofs --extract=new.tree new/root.erofs
cat old/root.erofs new/root.erofs >/dev/null`)
	return t, err
}

// remove removes what the pair alone has: it is some gigabytes.
func (t *trial) remove() {
	key := t.new + "-" + newVersion
	delete(t.workshop.releases, key)
	os.RemoveAll(t.workshop.bench.Path("releases", key))
	os.RemoveAll(t.bench.Folder)
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
