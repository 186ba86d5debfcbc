package packages

import (
	"context"
	"fmt"
	"io"
	"maps"

	"github.com/proa-os/proa/builder/tree"
)

// FileConflictError says that two packages bring different things at one path.
type FileConflictError struct {
	Path           string
	Earlier, Later string // name and version of the packages
	Why            string // what differs
}

// Error names the path, both packages and what differs.
func (e *FileConflictError) Error() string {
	return fmt.Sprintf("path %.200q is in package %s and in package %s: %s", e.Path, e.Earlier, e.Later, e.Why)
}

// Lay puts the files of payloads into t, in their order, as brought by the
// given source. A payload can be laid once, since its nodes become the tree's.
//
// Two packages that bring different things at one place are a
// *FileConflictError, unless replaces says that one of them may take the path
// from the other, which it is asked both ways round. Paths are the same when
// they lead to the same place: lib/x and usr/lib/x where lib is a link to
// usr/lib. Files of the same content, mode and owner, and links to the same
// target, are no conflict: the first stays.
//
// Directories are shared. Between RPM packages mode and owner must be the same,
// as rpm demands it; where a Debian package takes part the first one's stay, as
// with dpkg, and a directory may also stand for a link that leads to one.
//
// What t had before is replaced as tree.Put does it.
func Lay(ctx context.Context, t *tree.Tree, source string, payloads []Payload, replaces func(later, earlier *About, path string) bool) error {
	l := &layer{t: t, source: source, replaces: replaces, brought: map[*tree.Node]origin{}}
	for i := range payloads {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &payloads[i]
		for _, e := range p.Entries {
			if err := l.put(&p.About, e); err != nil {
				return fmt.Errorf("package %s: %w", p.title(), err)
			}
		}
	}
	return nil
}

// title is how messages call a package.
func (a *About) title() string { return a.Name + " " + a.Version }

// origin is where a node of the tree comes from.
type origin struct {
	about *About
	path  string
}

func (o origin) owner() Owner { return o.about.Owners[o.path] }

// layer is one run of Lay.
type layer struct {
	t        *tree.Tree
	source   string
	replaces func(later, earlier *About, path string) bool
	brought  map[*tree.Node]origin // what this run has put into the tree
}

func (l *layer) put(about *About, e tree.Entry) error {
	later, brings := origin{about, e.Path}, e.Node
	if brings == nil {
		target, ok := l.t.Lookup(e.Link)
		if !ok {
			return l.t.Apply(e) // which says what is wrong
		}
		brings, later = target, origin{about, e.Link}
	} else {
		brings.Source = l.source
	}
	there, _ := l.t.Lookup(e.Path)
	earlier, known := l.brought[there]
	if there != nil && there.Kind == tree.Symlink && brings.Kind == tree.Directory && (!known || oneIsDeb(about, earlier.about)) {
		if led, ok := l.t.Resolve(e.Path); ok && led.Kind == tree.Directory {
			there = led
			earlier, known = l.brought[led]
		}
	}
	if known && there != brings {
		keep, err := l.meet(earlier, there, later, brings, e.Path)
		if keep || err != nil {
			return err
		}
	}
	if err := l.t.Apply(e); err != nil {
		return err
	}
	return l.remember(origin{about, e.Path}, e)
}

// remember notes whose the node at a path is. The tree keeps a copy of a
// directory.
func (l *layer) remember(from origin, e tree.Entry) error {
	switch {
	case e.Node == nil:
		return nil // the node is known by its first name
	case e.Node.Kind != tree.Directory:
		l.brought[e.Node] = from
		return nil
	}
	dir, ok := l.t.Resolve(e.Path)
	if !ok {
		return fmt.Errorf("path %.200q: not there after it was put", e.Path)
	}
	l.brought[dir] = from
	return nil
}

// meet decides between what is there from an earlier package and what a later
// one brings: whether to keep the former.
func (l *layer) meet(earlier origin, there *tree.Node, later origin, brings *tree.Node, path string) (keep bool, err error) {
	if there.Kind == tree.Directory && brings.Kind == tree.Directory && oneIsDeb(earlier.about, later.about) {
		return true, nil
	}
	why, err := difference(there, earlier.owner(), brings, later.owner())
	if err != nil {
		return false, fmt.Errorf("comparing %.200q: %w", path, err)
	}
	switch {
	case earlier.about == later.about && why != "":
		return false, fmt.Errorf("path %.200q: the package has it twice, as %q, too: %s", path, earlier.path, why)
	case why == "":
		return true, nil
	case there.Kind != brings.Kind && (there.Kind == tree.Directory || brings.Kind == tree.Directory):
		// Nobody can take over a directory, as other packages may be in it.
	case l.replaces != nil && l.replaces(later.about, earlier.about, path):
		return false, nil
	case l.replaces != nil && l.replaces(earlier.about, later.about, path):
		return true, nil
	}
	return false, &FileConflictError{path, earlier.about.title(), later.about.title(), why}
}

func oneIsDeb(a, b *About) bool { return a.Format == Deb || b.Format == Deb }

// difference says what differs between two nodes; nothing if they are the same.
func difference(a *tree.Node, aOwner Owner, b *tree.Node, bOwner Owner) (string, error) {
	switch {
	case a.Kind != b.Kind:
		return fmt.Sprintf("a %s and a %s", a.Kind, b.Kind), nil
	case a.Mode != b.Mode:
		return fmt.Sprintf("modes %04o and %04o", a.Mode, b.Mode), nil
	case a.UID != b.UID || a.GID != b.GID:
		return fmt.Sprintf("owners %d:%d and %d:%d", a.UID, a.GID, b.UID, b.GID), nil
	case aOwner != bOwner:
		return fmt.Sprintf("owners %s and %s", aOwner, bOwner), nil
	case a.Target != b.Target:
		return fmt.Sprintf("links to %.200q and to %.200q", a.Target, b.Target), nil
	case a.Device != b.Device:
		return fmt.Sprintf("devices %d:%d and %d:%d", a.Device.Major, a.Device.Minor, b.Device.Major, b.Device.Minor), nil
	case !maps.Equal(a.Xattrs, b.Xattrs):
		return "extended attributes differ", nil
	case a.Content.Size != b.Content.Size:
		return fmt.Sprintf("files of %d and of %d bytes", a.Content.Size, b.Content.Size), nil
	}
	same, err := sameContent(a.Content, b.Content)
	if err != nil || same {
		return "", err
	}
	return "the contents differ", nil
}

// String is the owner as chown(1) has it.
func (o Owner) String() string {
	if o == (Owner{}) {
		return "root:root"
	}
	return o.User + ":" + o.Group
}

// sameContent compares two contents of the same size.
func sameContent(a, b tree.Content) (bool, error) {
	if a == b || a.Size == 0 {
		return true, nil
	}
	const piece = 64 << 10
	readA, readB := a.Open(), b.Open()
	bufferA, bufferB := make([]byte, piece), make([]byte, piece)
	for {
		n, errA := io.ReadFull(readA, bufferA)
		m, errB := io.ReadFull(readB, bufferB)
		if n != m || string(bufferA[:n]) != string(bufferB[:m]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, err
			}
		}
		if errA != nil {
			return true, nil
		}
	}
}
