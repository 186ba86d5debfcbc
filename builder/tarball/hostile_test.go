package tarball_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

// limits keep a test that fails from filling the disk.
func limits() content.Limits {
	l := content.DefaultLimits()
	l.Free, l.Expanded, l.Spool = 4<<20, 1<<30, 1<<30
	return l
}

// add reads an archive into a new tree and shows that.
func add(t *testing.T, c tarball.Config) ([]string, error) {
	t.Helper()
	dir := t.TempDir()
	store, err := content.NewBounded(dir, limits())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	into := tree.New()
	if err := tarball.Add(t.Context(), store, into, c); err != nil {
		return nil, err
	}
	lines, err := treetest.List(into)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files in the folder for temporary files: %v", left)
	}
	return lines, nil
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestHostileArchivesStayInside(t *testing.T) {
	cases := tartest.Hostile()
	if len(cases) < 60 {
		t.Errorf("%d cases: want at least 60", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			for how, config := range map[string]tarball.Config{
				"in place":       {Name: "hostile", Path: write(t, c.Archive)},
				"as a stream":    {Name: "hostile", Reader: bytes.NewReader(c.Archive)},
				"as gzip":        {Name: "hostile", Path: write(t, gzipped(t, c.Archive))},
				"as slow stream": {Name: "hostile", Reader: &oneByte{bytes.NewReader(c.Archive)}},
			} {
				got, err := add(t, config)
				if c.Error != "" {
					if err == nil || !strings.Contains(err.Error(), c.Error) {
						t.Errorf("%s: error %v: want %q in it; tree %q", how, err, c.Error, got)
					}
					if err != nil && !strings.Contains(err.Error(), "hostile") {
						t.Errorf("%s: error %v: want the source's name in it", how, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", how, err)
					continue
				}
				want := c.Tree
				if len(want) > 0 && !strings.HasPrefix(want[0], ". ") {
					want = append([]string{". directory 0755 0:0"}, want...)
				}
				if want != nil && !slices.Equal(got, want) {
					t.Errorf("%s:\n%s\nwant\n%s", how, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}

type oneByte struct{ r *bytes.Reader }

func (o *oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }
