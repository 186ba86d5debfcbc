package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/erofs"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/partitions"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func put(t testing.TB, to *tree.Tree, path string, n *tree.Node) {
	t.Helper()
	n.Source = "test"
	if err := to.Put(path, n); err != nil {
		t.Fatal(err)
	}
}

func text(s string) *tree.Node {
	return &tree.Node{Kind: tree.File, Mode: 0o644, Content: tree.Content{At: strings.NewReader(s), Size: int64(len(s))}}
}

func mode(n *tree.Node, m uint32) *tree.Node { n.Mode = m; return n }

func symlink(target string) *tree.Node {
	return &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: target}
}

func status(packages ...string) *tree.Node {
	var all strings.Builder
	for _, p := range packages {
		name, version, _ := strings.Cut(p, " ")
		fmt.Fprintf(&all, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n\n", name, version)
	}
	return text(all.String())
}

const netRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// releases are two systems that differ in everything that is looked at.
func releases(t testing.TB) (old, new *tree.Tree) {
	old, new = tree.New(), tree.New()
	for _, both := range []*tree.Tree{old, new} {
		put(t, both, "etc/same", text("same"))
		put(t, both, "big/same", text(strings.Repeat("0123456789abcdef", 40_000)))
	}
	put(t, old, "var/lib/dpkg/status", status("up 1.9", "down 2.0", "gone 1", "same 1"))
	put(t, new, "var/lib/dpkg/status", status("up 1.10", "down 2.0~rc1", "come 3", "same 1"))
	for _, v := range []struct {
		to                    *tree.Tree
		release, config, user string
	}{
		{old, "6.1.0-9", "CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=y\n", "root:x:0:0:r:/root:/bin/sh\nleaves:x:5:5::/:/bin/sh\n"},
		{new, "6.1.0-10", "CONFIG_A=y\nCONFIG_B=y\nCONFIG_D=m\n", "root:x:0:0:r:/root:/bin/bash\nsvc:x:6:6::/:/bin/false\n"},
	} {
		put(t, v.to, "usr/lib/modules/"+v.release+"/vmlinuz", text("kernel "+v.release))
		put(t, v.to, "usr/lib/modules/"+v.release+"/config", text(v.config))
		put(t, v.to, "etc/passwd", text(v.user))
	}
	put(t, old, "etc/systemd/system/multi-user.target.wants/a.service", symlink("/x/a.service"))
	put(t, new, "etc/systemd/system/multi-user.target.wants/b.service", symlink("/x/b.service"))
	put(t, new, "usr/bin/su", mode(text("su"), 0o4755))
	ping := text("ping")
	put(t, old, "usr/bin/ping", text("ping"))
	ping.Xattrs = map[string]string{"security.capability": netRaw}
	put(t, new, "usr/bin/ping", ping)
	put(t, old, "kinds/a", text("was a file"))
	put(t, new, "kinds/a", symlink("target"))
	put(t, old, "kinds/link", symlink("there"))
	put(t, new, "kinds/link", symlink("elsewhere"))
	put(t, old, "kinds/odd\x1b[31m\n", text("1"))
	put(t, new, "kinds/odd\x1b[31m\n", text("2"))
	put(t, old, "kinds/owner", text(""))
	owned := mode(text(""), 0o600)
	owned.UID, owned.GID = 5, 6
	put(t, new, "kinds/owner", owned)
	for i := range 50 {
		put(t, new, fmt.Sprintf("many/%02d", i), text(strings.Repeat("x", i)))
	}
	return old, new
}

// image writes a tree as a root image.
func image(t testing.TB, from *tree.Tree) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "root.erofs")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := erofs.Write(context.Background(), file, from, erofs.Config{Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	return name
}

func system(t testing.TB, path string, name string) System {
	t.Helper()
	s, done, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { done() })
	s.Name = name
	return s
}

func compared(t testing.TB) Difference {
	t.Helper()
	a, b := releases(t)
	d, err := Compare(t.Context(), system(t, image(t, a), "old.erofs"), system(t, image(t, b), "new.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryKindOfDifferenceIsFound(t *testing.T) {
	d := compared(t)
	for name, c := range map[string]struct{ got, want any }{
		"packages": {d.Packages, []Package{
			{Added, "deb", "come", "amd64", "", "3"}, {Downgraded, "deb", "down", "amd64", "2.0", "2.0~rc1"},
			{Removed, "deb", "gone", "amd64", "1", ""}, {Upgraded, "deb", "up", "amd64", "1.9", "1.10"},
		}},
		"kernel":  {d.Kernels, []Named{{Changed, "kernel", "6.1.0-9", "6.1.0-10"}}},
		"options": {d.Options, []Named{{Changed, "CONFIG_B", "m", "y"}, {Removed, "CONFIG_C", "y", ""}, {Added, "CONFIG_D", "", "m"}}},
		"units":   {d.Units, []Named{{Removed, "multi-user.target.wants/a.service", "", ""}, {Added, "multi-user.target.wants/b.service", "", ""}}},
		"users": {d.Users, []Named{{Removed, "leaves", "5:5, home /, shell /bin/sh", ""},
			{Changed, "root", "0:0, home /root, shell /bin/sh", "0:0, home /root, shell /bin/bash"}, {Added, "svc", "", "6:6, home /, shell /bin/false"}}},
		"set-user-ID":  {d.SetID, []Named{{Added, "usr/bin/su", "", "4755 0:0"}}},
		"capabilities": {d.Capabilities, []Named{{Added, "usr/bin/ping", "", "cap_net_raw=ep"}}},
	} {
		if got, want := fmt.Sprintf("%+v", c.got), fmt.Sprintf("%+v", c.want); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	what := map[string]string{}
	for _, f := range d.Files {
		what[f.Path] = string(f.Change) + " " + strings.Join(f.What, ", ")
	}
	for path, want := range map[string]string{
		"kinds/a":                 "changed kind file → symbolic link, mode 0644 → 0777",
		"kinds/link":              `changed target "there" → "elsewhere"`,
		"kinds/odd\x1b[31m\n":     "changed content",
		"kinds/owner":             "changed mode 0644 → 0600, owner 0:0 → 5:6",
		"usr/bin/ping":            `changed attribute "security.capability"`,
		"usr/bin/su":              "added ",
		"usr/lib/modules/6.1.0-9": "removed ",
		"etc/same":                "",
		"big/same":                "",
	} {
		if what[path] != want {
			t.Errorf("%q: %q, want %q", path, what[path], want)
		}
	}
	if d.Counts.Added != 50+1+1+1+3 || d.Counts.Changed != 7 || d.Counts.Removed != 4 {
		t.Errorf("counts %+v", d.Counts)
	}
}

func TestASystemDoesNotDifferFromItself(t *testing.T) {
	a, _ := releases(t)
	name := image(t, a)
	d, err := Compare(t.Context(), system(t, name, "a"), system(t, name, "b"))
	if err != nil || !d.Equal() {
		t.Errorf("differs: %+v, %v", d, err)
	}
	if path, what, differ := FirstDifference(a, system(t, name, "a").Tree); differ {
		t.Errorf("%s: %s", path, what)
	}
}

// TestWhatPeopleReadIsAsTheGoldenFilesSay has sections, cut lists and marks.
func TestWhatPeopleReadIsAsTheGoldenFilesSay(t *testing.T) {
	d := compared(t)
	for name, write := range map[string]func(io.Writer) error{"diff.txt": d.Text, "diff.md": d.Markdown} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%s differs from the golden file:\n%s", name, out.Bytes())
		}
		if bytes.ContainsAny(out.Bytes(), "\x1b") {
			t.Errorf("%s steers the terminal", name)
		}
	}
}

func TestJSONHasAllAndNoNulls(t *testing.T) {
	d := compared(t)
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("null")) || bytes.Count(data, []byte(`"many/`)) != 50 {
		t.Errorf("nulls, or not all files: %s", data)
	}
	again, _ := json.Marshal(compared(t))
	if !bytes.Equal(data, again) {
		t.Error("the same comparison says something else")
	}
	empty, err := Compare(t.Context(), System{Tree: tree.New()}, System{Tree: tree.New()})
	if data, _ := json.Marshal(empty); err != nil || bytes.Contains(data, []byte("null")) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestTheFirstDifferenceIsNamed(t *testing.T) {
	for want, change := range map[string]func(*tree.Tree){
		`b/c: content from byte 3 on`:                   func(x *tree.Tree) { put(t, x, "b/c", text("123X56")) },
		`b/c: content of 6 → 7 bytes, mode 0644 → 0755`: func(x *tree.Tree) { put(t, x, "b/c", mode(text("1234567"), 0o755)) },
		`b-: only the second has it, a file`:            func(x *tree.Tree) { put(t, x, "b-", text("")); put(t, x, "c", text("other")) },
		`b: only the first has it, a directory`:         func(x *tree.Tree) { x.Remove("b") },
		`d: hard link to "c" → "d"`:                     func(x *tree.Tree) { put(t, x, "d", text("linked")) },
		`.: mode 0755 → 0700`:                           func(x *tree.Tree) { put(t, x, ".", &tree.Node{Kind: tree.Directory, Mode: 0o700}) },
		`b/c: reading "b/c": disk on fire`:              func(x *tree.Tree) { n, _ := x.Lookup("b/c"); n.Content.At = broken{}; put(t, x, "c", text("other")) },
	} {
		var both [2]*tree.Tree
		for i := range both {
			both[i] = tree.New()
			put(t, both[i], "b/c", text("123456"))
			put(t, both[i], "c", text("linked"))
			if err := both[i].Link("d", "c"); err != nil {
				t.Fatal(err)
			}
		}
		change(both[1])
		path, what, differ := FirstDifference(both[0], both[1])
		if got := path + ": " + what; got != want || !differ {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk on fire") }

func TestContentThatCannotBeReadIsAnErrorNotADifference(t *testing.T) {
	a, b := releases(t)
	n, _ := b.Lookup("big/same")
	n.Content.At = broken{}
	if _, err := Compare(t.Context(), System{Tree: a}, System{Tree: b}); err == nil || !strings.Contains(err.Error(), `"big/same": disk on fire`) {
		t.Errorf("error %v", err)
	}
	a, b = releases(t)
	put(t, b, "var/lib/dpkg/status", text("nonsense"))
	if _, err := Compare(t.Context(), System{Name: "A", Tree: a}, System{Name: "B", Tree: b}); err == nil || !strings.HasPrefix(err.Error(), "B: dpkg's records: var/lib/dpkg/status: ") {
		t.Errorf("error %v", err)
	}
}

func TestPathsComeInTheOrderOfAWalk(t *testing.T) {
	all := tree.New()
	for _, path := range []string{"a", "a-", "a-/x", "b/c", "b/d/e", "b0", "b\x01", "zz"} {
		put(t, all, path, &tree.Node{Kind: tree.Directory, Mode: 0o755})
	}
	var walked []string
	for _, n := range names(all) {
		walked = append(walked, n.path)
	}
	sorted := slices.Clone(walked)
	slices.Reverse(sorted)
	slices.SortFunc(sorted, func(a, b string) int {
		if before(a, b) {
			return -1
		}
		return 1
	})
	if !slices.Equal(sorted, walked) {
		t.Errorf("%q: a walk gives %q", sorted, walked)
	}
}

func TestWhatCannotBeOpenedSaysWhy(t *testing.T) {
	dir := t.TempDir()
	a, _ := releases(t)
	root := image(t, a)
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, bytes.Repeat([]byte("junk"), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		slot partitions.Slot
		want error
	}{
		"empty folder": {dir, 0, ErrUnknown}, "junk": {junk, 0, ErrUnknown}, "nothing": {filepath.Join(dir, "x"), 0, os.ErrNotExist},
		"slot of an image": {root, partitions.SlotA, ErrNoSlot}, "null": {"/dev/null", 0, ErrUnknown},
	} {
		if _, _, err := Open(c.path, c.slot); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
