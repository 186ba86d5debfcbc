// Package compare says what differs between two systems: packages, files,
// kernels and their configuration, what starts, who there is, and what runs
// with more rights than its user has. Open finds the root image of a release
// folder, a disk or an image file; Compare compares two; Text and Markdown
// show the difference to people, encoding/json shows all of it.
//
// FirstDifference stands alone: it names the first path at which two trees
// differ.
package compare

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// System is one side of a comparison.
type System struct {
	Name     string // as the user called it
	Product  string // of its release, if that is known
	Version  string // likewise
	RootHash string // likewise: hex digits
	Size     int64  // bytes of the root image
	Tree     *tree.Tree
}

// Difference is what differs between two systems. Every list is sorted.
type Difference struct {
	Old          Side      `json:"old"`
	New          Side      `json:"new"`
	Packages     []Package `json:"packages"`
	Kernels      []Named   `json:"kernels"`
	Options      []Named   `json:"kernelOptions"` // of the newest kernel on each side
	Units        []Named   `json:"units"`         // added: starts now
	Masked       []Named   `json:"masked"`
	Users        []Named   `json:"users"`
	Groups       []Named   `json:"groups"`
	SetID        []Named   `json:"setID"`
	Capabilities []Named   `json:"capabilities"`
	Programs     []Named   `json:"programs"` // made with Go: their modules' versions
	Files        []File    `json:"files"`
	Counts       Counts    `json:"counts"`
}

// Side is one system in figures.
type Side struct {
	Name     string `json:"name"`
	Product  string `json:"product,omitempty"`
	Version  string `json:"version,omitempty"`
	RootHash string `json:"rootHash,omitempty"`
	Image    int64  `json:"imageSize"` // bytes of the root image
	Names    int    `json:"names"`
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"` // of contents
	Packages int    `json:"packages"`
}

// Change is what happened to something from the old system to the new.
type Change string

// The changes. Only packages are upgraded and downgraded.
const (
	Added      Change = "added"
	Removed    Change = "removed"
	Changed    Change = "changed"
	Upgraded   Change = "upgraded"
	Downgraded Change = "downgraded"
)

// Named is a change of something that has a name and can be told in a text.
type Named struct {
	Change Change `json:"change"`
	Name   string `json:"name"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
}

// Package is a change of a package.
type Package struct {
	Change Change          `json:"change"`
	Format packages.Format `json:"format"`
	Name   string          `json:"name"`
	Arch   string          `json:"arch"`
	Old    string          `json:"old,omitempty"` // version
	New    string          `json:"new,omitempty"`
}

// File is a change of one name in the tree.
type File struct {
	Change  Change   `json:"change"`
	Path    string   `json:"path"`
	Kind    string   `json:"kind"`           // the new one's, unless it is gone
	What    []string `json:"what,omitempty"` // of what changed: "content", "mode 0644 → 0755", …
	OldSize int64    `json:"oldSize"`        // bytes
	NewSize int64    `json:"newSize"`
}

// Counts sums the file changes up.
type Counts struct {
	Added        int   `json:"added"`
	Removed      int   `json:"removed"`
	Changed      int   `json:"changed"`
	AddedBytes   int64 `json:"addedBytes"`
	RemovedBytes int64 `json:"removedBytes"`
	ChangedBytes int64 `json:"changedBytes"` // new sizes of files whose content changed
}

// Equal reports whether nothing differs.
func (d Difference) Equal() bool {
	return len(d.Packages)+len(d.Kernels)+len(d.Options)+len(d.Units)+len(d.Masked)+len(d.Users)+len(d.Groups)+
		len(d.SetID)+len(d.Capabilities)+len(d.Programs)+len(d.Files) == 0
}

// Compare compares two systems, their contents in parallel.
func Compare(ctx context.Context, old, new System) (Difference, error) {
	var had, has inventory.Inventory
	var files []File
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { had, err = read(ctx, old); return err })
	group.Go(func() (err error) { has, err = read(ctx, new); return err })
	group.Go(func() (err error) { files, err = compareFiles(ctx, old.Tree, new.Tree); return err })
	if err := group.Wait(); err != nil {
		return Difference{}, err
	}
	d := Difference{Old: side(old, had), New: side(new, has), Files: files}
	d.Packages = comparePackages(had.Packages, has.Packages)
	compareNamed(&d, had, has)
	for _, f := range files {
		switch f.Change {
		case Added:
			d.Counts.Added++
			d.Counts.AddedBytes += f.NewSize
		case Removed:
			d.Counts.Removed++
			d.Counts.RemovedBytes += f.OldSize
		default:
			d.Counts.Changed++
			if len(f.What) > 0 && f.What[0] == contentChanged {
				d.Counts.ChangedBytes += f.NewSize
			}
		}
	}
	return d, nil
}

func read(ctx context.Context, s System) (inventory.Inventory, error) {
	found, err := inventory.Outline(ctx, s.Tree)
	if err != nil {
		return found, &sideError{s.Name, err}
	}
	return found, nil
}

// sideError says in which system something is wrong.
type sideError struct {
	name string
	error
}

func (e *sideError) Error() string { return e.name + ": " + e.error.Error() }
func (e *sideError) Unwrap() error { return e.error }

func side(s System, i inventory.Inventory) Side {
	return Side{s.Name, s.Product, s.Version, s.RootHash, s.Size, i.Names, i.Files, i.Bytes, len(i.Packages)}
}
