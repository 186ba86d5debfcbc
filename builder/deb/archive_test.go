package deb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/deb/debtest"
	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/openpgp/pgptest"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/packagestest"
	"github.com/proa-os/proa/manifests"
)

// signer is a folder of gpg with two keys: the archive's and a stranger's.
type signer struct {
	t    testing.TB
	home string
}

func newSigner(t testing.TB) signer {
	t.Helper()
	s := signer{t, pgptest.Home(t)}
	for _, name := range []string{"archive@example.org", "stranger@example.org"} {
		s.gpg("", "--quick-generate-key", name, "ed25519", "sign", "never")
	}
	return s
}

func (s signer) gpg(stdin string, args ...string) []byte {
	s.t.Helper()
	return pgptest.Run(s.t, s.home, stdin, args...)
}

func (s signer) keys(name string) *openpgp.Keyring {
	s.t.Helper()
	k, err := openpgp.Parse(s.gpg("", "--export", name))
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

// archive is a folder that apt-ftparchive has made an archive of.
type archive struct {
	signer
	dir     string
	release string // the unsigned text
}

const suite = "dists/noble-test"

func newArchive(t testing.TB, options ...string) archive {
	t.Helper()
	a := archive{signer: newSigner(t), dir: t.TempDir()}
	pool := filepath.Join(a.dir, "pool", "main")
	debtest.Build(t, pool, "sample_2%3a+~", sample, sampleFiles())
	for name, arch := range map[string]string{"first": "amd64", "any": "all"} {
		debtest.Build(t, pool, name, fmt.Sprintf("Package: %s\nVersion: 1\nArchitecture: %s\nMaintainer: T <t@example.org>\nDescription: x\n", name, arch), nil)
	}
	a.index("amd64", a.scan())
	a.release = a.releaseText(options...)
	a.sign("archive@example.org", a.release)
	return a
}

// scan is what apt-ftparchive writes of the pool.
func (a archive) scan() string {
	a.t.Helper()
	return string(tool(a.t, nil, "sh", "-c", `cd "$1" && apt-ftparchive packages pool`, "sh", a.dir))
}

// index writes a Packages file, in the ways that the archive has them.
func (a archive) index(arch, text string, compressions ...string) {
	a.t.Helper()
	at := filepath.Join(a.dir, suite, "main", "binary-"+arch, "Packages")
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
	for _, c := range append(compressions, "xz", "gzip") {
		tool(a.t, nil, c, "-kf", at)
	}
}

func (a archive) releaseText(options ...string) string {
	a.t.Helper()
	args := []string{"-o", "APT::FTPArchive::Release::Suite=stable-test", "-o", "APT::FTPArchive::Release::Codename=noble-test",
		"-o", "APT::FTPArchive::Release::Architectures=amd64", "-o", "APT::FTPArchive::Release::Components=main"}
	for _, o := range options {
		args = append(args, "-o", "APT::FTPArchive::Release::"+o)
	}
	return string(tool(a.t, nil, "apt-ftparchive", append(args, "release", filepath.Join(a.dir, suite))...))
}

func (a archive) sign(key, text string) {
	a.t.Helper()
	a.put(string(a.gpg(text, "--local-user", key, "--clear-sign")))
}

func (a archive) put(document string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, suite, "InRelease"), []byte(document), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// resign makes Release anew and signs it.
func (a archive) resign() { a.sign("archive@example.org", a.releaseText()) }

func (a archive) config() deb.Config {
	return deb.Config{
		Repository: manifests.DebRepository{URL: "http://repo.test/debian/", Suites: []string{"noble-test"}},
		Keys:       a.keys("archive@example.org"), Arch: manifests.AMD64, Index: 3, Now: time.Now(),
	}
}

func (a archive) load(c deb.Config) ([]manifests.LockedRepository, []packages.Package, error) {
	return deb.Load(a.t.Context(), packagestest.FolderFetcher{URL: "http://repo.test/debian", Dir: a.dir}, c)
}
