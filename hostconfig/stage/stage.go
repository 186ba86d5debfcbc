// Package stage is a root file system with changes that are not written yet. A
// configuration is carried out on a Stage first, so that everything that can be
// wrong is found before the first write; the changes are then one list, which can
// be kept, and written as often as it takes.
//
// Paths are those inside of the root. Symbolic links are followed inside of it
// alone, as if it were "/", and changes are taken only in /etc and /var: the rest
// of a machine is its release, and read-only.
package stage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Kind is what a change leaves at a path.
type Kind string

// The kinds.
const (
	Folder   Kind = "folder"
	File     Kind = "file"
	Symlink  Kind = "symlink"
	HardLink Kind = "hardlink" // Target is the other path
	Owner    Kind = "owner"    // what is there gets another owner and mode
	Gone     Kind = "gone"
	other    Kind = "other" // what a change never makes: devices and such
)

// Entry is what is at a path, or shall be.
type Entry struct {
	Path    string `json:"path"` // without links on the way
	Kind    Kind   `json:"kind"`
	Mode    uint32 `json:"mode,omitempty"` // permissions with the special bits, as chmod(2) has them
	UID     uint32 `json:"uid,omitempty"`
	GID     uint32 `json:"gid,omitempty"`
	Content []byte `json:"content,omitempty"`
	Target  string `json:"target,omitempty"`
	// Fresh says that nothing of what was there before stays.
	Fresh bool `json:"fresh,omitempty"`
}

// own are the folders that are proa's own.
var own = []string{"/var/lib/proa"}

// Stage is a root with changes.
type Stage struct {
	root    *os.Root
	changed map[string]Entry
	onlyEtc bool
}

// New begins to change a root.
func New(root *os.Root) *Stage { return &Stage{root: root, changed: map[string]Entry{}} }

// NewEtc is New where all but /etc has its changes already, and is not to get them
// again: whoever has used it since may have changed it.
func NewEtc(root *os.Root) *Stage {
	s := New(root)
	s.onlyEtc = true
	return s
}

// Has reports whether what is at a path has its changes already, so that Put and
// Remove leave it alone. What was in /var may lead anywhere by now, or nowhere.
func (s *Stage) Has(p string) bool {
	real, _ := s.Resolve(p, false) // as far as it goes
	return s.has(real)
}

func (s *Stage) has(real string) bool { return s.onlyEtc && !strings.HasPrefix(real, "/etc/") }

// ErrReadOnly is wrapped by the error of a path that a configuration must not
// change.
var ErrReadOnly = errors.New("not a place for a configuration")

const mostLinks = 40 // the kernel's own limit

// Resolve is where a path really is: without links in its folders and, if last
// is true, at its end. What is not there is taken as it is named. With an error, it
// is how far the path leads.
func (s *Stage) Resolve(p string, last bool) (string, error) {
	rest := split(p)
	at := "/"
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		next := path.Join(at, name) // which keeps ".." at the root
		if len(rest) == 0 && !last {
			return next, nil
		}
		e, err := s.lookup(next)
		if errors.Is(err, fs.ErrNotExist) {
			at = next
			continue
		}
		if err != nil {
			return next, err
		}
		if e.Kind != Symlink {
			if len(rest) > 0 && e.Kind != Folder {
				return next, fmt.Errorf("%s is a %s: %w", next, e.Kind, syscall.ENOTDIR)
			}
			at = next
			continue
		}
		if links++; links > mostLinks {
			return next, fmt.Errorf("%s: %w", p, syscall.ELOOP)
		}
		if strings.HasPrefix(e.Target, "/") {
			at = "/"
		}
		rest = append(split(e.Target), rest...)
	}
	return at, nil
}

func split(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(name string) bool { return name == "" || name == "." })
}

// Look is what is at a path, whose last name is not followed if it is a link.
// The content of a file is not read.
func (s *Stage) Look(p string) (Entry, error) {
	real, err := s.Resolve(p, false)
	if err != nil {
		return Entry{}, err
	}
	return s.lookup(real)
}

// Exists reports whether there is something at a path, through links.
func (s *Stage) Exists(p string) bool {
	real, err := s.Resolve(p, true)
	if err != nil {
		return false
	}
	_, err = s.lookup(real)
	return err == nil
}

// lookup is Look for a path without links on the way.
func (s *Stage) lookup(real string) (Entry, error) {
	if real == "/" {
		return Entry{Path: "/", Kind: Folder, Mode: 0o755}, nil
	}
	e, changed := s.changed[real]
	switch {
	case changed && e.Kind == HardLink:
		return s.lookup(e.Target)
	case changed && e.Kind == Gone:
		return Entry{}, &fs.PathError{Op: "lstat", Path: real, Err: fs.ErrNotExist}
	case changed && e.Kind != Owner:
		return e, nil
	}
	// What is below a change is not what it was.
	for up := path.Dir(real); up != "/"; up = path.Dir(up) {
		if above, ok := s.changed[up]; ok && (above.Fresh || above.Kind == Gone) {
			return Entry{}, &fs.PathError{Op: "lstat", Path: real, Err: fs.ErrNotExist}
		}
	}
	found, err := s.onDisk(real)
	if err == nil && changed {
		found.Mode, found.UID, found.GID = e.Mode, e.UID, e.GID
	}
	return found, err
}

func (s *Stage) onDisk(real string) (Entry, error) {
	info, err := s.root.Lstat(real[1:])
	if err != nil {
		return Entry{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Entry{}, fmt.Errorf("%s: its owner is not known", real)
	}
	e := Entry{Path: real, Kind: other, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
	switch info.Mode().Type() {
	case 0:
		e.Kind = File
	case fs.ModeDir:
		e.Kind = Folder
	case fs.ModeSymlink:
		e.Kind = Symlink
		e.Target, err = s.root.Readlink(real[1:])
	}
	return e, err
}

// Read is the content of a regular file, through links, of at most most bytes.
func (s *Stage) Read(p string, most int64) ([]byte, error) {
	real, err := s.Resolve(p, true)
	if err != nil {
		return nil, err
	}
	e, err := s.lookup(real)
	switch {
	case err != nil:
		return nil, err
	case e.Kind != File:
		return nil, fmt.Errorf("%s is a %s: want a file", p, e.Kind)
	}
	if changed, ok := s.changed[e.Path]; ok && changed.Kind == File {
		return changed.Content, nil
	}
	f, err := s.root.Open(e.Path[1:])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: want at most %d bytes", p, most)
	}
	return data, err
}

// List are the names in a folder, through links, sorted; none where there is no
// such folder.
func (s *Stage) List(p string) ([]string, error) {
	real, err := s.Resolve(p, true)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	if e, err := s.lookup(real); err != nil || e.Kind != Folder {
		return nil, nil
	}
	if f, err := s.root.Open(strings.TrimPrefix(real, "/")); err == nil {
		entries, err := f.ReadDir(-1)
		f.Close()
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			names[entry.Name()] = true
		}
	}
	for at := range s.changed {
		if path.Dir(at) == real {
			names[path.Base(at)] = true
		}
	}
	var there []string
	for name := range names {
		if _, err := s.lookup(path.Join(real, name)); err == nil {
			there = append(there, name)
		}
	}
	slices.Sort(there)
	return there, nil
}

// Same reports whether two paths, without links on the way, are or were names
// of the same file.
func (s *Stage) Same(a, b string) bool {
	if first, err := s.lookup(a); err == nil {
		if second, err := s.lookup(b); err == nil && first.Path == second.Path {
			return true
		}
	}
	infoA, errA := s.root.Lstat(a[1:])
	infoB, errB := s.root.Lstat(b[1:])
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
