package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/proa-os/proa/bench/workbench"
)

const (
	mirror   = "http://deb.debian.org/debian"
	security = "http://deb.debian.org/debian-security"
	keyring  = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// sizes are those of images/debian.
const sizes = `slots: {root: 900MiB}
esp: 160MiB
var: 512MiB
`

const packagesRecipe = `product: bench
platform: qemu
sources:
  - deb:
      repositories:
        - {url: %[1]s, suites: [bookworm, bookworm-updates], signedBy: [%[3]s]}
        - {url: %[2]s, suites: [bookworm-security], signedBy: [%[3]s]}
      packages: [%[4]s]
  - dir: overlay
` + sizes

// packaging builds from locked packages: in full, with the downloads there and
// nothing unpacked, and again after one file of the overlay has changed.
func (b *bench) packaging(ctx context.Context) error {
	if err := os.MkdirAll(b.Path("deb", "overlay", "etc"), 0o755); err != nil {
		return err
	}
	recipe := fmt.Appendf(nil, packagesRecipe, mirror, security, keyring, strings.Join(packages(), ", "))
	if err := os.WriteFile(b.Path("deb", "recipe.yaml"), recipe, 0o644); err != nil {
		return err
	}
	const build = "proa build -q deb --locked --offline -o deb/out --version 1.0.0 --force"
	// The first build downloads.
	if _, err := b.Command(ctx, "proa lock -q deb && proa build -q deb --locked -o deb/out --version 1.0.0"); err != nil {
		return err
	}
	again, full, err := b.sideBySide(ctx, side{"date +%N >deb/overlay/etc/motd", build}, side{forget, build})
	if err != nil {
		return err
	}
	b.full, b.again = workbench.Median(full), workbench.Median(again)
	b.noteTime("proa build, packages to disk.raw", b.full)
	b.noteTime("proa build after a change of the overlay", b.again)
	b.noteRatio(b.again, b.full, 0.35)
	b.noteBytes("proa build of packages, peak memory", max(workbench.Peak(full), workbench.Peak(again)), 512<<20)
	return nil
}

// mkosi makes a root of the same packages, the second time from the packages
// that it keeps. A disk needs loop devices whose partitions the kernel finds,
// so it makes a plain tar archive: no file system, no hash tree, no initrd, no
// kernel image, no boot loader, no partitions.
func (b *bench) mkosi(ctx context.Context) error {
	words := []string{
		"mkosi", "--distribution=debian", "--release=bookworm", "--mirror=" + mirror, "--with-docs=yes",
		"--format=tar", "--compress-output=no", "--cache=" + b.Kept + "/mkosi", "--workspace-dir=work", "--output-dir=out", "--output=image", "--force",
	}
	for _, p := range packages() {
		words = append(words, "--package="+p)
	}
	if os.Getuid() != 0 {
		words = append([]string{"sudo"}, words...)
	}
	const clean = "rm -rf mkosi && mkdir -p mkosi/work mkosi/out"
	command := "mkdir -p " + b.Kept + "/mkosi && cd mkosi && " + strings.Join(append(words, "build"), " ")
	var second time.Duration
	for range 2 {
		s, err := b.Command(ctx, clean+" && "+command)
		if err != nil {
			return err
		}
		second = s.Took
	}
	b.noteTime("mkosi, packages to a tar archive", second)
	ratio := second.Seconds() / b.again.Seconds()
	b.note("  times as long as proa build, cached", fmt.Sprintf("%.1f", ratio), "at least 5", ratio < 5)
	b.note("  times as long as unpacking all anew", fmt.Sprintf("%.1f", second.Seconds()/b.full.Seconds()), "", false)
	return nil
}
