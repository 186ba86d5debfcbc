// Package inventory says what is in a tree: the operating system, its kernels,
// the packages that dpkg and RPM recorded, Go programs, the units that start,
// users and groups, and what runs with more rights than its user has.
//
// It reads the tree only and runs nothing. What is said of licences is what
// packages declare; where that is not clear, nothing is said.
package inventory

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/builder/capabilities"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// Inventory is what a tree holds. Every list is sorted.
type Inventory struct {
	OS           map[string]string `json:"os,omitempty"` // os-release(5), by key
	Kernels      []Kernel          `json:"kernels,omitempty"`
	Packages     []Package         `json:"packages,omitempty"` // by format, name, architecture and version
	Programs     []Program         `json:"programs,omitempty"` // made with Go, by path
	Units        []string          `json:"units,omitempty"`    // what starts: "multi-user.target.wants/ssh.service"
	Masked       []string          `json:"masked,omitempty"`   // names of units that are linked to /dev/null
	Users        []User            `json:"users,omitempty"`    // by name
	Groups       []Group           `json:"groups,omitempty"`   // by name
	SetID        []SetID           `json:"setID,omitempty"`    // by path
	Capabilities []Capability      `json:"capabilities,omitempty"`
	Names        int               `json:"names"` // all there are, the root included
	Files        int               `json:"files"` // regular ones; a hard-linked file counts once
	Bytes        int64             `json:"bytes"` // of their contents
}

// Kernel is one kernel that the tree has modules or a configuration for.
type Kernel struct {
	Release string            `json:"release"` // as uname -r
	Path    string            `json:"path,omitempty"`
	Config  string            `json:"config,omitempty"` // path of its configuration
	Options map[string]string `json:"-"`                // the configuration: "CONFIG_EROFS_FS" is "m"; what is not set is not there
}

// Package is one installed package.
type Package struct {
	Format   packages.Format `json:"format"` // where it is recorded, and a package URL's type
	Name     string          `json:"name"`
	Version  string          `json:"version"` // as the format writes it, with the epoch if there is one
	Arch     string          `json:"arch"`
	Source   string          `json:"source,omitempty"`        // name of the source package; empty when it is Name
	SourceV  string          `json:"sourceVersion,omitempty"` // empty when it is Version
	License  string          `json:"license,omitempty"`       // an SPDX expression, with LicenseRef- for what SPDX has no id for; empty when unclear
	Supplier string          `json:"supplier,omitempty"`
	Homepage string          `json:"homepage,omitempty"`
	Summary  string          `json:"summary,omitempty"`
	Files    []string        `json:"-"` // paths in the tree, as the package has them, without leading slash; directories, too
}

// Module is a Go module.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"`
	Sum     string `json:"sum,omitempty"` // go.sum's hash, "h1:…"
}

// Program is an executable that was made with Go.
type Program struct {
	Path    string   `json:"path"`
	Package string   `json:"package"` // path of its main package
	Go      string   `json:"go"`      // version of the toolchain
	Main    Module   `json:"main"`
	Deps    []Module `json:"deps,omitempty"`
}

// User is a line of passwd(5).
type User struct {
	Name  string `json:"name"`
	UID   uint32 `json:"uid"`
	GID   uint32 `json:"gid"`
	Home  string `json:"home"`
	Shell string `json:"shell"`
}

// Group is a line of group(5).
type Group struct {
	Name    string   `json:"name"`
	GID     uint32   `json:"gid"`
	Members []string `json:"members,omitempty"`
}

// SetID is a file that runs as its owner or its group.
type SetID struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"` // with 0o4000, 0o2000 or both
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
}

// Capability is a file that runs with capabilities.
type Capability struct {
	Path  string `json:"path"`
	Value string `json:"value"` // as getcap(8) writes it: "cap_net_raw=ep"
}

// What is read of one file at the most, in bytes.
const (
	databaseMost = 64 << 20
	listMost     = 16 << 20
	textMost     = 4 << 20
)

// Read lists what t holds. A database that is not as its format says is an
// error that names it; a file that is not readable text is passed over where
// it only adds to what is known.
func Read(ctx context.Context, t *tree.Tree) (Inventory, error) { return ReadWith(ctx, t, Licenses) }

// ReadWith is Read with another way to find out what Licenses does, such as one
// that remembers.
func ReadWith(ctx context.Context, t *tree.Tree, licenses func(context.Context, []string) ([]string, error)) (Inventory, error) {
	r := &reader{tree: t}
	if err := r.outline(ctx); err != nil {
		return Inventory{}, err
	}
	if err := r.readLicenses(ctx, licenses); err != nil {
		return Inventory{}, fmt.Errorf("licences: %w", err)
	}
	return r.found, nil
}

// Outline is Read without the licences of Debian packages, which take most of
// the time.
func Outline(ctx context.Context, t *tree.Tree) (Inventory, error) {
	r := &reader{tree: t}
	if err := r.outline(ctx); err != nil {
		return Inventory{}, err
	}
	return r.found, nil
}

func (r *reader) outline(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"files", r.readFiles},
		{"system", r.readSystem},
		{"kernels", r.readKernels},
		{"units", r.readUnits},
		{"dpkg's records", r.readDpkg},
		{"rpm's records", r.readRPM},
		{"go programs", r.readPrograms},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// reader is one reading; each step adds to what was found.
type reader struct {
	tree        *tree.Tree
	found       Inventory
	executables []executable
}

// executable is a file that could be a program.
type executable struct {
	path string
	node *tree.Node
}

func (r *reader) readFiles(context.Context) error {
	seen := map[*tree.Node]bool{}
	return r.tree.Walk(func(path string, n *tree.Node) error {
		r.found.Names++
		if n.Kind != tree.File {
			return nil
		}
		if n.Mode&0o6000 != 0 {
			r.found.SetID = append(r.found.SetID, SetID{path, n.Mode, n.UID, n.GID})
		}
		if value, ok := n.Xattrs["security.capability"]; ok {
			r.found.Capabilities = append(r.found.Capabilities, Capability{path, capabilities.Text(value)})
		}
		if seen[n] {
			return nil
		}
		seen[n] = true
		r.found.Files++
		r.found.Bytes += n.Content.Size
		if n.Mode&0o111 != 0 && n.Content.Size >= goProgramLeast {
			r.executables = append(r.executables, executable{path, n})
		}
		return nil
	})
}
