package deb

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// The database belongs to what it describes, so it is below /usr. dpkg finds it
// through a link.
const (
	database  = "usr/lib/sysimage/dpkg"
	dpkgOwn   = "var/lib/dpkg"
	dpkgLink  = "../../" + database
	maxStatus = 256 << 20
)

// WriteDatabase records packages as installed in the format of dpkg 1.21: the
// status file, and for each package what it brought besides its files,
// maintainer scripts included, so that dpkg -V, scanners and whoever unpacks
// the image find what they are used to. What an earlier source recorded stays,
// but for what packages.Replaced says: call MakeRoom before the packages are
// laid, so that their files go, too.
func WriteDatabase(t *tree.Tree, payloads []packages.Payload) error {
	if err := writeDatabase(t, payloads); err != nil {
		return fmt.Errorf("%s: %w", database, err)
	}
	return nil
}

func writeDatabase(t *tree.Tree, payloads []packages.Payload) error {
	if err := settle(t); err != nil {
		return err
	}
	d := &writer{tree: t, gone: map[string]bool{}, files: map[string][]byte{"info/format": []byte("1\n"), "triggers/Unincorp": nil}}
	order := make([]*packages.Payload, len(payloads))
	for i := range payloads {
		order[i] = &payloads[i]
	}
	slices.SortFunc(order, func(a, b *packages.Payload) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch))
	})
	stanzas, err := d.earlier(payloads)
	if err != nil {
		return err
	}
	all := make([]*installed, len(order))
	for at, p := range order {
		if all[at], err = newInstalled(p); err != nil {
			return err
		}
	}
	disown(all)
	for _, i := range all {
		key := i.payload.Name + "\x00" + i.payload.Arch
		if _, twice := stanzas[key]; twice {
			return fmt.Errorf("package %s for %s: installed twice", i.payload.Name, i.payload.Arch)
		}
		if stanzas[key], err = i.status(); err != nil {
			return err
		}
		if err := d.info(i); err != nil {
			return err
		}
	}
	return d.write(stanzas, order)
}

// settle makes the folders, and a link to them where dpkg looks. What is in
// dpkg's own folder moves.
func settle(t *tree.Tree) error {
	for _, folder := range []string{"", "/alternatives", "/info", "/parts", "/triggers", "/updates"} {
		if err := makeFolder(t, database+folder, 0o755); err != nil {
			return err
		}
	}
	if n, there := t.Resolve(dpkgOwn); there {
		if own, _ := t.Resolve(database); own == n {
			return nil
		}
		if n.Kind != tree.Directory {
			return fmt.Errorf("/%s is a %s: want a directory", dpkgOwn, n.Kind)
		}
		if err := move(t, dpkgOwn, database); err != nil {
			return err
		}
	}
	if _, there := t.Lookup(dpkgOwn); there {
		if err := t.Remove(dpkgOwn); err != nil {
			return err
		}
	}
	return t.Put(dpkgOwn, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: dpkgLink, Source: databaseSource})
}

// move puts all that is below a directory below another one, too.
func move(t *tree.Tree, from, to string) error {
	names, err := t.Children(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		n, _ := t.Lookup(path.Join(from, name))
		if err := t.Put(path.Join(to, name), n); err != nil {
			return err
		}
		if n.Kind == tree.Directory {
			if err := move(t, path.Join(from, name), path.Join(to, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writer collects the files of the database, by their paths in it.
type writer struct {
	tree      *tree.Tree
	files     map[string][]byte
	interests []interest
	gone      map[string]bool // by what names of files in info start with
}

// earlier are the stanzas of packages that an earlier source recorded and that
// stay, by name and architecture.
func (d *writer) earlier(now []packages.Payload) (map[string]string, error) {
	e, err := readEarlier(d.tree, now)
	if err != nil {
		return nil, err
	}
	stanzas := map[string]string{}
	for i := range e.recorded {
		r := &e.recorded[i]
		if !e.gone[i] {
			stanzas[r.Name+"\x00"+r.Arch] = r.text
			d.disown(r, now)
			continue
		}
		d.gone[r.base] = true
		if err := d.forget(r.base); err != nil {
			return nil, err
		}
	}
	return stanzas, nil
}

// disown takes from the list of a package that stays the files that others have
// taken over, as dpkg does.
func (d *writer) disown(r *recorded, now []packages.Payload) {
	taken := map[string]bool{}
	for i := range now {
		if !takesOver(&now[i].About, &r.Recorded) {
			continue
		}
		for _, e := range now[i].Entries {
			if e.Node == nil || e.Node.Kind != tree.Directory {
				taken["/"+e.Path] = true
			}
		}
	}
	if !slices.ContainsFunc(r.Files, func(file string) bool { return taken[file] }) {
		return
	}
	var left bytes.Buffer
	for _, file := range r.Files {
		if !taken[file] {
			fmt.Fprintln(&left, file)
		}
	}
	d.files["info/"+r.base+"."+recordList] = left.Bytes()
}

// forget removes what the info folder has of a package.
func (d *writer) forget(owner string) error {
	names, err := d.tree.Children(database + "/info")
	if err != nil {
		return err
	}
	for _, file := range names {
		if strings.TrimSuffix(file, path.Ext(file)) == owner {
			if err := d.tree.Remove(path.Join(database, "info", file)); err != nil {
				return err
			}
		}
	}
	return nil
}

// info adds what a package has in the info folder.
func (d *writer) info(i *installed) error {
	base := i.base()
	for name, data := range i.payload.Record {
		if name != recordControl {
			d.files["info/"+base+"."+name] = data
		}
	}
	d.files["info/"+base+"."+recordList] = i.list()
	sums, err := i.md5sums()
	if err != nil {
		return err
	}
	d.files["info/"+base+".md5sums"] = sums
	wanted, err := interests(&i.payload.About, base)
	d.interests = append(d.interests, wanted...)
	return err
}

// write puts all files into the tree.
func (d *writer) write(stanzas map[string]string, order []*packages.Payload) error {
	status := make([]string, 0, len(stanzas))
	for _, key := range slices.Sorted(maps.Keys(stanzas)) {
		status = append(status, stanzas[key])
	}
	d.files["status"] = []byte(strings.Join(status, "\n"))
	if len(status) > 0 {
		d.files["status"] = append(d.files["status"], '\n')
	}
	for _, p := range order {
		if p.Arch != "all" {
			d.files["arch"] = []byte(p.Arch + "\n")
		}
	}
	if err := d.triggers(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		data := d.files[name]
		n := &tree.Node{Kind: tree.File, Mode: 0o644, Source: databaseSource}
		if dir, file := path.Split(name); dir == "info/" && isScript(strings.TrimPrefix(path.Ext(file), ".")) {
			n.Mode = 0o755
		}
		if len(data) > 0 {
			n.Content = tree.Content{At: bytes.NewReader(data), Size: int64(len(data))}
		}
		if err := d.tree.Put(path.Join(database, name), n); err != nil {
			return err
		}
	}
	return nil
}

// triggers writes who wants to hear of what, with what others wanted before.
func (d *writer) triggers() error {
	lines := map[string][]string{"triggers/File": nil}
	known, err := d.tree.Children(database + "/triggers")
	if err != nil {
		return err
	}
	for _, name := range known {
		if name != "Unincorp" && name != "Lock" {
			lines["triggers/"+name] = nil
		}
	}
	for _, w := range d.interests {
		lines[w.in] = append(lines[w.in], w.line)
	}
	for name, added := range lines {
		before, err := d.tree.ReadFile(path.Join(database, name), maxStatus)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for line := range strings.Lines(string(before)) {
			line = strings.TrimSuffix(line, "\n")
			who := line[strings.LastIndexByte(line, ' ')+1:]
			if line != "" && !d.gone[strings.TrimSuffix(who, "/noawait")] {
				added = append(added, line)
			}
		}
		slices.Sort(added)
		text := strings.Join(slices.Compact(added), "\n")
		if text != "" {
			text += "\n"
		}
		d.files[name] = []byte(text)
	}
	return nil
}
