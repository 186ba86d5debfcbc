// Package debian does what the base packages of Debian do in scripts that
// cannot be followed, since they ask debconf, run programs of their own or
// work on what those print: each function says which package it stands for.
package debian

import (
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// maxText is the size of a file that is read, in bytes.
const maxText = 8 << 20

// reasons say, by package, why commands of its scripts that are not known may
// be passed over.
var reasons = map[string]string{
	"base-passwd":          "its users and groups are taken from /usr/share/base-passwd",
	"ca-certificates":      "all certificates of the package are trusted, as by default",
	"dash":                 "it is /bin/sh by its files; that it diverts bash's is noted",
	"dpkg":                 "it mends what old versions did",
	"initramfs-tools":      "the build makes the initrd",
	"initramfs-tools-core": "the build makes the initrd",
	"iproute2":             "by default ip gets no capabilities",
	"klibc-utils":          "it mends what old versions did",
	"libc6":                "it restarts services after an upgrade",
	"libgcrypt20":          "it removes what upgrades leave",
	"libpam-runtime":       "the configuration of PAM is made from /usr/share/pam-configs",
	"libpam0g":             "it restarts services after an upgrade",
	"openssh-server":       "/etc/ssh/sshd_config is the package's own, as by default",
	"tzdata":               "the time zone is Etc/UTC, unless the image has one",
	"ucf":                  "ucf keeps no state in an image",
	"usrmerge":             "the image has merged /usr from the start",
	"usr-is-merged":        "the image has merged /usr from the start",
	"libssl3":              "it restarts services after an upgrade",
	"libssl3t64":           "it restarts services after an upgrade",
	"init-system-helpers":  "it mends what old versions did",
}

// Reason is why commands of a package's scripts that are not known may be
// passed over; empty when they may not.
func Reason(name string) string { return reasons[name] }

// base is one thing to set up, for one package.
type base struct {
	pkg  string
	what string
	do   func(t *tree.Tree, source string) error
}

// SetUp does what goes for the packages that has knows, and says what.
func SetUp(t *tree.Tree, has func(name string) bool, source string) ([]string, error) {
	var done []string
	for _, b := range []base{
		{"debianutils", "/etc/shells lists the shells of all packages", shells},
		{"libpam-runtime", "/etc/pam.d/common-* are made from /usr/share/pam-configs", pam},
		{"ca-certificates", "/etc/ssl/certs has the certificates of the package", certificates},
		{"tzdata", "/etc/localtime and /etc/timezone say UTC", timezone},
		{"openssh-server", "/etc/ssh/sshd_config is copied from /usr/share/openssh", sshd},
		{"dash", "/var/lib/dpkg/diversions has those of dash", diversions},
		{"initramfs-tools-core", "/etc/initramfs-tools/modules is an empty list", initramfsModules},
	} {
		if !has(b.pkg) {
			continue
		}
		if err := b.do(t, source); err != nil {
			return done, fmt.Errorf("%s: %w", b.pkg, err)
		}
		done = append(done, b.pkg+": "+b.what)
	}
	return done, nil
}

// Accounts makes etc/passwd and etc/group of the masters that base-passwd
// brings, where the tree has none.
func Accounts(t *tree.Tree, source string) error {
	for _, name := range []string{"passwd", "group"} {
		if _, there := t.Resolve("etc/" + name); there {
			continue
		}
		if err := copyFile(t, "usr/share/base-passwd/"+name+".master", "etc/"+name, source); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file, where there is one, to where there is none.
func copyFile(t *tree.Tree, from, to, source string) error {
	n, there := t.Resolve(from)
	if _, taken := t.Lookup(to); !there || taken || n.Kind != tree.File {
		return nil
	}
	return t.Put(to, &tree.Node{Mode: n.Mode, UID: n.UID, GID: n.GID, Source: source, Content: n.Content})
}

func put(t *tree.Tree, at, text, source string) error {
	return t.Put(at, &tree.Node{Mode: 0o644, Source: source, Content: tree.Content{At: strings.NewReader(text), Size: int64(len(text))}})
}

// putNew is put where nothing is yet.
func putNew(t *tree.Tree, at, text, source string) error {
	if _, there := t.Lookup(at); there {
		return nil
	}
	return put(t, at, text, source)
}

func timezone(t *tree.Tree, source string) error {
	if _, there := t.Lookup("etc/localtime"); !there {
		link := &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: "/usr/share/zoneinfo/Etc/UTC", Source: source}
		if err := t.Put("etc/localtime", link); err != nil {
			return err
		}
	}
	zone := "Etc/UTC"
	if n, _ := t.Lookup("etc/localtime"); n.Kind == tree.Symlink {
		if _, after, ok := strings.Cut(n.Target, "zoneinfo/"); ok {
			zone = after
		}
	}
	return putNew(t, "etc/timezone", zone+"\n", source)
}

func sshd(t *tree.Tree, source string) error {
	return copyFile(t, "usr/share/openssh/sshd_config", "etc/ssh/sshd_config", source)
}

func diversions(t *tree.Tree, source string) error {
	const own = "/usr/share/man/man1/sh.1.gz\n/usr/share/man/man1/sh.distrib.1.gz\ndash\n/bin/sh\n/bin/sh.distrib\ndash\n"
	return putNew(t, "var/lib/dpkg/diversions", own, source)
}

// initramfsModules is the package's list without the lines for its authors.
func initramfsModules(t *tree.Tree, source string) error {
	data, err := t.ReadFile("usr/share/initramfs-tools/modules", maxText)
	if err != nil {
		return nil // another version has none
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "###") {
			out.WriteString(line)
		}
	}
	return putNew(t, "etc/initramfs-tools/modules", out.String(), source)
}
