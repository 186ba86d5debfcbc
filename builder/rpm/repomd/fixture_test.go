package repomd_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/openpgp/pgptest"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/packagestest"
	"github.com/proa-os/proa/builder/rpm/repomd"
	"github.com/proa-os/proa/manifests"
)

const spec = `
Name: tool
Epoch: 2
Version: 1.0~rc1
Release: 3
Summary: A tool
License: MIT
Requires: lib >= 1.5
Requires: (editor if desktop else pager)
Requires: /usr/share/data/table
Requires: /usr/bin/helper
Conflicts: oldtool < 1
Obsoletes: ancient <= 0.9
Recommends: extras
Supplements: (desktop and lib)
Provides: virtual(tool) = 7
%description
A tool & more.
%package -n lib
Summary: Its library
BuildArch: noarch
%description -n lib
-
%package -n m+x
Summary: A name to escape
BuildArch: noarch
%description -n m+x
-
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/share/data
touch %{buildroot}/usr/bin/tool %{buildroot}/usr/bin/helper "%{buildroot}/usr/share/data/a & b" %{buildroot}/usr/share/data/table
%files
/usr/bin/tool
%files -n lib
/usr/bin/helper
/usr/share/data
%files -n m+x
`

// built makes packages and keys once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "repomd")
	if err != nil {
		return "", err
	}
	home := filepath.Join(dir, "gnupg")
	err = errors.Join(os.WriteFile(filepath.Join(dir, "tool.spec"), []byte(spec), 0o600), os.Mkdir(home, 0o700))
	for _, args := range [][]string{
		{"rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", "_topdir " + dir + "/top", "--define", "_rpmdir " + dir + "/repo/Packages",
			"--define", "_build_id_links none", dir + "/tool.spec"},
		pgptest.Command(home, "--quick-generate-key", "trusted", "ed25519", "sign", "never"),
		{"createrepo_c", "--quiet", dir + "/repo"},
		pgptest.Command(home, "--local-user", "trusted", "--armor", "--detach-sign", dir+"/repo/repodata/repomd.xml"),
		pgptest.Command(home, "--quick-generate-key", "other", "ed25519", "sign", "never"),
		pgptest.Command(home, "--faked-system-time", "20200101T000000!", "--quick-generate-key", "old", "ed25519", "sign", "1y"),
	} {
		if err == nil {
			var out []byte
			if out, err = exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				err = fmt.Errorf("%v: %w\n%s", args, err, out)
			}
		}
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := built(); dir != "" {
		pgptest.End(filepath.Join(dir, "gnupg"))
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// repository is a copy that a test may change.
type repository struct {
	t    *testing.T
	dir  string // the folder that repodata is in
	home string // of GnuPG
}

const base = "http://repo.test/os"

// newRepository is signed, and made by createrepo_c as it is by default or with
// the given arguments.
func newRepository(t *testing.T, createrepo ...string) *repository {
	t.Helper()
	from, err := built()
	if err != nil {
		t.Fatal(err)
	}
	r := &repository{t: t, dir: filepath.Join(t.TempDir(), "os"), home: filepath.Join(from, "gnupg")}
	r.run("cp", "-r", from+"/repo", r.dir)
	if len(createrepo) > 0 {
		r.run("createrepo_c", append([]string{"--quiet", r.dir}, createrepo...)...)
		r.sign("trusted")
	}
	return r
}

func (r *repository) run(name string, args ...string) []byte {
	r.t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.Bytes())
	}
	return out
}

func (r *repository) path(name string) string { return filepath.Join(r.dir, name) }

func (r *repository) sign(key string, more ...string) {
	r.t.Helper()
	args := pgptest.Command(r.home, append(more, "--local-user", key, "--armor", "--detach-sign", r.path("repodata/repomd.xml"))...)
	r.run(args[0], args[1:]...)
}

// edit changes repomd.xml and signs it again.
func (r *repository) edit(old, with string) {
	r.t.Helper()
	name := r.path("repodata/repomd.xml")
	data, err := os.ReadFile(name)
	if err != nil || !bytes.Contains(data, []byte(old)) {
		r.t.Fatalf("%v: there is no %q in %s", err, old, data)
	}
	if err := os.WriteFile(name, bytes.ReplaceAll(data, []byte(old), []byte(with)), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.sign("trusted")
}

// list is the path of a list by its kind.
func (r *repository) list(kind string) string {
	r.t.Helper()
	found, err := filepath.Glob(r.path("repodata/*" + kind + ".xml*"))
	if err != nil || len(found) != 1 {
		r.t.Fatalf("%s: %v, %v", kind, found, err)
	}
	return found[0]
}

func (r *repository) config() repomd.Config {
	r.t.Helper()
	args := pgptest.Command(r.home, "--export", "trusted", "old")
	keys, err := openpgp.Parse(r.run(args[0], args[1:]...))
	if err != nil {
		r.t.Fatal(err)
	}
	return repomd.Config{URL: base, Keys: keys, Arch: manifests.AMD64, Index: 1, Priority: 10, Now: time.Now()}
}

func (r *repository) fetcher() packages.Fetcher {
	return packagestest.FolderFetcher{URL: base, Dir: r.dir}
}

func (r *repository) load(change ...func(*repomd.Config)) (repomd.Repository, error) {
	r.t.Helper()
	c := r.config()
	for _, f := range change {
		f(&c)
	}
	return repomd.Load(r.t.Context(), r.fetcher(), c)
}
