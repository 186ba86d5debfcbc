package configure_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/machine/debian"
)

// epoch is that of the roots in machine/debian.
const epoch = 1767225600

// installed is one stanza of dpkg's status file.
type installed map[string]string

// reference is the root that mmdebstrap makes of the packages.
type reference struct {
	tree     *tree.Tree
	packages []installed // what others need comes first
	dir      string      // of the .deb files
}

func openReference(t *testing.T, store *content.Store) reference {
	t.Helper()
	dir, err := debian.CheckoutDir()
	if err != nil {
		t.Fatal(err)
	}
	root, err := debian.Root(t.Context(), debian.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r := reference{tree: tree.New(), dir: filepath.Join(dir, "debs")}
	if err := tarball.Add(t.Context(), store, r.tree, tarball.Config{Name: "mmdebstrap", Path: root}); err != nil {
		t.Fatal(err)
	}
	status, err := r.tree.ReadFile("var/lib/dpkg/status", 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	r.packages = inOrder(stanzas(string(status)))
	r.fetch(t)
	return r
}

func stanzas(text string) []installed {
	var all []installed
	for stanza := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		s := installed{}
		field := ""
		for line := range strings.Lines(stanza) {
			line = strings.TrimRight(line, "\n")
			if line[0] == ' ' {
				s[field] += "\n" + line
			} else if name, value, ok := strings.Cut(line, ":"); ok {
				field = name
				s[field] = strings.TrimSpace(value)
			}
		}
		all = append(all, s)
	}
	return all
}

var dependency = regexp.MustCompile(`[a-z0-9][a-z0-9+.-]+`)

// inOrder sorts packages so that what others depend on comes first.
func inOrder(all []installed) []installed {
	byName := map[string]installed{}
	for _, p := range all {
		byName[p["Package"]] = p
		for provided := range strings.SplitSeq(p["Provides"], ",") {
			if name := dependency.FindString(provided); name != "" && byName[name] == nil {
				byName[name] = p
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool {
		first := func(p installed) int {
			return slices.Index([]string{"libc6", "systemd", "base-passwd"}, p["Package"])
		}
		if a, b := first(all[i]), first(all[j]); a != b {
			return a > b
		}
		return all[i]["Package"] < all[j]["Package"]
	})
	var out []installed
	state := map[string]int{}
	var visit func(p installed)
	visit = func(p installed) {
		if state[p["Package"]] != 0 {
			return
		}
		state[p["Package"]] = 1
		for group := range strings.SplitSeq(p["Pre-Depends"]+","+p["Depends"], ",") {
			if q := byName[dependency.FindString(group)]; q != nil {
				visit(q)
			}
		}
		out = append(out, p)
	}
	for _, p := range all {
		visit(p)
	}
	return out
}

func (r reference) file(p installed) string {
	return filepath.Join(r.dir, fmt.Sprintf("%s_%s_%s.deb", p["Package"], strings.ReplaceAll(p["Version"], ":", "%3a"), p["Architecture"]))
}

// fetch downloads the packages that are not there yet.
func (r reference) fetch(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, p := range r.packages {
		if _, err := os.Stat(r.file(p)); err != nil {
			missing = append(missing, p["Package"]+":"+strings.Replace(p["Architecture"], "all", "amd64", 1)+"="+p["Version"])
		}
	}
	if len(missing) == 0 {
		return
	}
	options := r.apt(t)
	for _, args := range [][]string{{"update"}, append([]string{"download"}, missing...)} {
		cmd := exec.Command("apt-get", append(slices.Clone(options), args...)...)
		cmd.Dir = r.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("apt-get %s: %v: %s", args[0], err, out)
		}
	}
}

// apt keeps what apt knows of the archive apart from what the host's knows,
// which may be older than the root.
func (r reference) apt(t *testing.T) []string {
	t.Helper()
	state := t.TempDir()
	for _, dir := range []string{"lists/partial", "cache"} {
		if err := os.MkdirAll(filepath.Join(state, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"-q", "-o", "Dir::State::lists=" + state + "/lists", "-o", "Dir::Cache=" + state + "/cache", "-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"}
}

// unpack puts the files of the packages into a tree with merged /usr, and
// returns what they say of themselves.
func (r reference) unpack(t *testing.T, store *content.Store) (*tree.Tree, []packages.About) {
	t.Helper()
	into := tree.New()
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		for path, n := range map[string]*tree.Node{
			"usr/" + dir: {Kind: tree.Directory, Mode: 0o755, Source: "debs"},
			dir:          {Kind: tree.Symlink, Mode: 0o777, Target: "usr/" + dir, Source: "debs"},
		} {
			if err := into.Put(path, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	var all []packages.About
	for _, p := range r.packages {
		all = append(all, r.unpackOne(t, store, into, p))
	}
	return into, all
}

func (r reference) unpackOne(t *testing.T, store *content.Store, into *tree.Tree, p installed) packages.About {
	t.Helper()
	about := packages.About{Format: packages.Deb, Name: p["Package"], Version: p["Version"], Arch: p["Architecture"]}
	if !strings.HasPrefix(p["Package"], "linux-image-") { // large, and of no interest here
		r.unpackFiles(t, store, into, p)
	}
	control := t.TempDir()
	if out, err := exec.Command("dpkg-deb", "-e", r.file(p), control).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", r.file(p), err, out)
	}
	for _, when := range []string{"preinst", "postinst", "prerm", "postrm", "config"} {
		if text, err := os.ReadFile(filepath.Join(control, when)); err == nil {
			about.Scripts = append(about.Scripts, packages.Script{When: when, Interpreter: "/bin/sh", Text: string(text)})
		}
	}
	return about
}

func (r reference) unpackFiles(t *testing.T, store *content.Store, into *tree.Tree, p installed) {
	t.Helper()
	archive, err := exec.Command("dpkg-deb", "--fsys-tarfile", r.file(p)).Output()
	if err != nil {
		t.Fatalf("%s: %v", r.file(p), err)
	}
	if err := tarball.Add(t.Context(), store, into, tarball.Config{Name: "debs", Reader: bytes.NewReader(archive)}); err != nil {
		t.Fatalf("%s: %v", r.file(p), err)
	}
}

func configured(t *testing.T, into *tree.Tree, c configure.Config) (configure.UsersReport, configure.Report) {
	t.Helper()
	users, err := configure.Users(context.Background(), into, c)
	if err != nil {
		t.Fatal(err)
	}
	report, err := configure.Run(context.Background(), into, c)
	if err != nil {
		t.Fatal(err)
	}
	return users, report
}

func TestDebianPackagesBecomeTheRootThatMmdebstrapMakes(t *testing.T) {
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	want := openReference(t, store)
	got, all := want.unpack(t, store)
	users, report := configured(t, got, configure.Config{Packages: all, Source: "configure", Epoch: epoch})
	if uncovered := report.Uncovered(); len(uncovered) > 0 || len(report.Packages) < 50 || len(users.Users) < 3 {
		t.Errorf("users %v\n%s", users, report)
	}
	for _, path := range []string{"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/shells"} {
		ours, theirs := withoutNumbers(t, got, path), withoutNumbers(t, want.tree, path)
		if !slices.Equal(ours, theirs) {
			t.Errorf("%s:\n%s\nwant\n%s", path, strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
		}
	}
	for _, line := range differences(t, got, want.tree) {
		t.Error(line)
	}
}
