package rpm_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	. "github.com/proa-os/proa/builder/rpm/rpmtest"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

// errUnsaid says that something in a tar archive has no words in an RPM package.
var errUnsaid = errors.New("cannot be said")

// filesOf is a tar archive as the files of a package. Hard links share an inode
// there: what leads to nothing before it has no words.
func filesOf(archive []byte) ([]File, error) {
	var files []File
	inodes := map[string]uint64{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, fmt.Errorf("%w: %w", errUnsaid, err)
		}
		body, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUnsaid, err)
		}
		f, err := fileOf(h)
		if err != nil {
			return nil, err
		}
		if f.Path == "" {
			continue // about the archive, not a file
		}
		f.Inode = uint64(len(files) + 1)
		f.Body = string(body)
		if h.Typeflag == tar.TypeLink {
			inode, ok := inodes[rooted(h.Linkname)]
			if !ok || files[inode-1].Mode>>12 == 4 {
				return nil, errUnsaid // where it leads would be a name
			}
			first := files[inode-1]
			f.Mode, f.Target, f.Body = first.Mode, first.Target, first.Body
			if first.Mode>>12 == 8 {
				f.Inode = inode
			}
		}
		inodes[f.Path] = f.Inode
		files = append(files, f)
	}
}

func fileOf(h *tar.Header) (File, error) {
	kinds := map[byte]uint64{
		tar.TypeReg: 0o100000, tar.TypeLink: 0o100000, tar.TypeCont: 0o100000, tar.TypeGNUSparse: 0o100000, tar.TypeDir: 0o040000,
		tar.TypeSymlink: 0o120000, tar.TypeChar: 0o020000, tar.TypeBlock: 0o060000, tar.TypeFifo: 0o010000,
	}
	kind, ok := kinds[h.Typeflag]
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader || h.Typeflag == 'V':
		return File{}, nil
	case !ok || h.Devmajor>>8 != 0 || h.Devminor>>8 != 0:
		return File{}, errUnsaid
	}
	f := File{
		Path: rooted(h.Name), Mode: kind | uint64(h.Mode)&0o7777, Target: h.Linkname, Device: uint64(h.Devmajor<<8 | h.Devminor),
		User: strconv.Itoa(h.Uid), Group: strconv.Itoa(h.Gid),
	}
	if h.Typeflag == tar.TypeDir && len(f.Path) > 1 {
		f.Path = strings.TrimSuffix(f.Path, "/")
	}
	if h.Typeflag != tar.TypeSymlink {
		f.Target = ""
	}
	for name := range h.PAXRecords {
		switch {
		case name == "SCHILY.xattr.security.capability":
			f.Caps = "cap_net_raw=ep" // what the table has
		case strings.HasPrefix(name, "SCHILY.xattr.") || strings.HasPrefix(name, "GNU.sparse."):
			return File{}, errUnsaid
		}
	}
	return f, nil
}

// rooted is a name as headers of packages have it, and as it is otherwise.
func rooted(name string) string {
	for strings.HasPrefix(name, "./") {
		name = name[2:]
	}
	if name == "." {
		name = ""
	}
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	return name
}

// becomesOf is what becomes of a package: an error, or the tree, with owners.
func becomesOf(t *testing.T, data []byte) ([]string, error) {
	p, err := read(t, data)
	if err != nil {
		return nil, err
	}
	into := tree.New()
	if err := packages.Lay(t.Context(), into, "rpm", []packages.Payload{p}, nil); err != nil {
		return nil, err
	}
	if err := packages.Own(into, []packages.Payload{p}); err != nil {
		return nil, err
	}
	return treetest.List(into)
}

// TestHostileArchivesStayInsideAsPackages takes the table of hostile tar
// archives. What can be said of each in the header and the payload of a package
// is refused, too, or becomes the same tree, but for rules that packages have.
func TestHostileArchivesStayInsideAsPackages(t *testing.T) {
	unsaid, said := map[string]bool{}, 0
	for _, c := range tartest.Hostile() {
		files, err := filesOf(c.Archive)
		if errors.Is(err, errUnsaid) || len(files) == 0 || strings.HasPrefix(c.Name, "cut ") {
			unsaid[c.Name] = true
			continue
		}
		said++
		rule, ok := packageRules()[c.Name]
		if ok {
			c.Error, c.Tree = rule.words, rule.tree
		} else if slices.ContainsFunc(files, func(f File) bool { return named(files, f.Path) > 1 }) {
			c.Error = "is there twice"
		}
		for form, pkg := range map[string]Package{"by name": {Files: files}, "by number": {Files: files, Payload: stripped(files)}} {
			data := pkg.Build(ours().sign)
			got, err := becomesOf(t, data)
			again, errAgain := becomesOf(t, data)
			if !slices.Equal(got, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
				t.Errorf("%s, %s: twice the same bytes became\n%q %v\nand\n%q %v", c.Name, form, got, err, again, errAgain)
			}
			want := c.Tree
			if len(want) > 0 && !strings.HasPrefix(want[0], ". ") {
				want = append([]string{". directory 0755 0:0"}, want...)
			}
			switch {
			case c.Error != "":
				if err == nil || !strings.Contains(err.Error(), c.Error) {
					t.Errorf("%s, %s: error %v: want %q; tree %q", c.Name, form, err, c.Error, got)
				}
			case err != nil || want != nil && !slices.Equal(got, want):
				t.Errorf("%s, %s: %v\n%s\nwant\n%s", c.Name, form, err, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unsaid)) {
		if !slices.Contains(withoutWords(), name) {
			t.Errorf("%s: not made a package", name)
		}
	}
	if len(unsaid) != len(withoutWords()) {
		t.Errorf("%d archives are no packages: want %d", len(unsaid), len(withoutWords()))
	}
	if said < 60 {
		t.Errorf("%d archives as packages: want at least 60", said)
	}
}

func named(files []File, path string) (n int) {
	for _, f := range files {
		if f.Path == path {
			n++
		}
	}
	return n
}

// stripped is the payload in RPM's own format, whose entries are numbers.
func stripped(files []File) []byte {
	var parts []Part
	for i, f := range files {
		body := f.Body + f.Target
		if slices.ContainsFunc(files[i+1:], func(other File) bool { return other.Inode == f.Inode }) && f.Target == "" {
			body = ""
		}
		parts = append(parts, Stripped(i, body))
	}
	return Archive(parts...)
}

// packageRule is what becomes of an archive as a package, where that is not
// what becomes of it as an archive.
type packageRule struct {
	words string // of the error; or
	tree  []string
}

func packageRules() map[string]packageRule {
	return map[string]packageRule{
		"no name":             {"the root cannot become a file", nil},
		"path of 4097 bytes":  {"4098 bytes long", nil}, // with its first slash
		"a file with a slash": {"want a name without /", nil},
		"empty link target":   {"a symbolic link without a target", nil},
		"owner 2^32-1":        {`user "4294967295": not in the image's etc/passwd`, nil},
		"owner 2^32":          {`user "4294967296": not in the image's etc/passwd`, nil},
		"negative group":      {`group "-2": not in the image's etc/group`, nil},
		"hard link to a link": {"", []string{"h symbolic link 0777 0:0 -> /etc/shadow", "s symbolic link 0777 0:0 -> /etc/shadow"}},
	}
}

// withoutWords are the archives that have no counterpart among packages. What
// headers and payloads of packages can have instead is in the other tables.
func withoutWords() []string {
	return []string{
		// Damaged as tar.
		"bzip2", "cut before the end mark", "cut behind a header", "cut between files", "cut in a file", "cut in the first header",
		"cut in the padding", "negative size", "no entries", "not tar", "nothing at all", "rubbish behind half an end mark", "size of 2^62",
		"size of 8 GiB that is not there", "uid that is no number", "unknown type", "wrong checksum",
		// In headers of PAX and GNU.
		"NUL in a PAX link", "NUL in a PAX path", "PAX path of 2 MiB", "sparse file", "sparse file of 1 TiB", "sparse file of negative size",
		"sparse file that overlaps", "sparse map with more than there is",
		// Extended attributes other than capabilities, and device numbers of more than 16 bits.
		"attribute name of 256 bytes", "attribute without a name", "attribute without a namespace", "attributes over 64 KiB", "empty attribute",
		"labels and overlay marks stay data", "minor number of 21 bits", "negative device number",
		// Hard links by name, where packages have inodes.
		"hard link out", "hard link through a climbing link", "hard link to a directory", "hard link to a later file",
		"hard link to nothing but itself", "hard link to the host", "hard link to the root", "hard link without a target",
	}
}
