package hostconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/hostconfig/stage"
)

// mostKept bounds a file that a configuration adds to, in bytes.
const mostKept = 8 << 20

// makeFiles makes folders, files and links, in the order of Ignition: folders
// before what is in them, then files, then links.
func (w *preparation) makeFiles() error {
	folders := slices.SortedFunc(slices.Values(w.plan.Folders), func(a, b plan.Folder) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range folders {
		if !w.clash(f.Place, f.Path, "a folder") && !w.stage.Has(f.Path) {
			w.note(f.Place, w.folder(f))
		}
	}
	for _, f := range w.plan.Files {
		if !w.clash(f.Place, f.Path, "a file") && !w.keeps(f) {
			w.note(f.Place, w.file(f))
		}
	}
	for _, l := range w.plan.Links {
		if !w.clash(l.Place, l.Path, "a link") && !w.stage.Has(l.Path) {
			w.note(l.Place, w.link(l))
		}
	}
	return nil
}

// keeps reports a file that is not to be written again. The record says of it what
// it said before.
func (w *preparation) keeps(f plan.File) bool {
	if !w.stage.Has(f.Path) {
		return false
	}
	for _, r := range w.before.Files {
		if r.Path == f.Path {
			w.files = append(w.files, r)
		}
	}
	return true
}

// there is what is at the path of a node; the error is not about that there is
// nothing. With overwrite, there is nothing any more.
func (w *preparation) there(n plan.Node) (stage.Entry, bool, error) {
	e, err := w.stage.Look(n.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return stage.Entry{}, false, nil
	case err != nil:
		return stage.Entry{}, false, err
	case n.NoFolder && e.Kind == stage.Folder:
		return stage.Entry{}, false, fmt.Errorf("%s is a folder: want the path of a file", n.Path)
	case n.Overwrite:
		return stage.Entry{}, false, w.stage.Remove(n.Path)
	}
	return e, true, nil
}

// owned gives an entry the owner that a node asks for.
func (w *preparation) owned(n plan.Node, e stage.Entry) (stage.Entry, error) {
	var err error
	if n.User.ID != nil {
		e.UID = *n.User.ID
	} else if n.User.Name != "" {
		e.UID, err = w.accounts.UID(n.User.Name)
	}
	if err != nil {
		return e, err
	}
	if n.Group.ID != nil {
		e.GID = *n.Group.ID
	} else if n.Group.Name != "" {
		e.GID, err = w.accounts.GID(n.Group.Name)
	}
	return e, err
}

func (w *preparation) folder(f plan.Folder) error {
	old, there, err := w.there(f.Node)
	if err != nil {
		return err
	}
	e := stage.Entry{Path: f.Path, Kind: stage.Folder, Mode: 0o755}
	if there {
		if old.Kind != stage.Folder {
			return fmt.Errorf("%s is a %s: %w", f.Path, old.Kind, errThere)
		}
		e.Mode, e.UID, e.GID = old.Mode, old.UID, old.GID
	}
	if f.Mode != nil {
		e.Mode = *f.Mode
	}
	if e, err = w.owned(f.Node, e); err != nil {
		return err
	}
	_, err = w.stage.Put(e)
	return err
}

func (w *preparation) file(f plan.File) error {
	old, there, err := w.there(f.Node)
	if err != nil {
		return err
	}
	if there && old.Kind != stage.File {
		return fmt.Errorf("%s is a %s: %w", f.Path, old.Kind, errThere)
	}
	e := stage.Entry{Path: f.Path, Kind: stage.File, Mode: 0o644}
	kept := int64(0)
	switch {
	case there && f.Contents == nil:
		e.Mode, e.UID, e.GID = old.Mode, old.UID, old.GID
		if f.Append == nil {
			e.Kind = stage.Owner
			break
		}
		base, err := w.stage.Read(f.Path, mostKept)
		if err != nil {
			return err
		}
		if ours, ok := w.recorded(f.Path, base); ok && ours.Kept != nil {
			base = base[:*ours.Kept]
		}
		kept = int64(len(base))
		e.Content = slices.Concat(base, f.Append)
	case there:
		e.Content = slices.Concat(f.Contents, f.Append)
		now, err := w.stage.Read(f.Path, mostKept)
		if err != nil {
			return err
		}
		if _, ours := w.recorded(f.Path, now); !ours && !bytes.Equal(now, e.Content) {
			return fmt.Errorf("%s: %w", f.Path, errThere)
		}
	default:
		e.Content = slices.Concat(f.Contents, f.Append)
	}
	if f.Mode != nil {
		e.Mode = *f.Mode
	}
	if e, err = w.owned(f.Node, e); err != nil {
		return err
	}
	if _, err := w.stage.Put(e); err != nil || e.Kind == stage.Owner {
		return err
	}
	record := RecordedFile{Path: f.Path, Digest: digest(e.Content)}
	if f.Contents == nil && f.Append != nil {
		record.Kept = &kept
	}
	w.files = append(w.files, record)
	return nil
}

// recorded is what the record of an earlier configuration says of a file, if
// nobody has changed it since.
func (w *preparation) recorded(path string, now []byte) (RecordedFile, bool) {
	if w.before == nil {
		return RecordedFile{}, false
	}
	for _, f := range w.before.Files {
		if f.Path == path && f.Digest == digest(now) && (f.Kept == nil || *f.Kept >= 0 && *f.Kept <= int64(len(now))) {
			return f, true
		}
	}
	return RecordedFile{}, false
}

func (w *preparation) link(l plan.Link) error {
	old, there, err := w.there(l.Node)
	if err != nil {
		return err
	}
	if l.Hard {
		return w.hardLink(l, there)
	}
	e := stage.Entry{Path: l.Path, Kind: stage.Symlink, Mode: 0o777, Target: l.Target}
	if there {
		if old.Kind != stage.Symlink || old.Target != l.Target {
			return fmt.Errorf("%s is a %s %q: %w", l.Path, old.Kind, old.Target, errThere)
		}
		e.UID, e.GID = old.UID, old.GID
	}
	if e, err = w.owned(l.Node, e); err != nil {
		return err
	}
	_, err = w.stage.Put(e)
	return err
}

// hardLink makes a second name of a file on the same file system: /etc and /var
// are two.
func (w *preparation) hardLink(l plan.Link, there bool) error {
	target, err := w.stage.Look(l.Target)
	if err != nil {
		return fmt.Errorf("target %s: %w", l.Target, err)
	}
	real, err := w.stage.Resolve(l.Path, false)
	if err != nil {
		return err
	}
	if target.Kind != stage.File || stage.May(target.Path) != nil || top(real) != top(target.Path) {
		return fmt.Errorf("target %s: a hard link leads to a file in the same one of /etc and /var", l.Target)
	}
	if there && !w.stage.Same(real, target.Path) {
		return fmt.Errorf("%s: %w", l.Path, errThere)
	}
	_, err = w.stage.Put(stage.Entry{Path: l.Path, Kind: stage.HardLink, Target: target.Path})
	return err
}

func top(path string) string {
	first, _, _ := strings.Cut(path[1:], "/")
	return first
}
