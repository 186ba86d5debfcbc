package tarball_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
)

// run runs a tool that the test cannot do without.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// folder makes files of every kind that an ordinary user can make.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	long := strings.Repeat("long-name-", 15)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "usr/lib", long, long), 0o755))
	must(os.Mkdir(filepath.Join(dir, "tmp"), 0o755))
	must(os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky))
	for name, body := range map[string]string{
		"empty": "", "one": "1", "block": strings.Repeat("b", 512), "more": strings.Repeat("m", 70001),
		"usr/lib/" + long + "/" + long + "/deep": "deep", "spaces in it": "x", "su": "root",
	} {
		must(os.WriteFile(filepath.Join(dir, name), []byte(body), 0o640))
	}
	must(os.Chmod(filepath.Join(dir, "su"), 0o755|os.ModeSetuid|os.ModeSetgid))
	must(os.Symlink("/etc/"+long, filepath.Join(dir, "link")))
	must(os.Link(filepath.Join(dir, "more"), filepath.Join(dir, "usr/hard")))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	holes, err := os.Create(filepath.Join(dir, "holes"))
	must(err)
	defer holes.Close()
	for _, at := range []int64{0, 300_000, 900_000} {
		_, err = holes.WriteAt([]byte("data"), at)
		must(err)
	}
	must(holes.Truncate(1 << 20))
	return dir
}

func TestTreeIsWhatGNUTarLists(t *testing.T) {
	dir := folder(t)
	special := filepath.Join(t.TempDir(), "special.tar")
	var parts []tartest.Part
	for _, c := range tartest.Hostile() {
		if c.Name == "devices and FIFO" || c.Name == "binary capability" {
			parts = append(parts, c.Archive[:len(c.Archive)-1024])
		}
	}
	if err := os.WriteFile(special, tartest.Archive(parts...), 0o644); err != nil {
		t.Fatal(err)
	}
	archives := map[string]string{"special": special}
	for name, options := range map[string][]string{
		"gnu": {"--format=gnu"}, "gnu-sparse": {"--format=gnu", "--sparse"},
		"pax": {"--format=pax"}, "pax-sparse-1.0": {"--format=pax", "--sparse"},
		"pax-sparse-0.0": {"--format=pax", "--sparse", "--sparse-version=0.0"},
		"pax-sparse-0.1": {"--format=pax", "--sparse", "--sparse-version=0.1"},
		"gzip":           {"--gzip"}, "xz": {"--xz"}, "zstd": {"--zstd"},
		"ustar": {"--format=ustar", "--exclude=link", "--exclude=long-*"},
		"v7":    {"--format=v7", "--exclude=link", "--exclude=long-*", "--exclude=fifo"},
	} {
		archives[name] = filepath.Join(t.TempDir(), "a.tar")
		run(t, "tar", append(options, "--owner=12", "--group=34", "-C", dir, "-cf", archives[name], ".")...)
	}
	for name, path := range archives {
		t.Run(name, func(t *testing.T) {
			want := strings.Split(strings.TrimSpace(string(run(t, "tar", "--numeric-owner", "--quoting-style=literal",
				"--xattrs", "--xattrs-include=*", "-tvvvf", path))), "\n")
			for how, config := range map[string]tarball.Config{
				"path": {Name: "a", Path: path}, "stream": {Name: "a", Reader: opened(t, path)},
			} {
				store, into := readTree(t, config)
				got, want := sortLines(gnuListing(t, path, into)), sortLines(withoutTimes(want))
				if !slices.Equal(got, want) {
					t.Errorf("%s:\n%s\nwant\n%s", how, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func opened(t *testing.T, path string) io.Reader {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func readTree(t *testing.T, c tarball.Config) (*content.Store, *tree.Tree) {
	t.Helper()
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	into := tree.New()
	if err := tarball.Add(t.Context(), store, into, c); err != nil {
		t.Fatal(err)
	}
	return store, into
}

// withoutTimes brings GNU tar's lines into the form of gnuListing: no times,
// no spaces for alignment, and a hard link shown as the file it is.
func withoutTimes(lines []string) []string {
	var all []string
	for _, line := range lines {
		if attribute, ok := strings.CutPrefix(line, "  x: "); ok {
			all[len(all)-1] += " x:" + strings.ReplaceAll(attribute, " ", ",")
			continue
		}
		fields := strings.Fields(line)
		fields[0] = strings.TrimSuffix(fields[0], "*") // there are attributes
		_, name, _ := strings.Cut(line, fields[4]+" ")
		name, _, _ = strings.Cut(name, " link to ")
		if fields[0][0] == 'h' {
			fields[0], fields[2] = "-"+fields[0][1:], "linked"
		}
		name = strings.TrimSuffix(name, "/")
		all = append(all, fmt.Sprintf("%s %s %s %s", fields[0], fields[1], fields[2], name))
	}
	return all
}

// gnuListing shows a tree as `tar -tvv` does, and compares every file with
// what `tar -x` gets.
func gnuListing(t *testing.T, archive string, from *tree.Tree) []string {
	t.Helper()
	var lines []string
	dotted := strings.Contains(string(run(t, "tar", "--quoting-style=literal", "-tf", archive)), "./")
	seen := map[*tree.Node]bool{}
	err := from.Walk(func(path string, n *tree.Node) error {
		name := path
		if dotted {
			name = strings.Replace("./"+path, "./.", ".", 1)
		} else if path == "." {
			return nil // implied
		}
		size := fmt.Sprint(n.Content.Size)
		if n.Kind == tree.CharDevice || n.Kind == tree.BlockDevice {
			size = fmt.Sprintf("%d,%d", n.Device.Major, n.Device.Minor)
		}
		if n.Kind == tree.File && !seen[n] {
			got, err := io.ReadAll(n.Content.Open())
			if err != nil {
				return err
			}
			if want := run(t, "tar", "-xOf", archive, "--no-wildcards", name); !bytes.Equal(got, want) && n.Content.Size > 0 {
				t.Errorf("%s: %d bytes are not the %d bytes of GNU tar", path, len(got), len(want))
			}
		} else if n.Kind == tree.File {
			size = "linked"
		}
		seen[n] = true
		if n.Kind == tree.Symlink {
			name += " -> " + n.Target
		}
		line := fmt.Sprintf("%s %d/%d %s %s", modeString(n), n.UID, n.GID, size, name)
		for attribute, value := range n.Xattrs {
			line += fmt.Sprintf(" x:%d,%s", len(value), attribute)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func modeString(n *tree.Node) string {
	text := []byte{"-dlcbps"[n.Kind]}
	for i := range 9 {
		bit := byte('-')
		if n.Mode&(0o400>>i) != 0 {
			bit = "rwx"[i%3]
		}
		text = append(text, bit)
	}
	for i, letter := range []byte("sst") {
		if n.Mode&(0o4000>>i) == 0 {
			continue
		}
		if at := 3*i + 3; text[at] == 'x' {
			text[at] = letter
		} else {
			text[at] = letter - 'a' + 'A'
		}
	}
	return string(text)
}

func sortLines(lines []string) []string {
	slices.SortFunc(lines, func(a, b string) int {
		return strings.Compare(lastField(a), lastField(b))
	})
	// Which of a file's names comes first in an archive is chance.
	for i, line := range lines {
		if strings.Contains(line, "more") || strings.Contains(line, "hard") {
			lines[i] = strings.NewReplacer("linked", "#", "70001", "#").Replace(line)
		}
	}
	return lines
}

func lastField(line string) string { return strings.SplitN(line, " ", 4)[3] }
