package rpm_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm"
	"github.com/proa-os/proa/builder/tree"
)

// baseSpec are the packages of a base image; laterSpec are those of a source
// that is put on it.
const baseSpec = `Name: base
Version: 1
Release: 1
Summary: x
License: MIT
%description
x
%package -n tool
Summary: x
%description -n tool
x
%package -n data
Summary: x
BuildArch: noarch
%description -n data
x
%package -n legacy
Summary: x
BuildArch: noarch
%description -n legacy
x
%package -n stays
Summary: x
BuildArch: noarch
Conflicts: enemy < 2
Conflicts: (foe and data)
Obsoletes: ancient
%description -n stays
x
%install
cd %{buildroot}
mkdir -p usr/share/tool/old usr/share/data usr/share/legacy usr/share/stays etc usr/share/turns/into var/log usr/share/empty
for f in usr/share/tool/old/gone usr/share/tool/same usr/share/data/data usr/share/legacy/f usr/share/stays/f etc/tool.conf \
  etc/old.conf usr/share/turns/into/f usr/share/common usr/share/tool/was-file; do echo 1 > $f; done
ln -s same usr/share/tool/link
echo 1 > var/log/tool
%files -n tool
/usr/share/tool
%config(noreplace) /etc/tool.conf
%config /etc/old.conf
/usr/share/turns
/usr/share/common
/usr/share/empty
%ghost /var/log/tool
%files -n data
/usr/share/data
%files -n legacy
/usr/share/legacy
/usr/share/common
%files -n stays
/usr/share/stays
/usr/share/common
%dir /usr/share/empty
`

const laterSpec = `Name: later
Version: 2
Release: 1
Summary: x
License: MIT
%description
x
%package -n tool
Summary: x
Requires: data
%description -n tool
x
%package -n data
Summary: x
%description -n data
x
%package -n successor
Summary: x
BuildArch: noarch
Obsoletes: legacy < 2
Provides: legacy = 2
%description -n successor
x
%package -n enemy
Version: 1
Summary: x
%description -n enemy
x
%package -n foe
Summary: x
%description -n foe
x
%package -n ancient
Summary: x
%description -n ancient
x
%package -n quarrel
Summary: x
Conflicts: stays = 1
%description -n quarrel
x
%package -n thief
Summary: x
%description -n thief
x
%install
cd %{buildroot}
mkdir -p usr/share/tool/was-file usr/share/data usr/share/successor usr/share/stays etc
for f in usr/share/tool/new usr/share/tool/same usr/share/data/data usr/share/successor/f usr/share/stays/f etc/tool.conf usr/share/tool/was-file/f; do echo 2 > $f; done
ln -s new usr/share/tool/link
ln -s data usr/share/turns
%files -n tool
/usr/share/tool
%config /etc/tool.conf
/usr/share/turns
%files -n data
/usr/share/data
%files -n successor
/usr/share/successor
%files -n enemy
%files -n foe
%files -n ancient
%files -n quarrel
%files -n thief
/usr/share/stays
`

// rpmIn asks rpm about a root.
func rpmIn(t *testing.T, root string, args ...string) string {
	t.Helper()
	return run(t, "unshare", append([]string{"-r", "rpm", "--root", root, "--dbpath", "/var/lib/rpm"}, args...)...)
}

// baseRoot is a root that rpm has installed packages into, and imported a key.
func baseRoot(t *testing.T, paths ...string) string {
	t.Helper()
	root := t.TempDir()
	rpmIn(t, root, append([]string{"--force-debian", "-i", "--nodeps", "--nosignature"}, paths...)...)
	key, err := os.ReadFile(filepath.Join(packagesOfRPM(t).dir, "key.asc"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "key.asc"), key, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "unshare", "-r", "rpmkeys", "--root", root, "--dbpath", "/var/lib/rpm", "--import", filepath.Join(root, "key.asc"))
	if err := os.Remove(filepath.Join(root, "key.asc")); err != nil {
		t.Fatal(err)
	}
	return root
}

// load reads a root into a tree, as a base image would be.
func load(t *testing.T, root string) *tree.Tree {
	t.Helper()
	into := tree.New()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		n := &tree.Node{Mode: uint32(info.Mode().Perm()), Source: "base"}
		switch {
		case info.IsDir():
			n.Kind = tree.Directory
		case info.Mode()&fs.ModeSymlink != 0:
			n.Kind, n.Mode = tree.Symlink, 0o777
			if n.Target, err = os.Readlink(path); err != nil {
				return err
			}
		default:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if len(data) > 0 {
				n.Content = tree.Content{At: strings.NewReader(string(data)), Size: int64(len(data))}
			}
		}
		return into.Put(strings.TrimPrefix(path, root+"/"), n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return into
}

// add is what a build does with the packages of a source.
func add(t *testing.T, into *tree.Tree, paths ...string) ([]packages.Recorded, error) {
	t.Helper()
	var payloads []packages.Payload
	for _, path := range paths {
		p, err := rpm.Read(t.Context(), newStore(t), path, rpm.Unsigned(rpm.ReadConfig{Source: "rpm"}))
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, p)
	}
	gone, err := rpm.MakeRoom(t.Context(), into, payloads)
	if err != nil {
		return nil, err
	}
	if err := packages.Lay(t.Context(), into, "rpm", payloads, nil); err != nil {
		return nil, err
	}
	return gone, rpm.WriteDatabase(into, payloads, epoch)
}

// unload writes a tree to a folder.
func unload(t testing.TB, from *tree.Tree) string {
	t.Helper()
	root := t.TempDir()
	err := from.Walk(func(path string, n *tree.Node) error {
		on := filepath.Join(root, path)
		switch n.Kind {
		case tree.Directory:
			return os.MkdirAll(on, 0o755)
		case tree.Symlink:
			return os.Symlink(n.Target, on)
		}
		data, err := from.ReadFile(path, 1<<30)
		if err != nil {
			return err
		}
		return os.WriteFile(on, data, os.FileMode(n.Mode))
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// listRoot is every file and directory of a root with what is in it, without
// the database.
func listRoot(t *testing.T, root string) []string {
	t.Helper()
	out := run(t, "sh", "-c", `cd "$1" && find . \( -path ./usr/lib -o -path ./var/lib \) -prune -o -type f -printf '%p %y %m ' -exec head -n 1 {} \; -o -printf '%p %y %l\n'`, "sh", root)
	return slices.Sorted(strings.Lines(out))
}
