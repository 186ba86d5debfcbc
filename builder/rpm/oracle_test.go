package rpm_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/openpgp"
)

// run runs a tool that the test cannot do without.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := command(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type toolError struct {
	args   []string
	err    error
	stderr string
}

func (e *toolError) Error() string {
	return strings.Join(e.args, " ") + ": " + e.err.Error() + "\n" + e.stderr
}

func command(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", &toolError{append([]string{name}, args...), err, stderr.String()}
	}
	return string(out), nil
}

// built are packages that rpmbuild has made and rpmsign has signed.
type built struct {
	dir   string
	ring  *openpgp.Keyring
	alpha map[string]string // testdata/alpha.spec by compressor
	beta  string            // a second package
	base  map[string]string // packages of baseSpec by name, not signed
	later map[string]string // of laterSpec
	err   error
}

var fixtures struct {
	sync.Once
	built
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir := fixtures.dir; dir != "" {
		exec.Command("gpgconf", "--homedir", filepath.Join(dir, "gpg"), "--kill", "all").Run()
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func packagesOfRPM(t testing.TB) built {
	t.Helper()
	fixtures.Do(func() { fixtures.err = fixtures.make() })
	if fixtures.err != nil {
		t.Fatal(fixtures.err)
	}
	return fixtures.built
}

// compressors are the macros of rpmbuild that choose one.
var compressors = map[string]string{"gzip": "w9.gzdio", "xz": "w7.xzdio", "zstd": "w19.zstdio", "bzip2": "w9.bzdio"}

const betaSpec = `Name: beta
Version: 1
Release: 1
Summary: Beta
License: MIT
BuildArch: noarch
Provides: gamma = 3
Requires: (a1 if b1)
Requires: (a2 if b2 else c2)
Requires: (a3 or b3)
Requires: (a4 with b4)
Requires: (a5 and (b5 if c5))
Requires: (a6 without b6)
Requires: (a7 if a7)
Conflicts: (d1 and e1)
Conflicts: (d2 unless e2)
Conflicts: (d3 unless e3 else f3)
Recommends: (r1 if s1)
Supplements: (t1 and u1)
Suggests: (t3 if u3)
Enhances: v
Requires(pre): alpha
Requires(postun): sh
%description
Beta.
%install
mkdir -p %{buildroot}/usr/share/beta
echo beta > %{buildroot}/usr/share/beta/beta
%files
%attr(0644,root,root) /usr/share/beta/beta
`

func (b *built) make() error {
	var err error
	if b.dir, err = os.MkdirTemp("", "rpm"); err != nil { // the path of gpg's socket must be short
		return err
	}
	home := filepath.Join(b.dir, "gpg")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	gpg := []string{"--homedir", home, "--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}
	if _, err := command("gpg", append(gpg, "--quick-gen-key", "Test <test@example.org>", "rsa2048", "sign", "never")...); err != nil {
		return err
	}
	key, err := command("gpg", append(gpg, "--export", "--armor")...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "key.asc"), []byte(key), 0o644); err != nil {
		return err
	}
	if b.ring, err = openpgp.Parse([]byte(key)); err != nil {
		return err
	}
	beta := filepath.Join(b.dir, "beta.spec")
	if err := os.WriteFile(beta, []byte(betaSpec), 0o644); err != nil {
		return err
	}
	var group errgroup.Group
	var all []string
	built := sync.Map{}
	for name, io := range compressors {
		group.Go(func() error {
			path, err := b.build("testdata/alpha.spec", name, io)
			built.Store(name, path)
			return err
		})
	}
	group.Go(func() (err error) {
		b.beta, err = b.build(beta, "beta", "w3.zstdio")
		return err
	})
	for into, spec := range map[*map[string]string]string{&b.base: baseSpec, &b.later: laterSpec} {
		group.Go(func() (err error) {
			*into, err = b.buildAll(spec)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	b.alpha = map[string]string{}
	built.Range(func(name, path any) bool {
		b.alpha[name.(string)] = path.(string)
		all = append(all, path.(string))
		return true
	})
	_, err = command("rpmsign", append([]string{"--define", "__gpg /usr/bin/gpg", "--define", "_gpg_path " + home,
		"--define", "_gpg_name test@example.org", "--addsign", b.beta}, all...)...)
	return err
}

// buildAll are the packages that a spec makes, by name.
func (b *built) buildAll(spec string) (map[string]string, error) {
	top, err := os.MkdirTemp(b.dir, "all")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(top, "x.spec")
	if err := os.WriteFile(file, []byte(spec), 0o644); err != nil {
		return nil, err
	}
	if _, err := command("rpmbuild", "--quiet", "-bb", "--define", "_topdir "+top, "--define", "_build_id_links none", "--define", "_buildhost test", file); err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(top, "RPMS/*/*.rpm"))
	all := map[string]string{}
	for _, path := range found {
		name, _, _ := strings.Cut(filepath.Base(path), "-")
		all[name] = path
	}
	return all, err
}

func (b *built) build(spec, name, io string) (string, error) {
	top := filepath.Join(b.dir, name)
	if _, err := command("rpmbuild", "--quiet", "-bb", "--define", "_topdir "+top, "--define", "_binary_payload "+io,
		"--define", "_build_id_links none", "--define", "_buildhost test", spec); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(top, "RPMS/*/*.rpm"))
	if err != nil || len(found) != 1 {
		return "", &toolError{[]string{"rpmbuild", spec}, err, strings.Join(found, " ")}
	}
	return found[0], nil
}
