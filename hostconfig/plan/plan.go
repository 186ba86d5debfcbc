// Package plan is what a host configuration asks for, whichever language it was
// written in: the languages make plans, package hostconfig carries them out.
package plan

import (
	"path"

	"github.com/proa-os/proa/manifests/strictyaml"
)

// Plan is all that a configuration asks for. What it does not name stays as it
// is.
type Plan struct {
	Language string // such as "ignition 3.4.0" or "cloud-config"

	Hostname Text
	Timezone Text // such as "Europe/Berlin"
	Groups   []Group
	Users    []User
	Folders  []Folder
	Files    []File
	Links    []Link
	Units    []Unit
}

// Place is where in the configuration something is asked for.
type Place struct {
	strictyaml.Position
	Key string // such as "storage.files[2]"
}

// Text is a value that may be missing: empty.
type Text struct {
	Place
	Value string
}

// Group is a group that shall exist, or not.
type Group struct {
	Place
	Name     string
	GID      *uint32
	Password string // as gshadow(5) has it; empty: none
	System   bool   // its id is one of a system's, if it is made
	Absent   bool   // it shall not exist
}

// User is a user that shall exist, or not.
type User struct {
	Place
	Name         string
	UID          *uint32
	Comment      *string
	Home         string  // empty: the default, or what is there
	Shell        string  // likewise
	Password     *string // as shadow(5) has it; nil: "*" for a new user, as it is for another
	Locked       bool    // with no Password: no password lets the user in, whatever there is
	PrimaryGroup string  // a name or a number; empty: one of its own
	Groups       []string
	OnlyGroups   bool // the user leaves all other groups, if Groups has any
	NoHome       bool // none is made
	NoUserGroup  bool
	System       bool // its id is one of a system's, if it is made
	Absent       bool // it shall not exist
	MemberOnly   bool // is there by then, and joins Groups: nothing else is looked at
	Keys         []string
}

// Owner is a user or a group of a file, by number or by name; neither means
// root for what is made and no change for what is there.
type Owner struct {
	ID   *uint32
	Name string
}

// Node is what folders, files and links have in common.
type Node struct {
	Place
	Path      string // absolute
	Overwrite bool   // whatever is there is replaced
	NoFolder  bool   // but for a folder, which is a fault
	User      Owner
	Group     Owner
}

// Folder is a folder that shall exist.
type Folder struct {
	Node
	Mode *uint32 // with the special bits; nil: 0755, or as it is
}

// File is a regular file that shall exist.
type File struct {
	Node
	Mode     *uint32 // with the special bits; nil: 0644, or as it is where Contents is nil
	Contents []byte  // nil: what is there already, or nothing
	Append   []byte  // follows that
}

// Link is a symbolic or hard link that shall exist.
type Link struct {
	Node
	Target string // of a hard link: absolute
	Hard   bool
}

// Unit is a systemd unit that shall be changed.
type Unit struct {
	Place
	Name     string
	Contents *string // of the unit file in /etc/systemd/system
	Dropins  []Dropin
	Enabled  *bool
	Mask     *bool
}

// Dropin is a file in the folder NAME.d of a unit.
type Dropin struct {
	Name     string // such as "50-limits.conf"
	Contents string
}

// Crossings makes a fault of each path that leads through a file or a link of the
// same plan, which Ignition refuses, too.
func (p *Plan) Crossings(fault func(at Place, format string, args ...any)) {
	not := map[string]string{}
	var all []Node
	for _, f := range p.Folders {
		all = append(all, f.Node)
	}
	for _, f := range p.Files {
		not[f.Path] = "file"
		all = append(all, f.Node)
	}
	for _, l := range p.Links {
		not[l.Path] = "link"
		all = append(all, l.Node)
	}
	for _, n := range all {
		for up := path.Dir(n.Path); n.Path != "" && up != "/" && up != "."; up = path.Dir(up) {
			if kind, ok := not[up]; ok {
				fault(n.Place, "path %s leads through %s, which is a %s of this configuration", n.Path, up, kind)
			}
		}
	}
}
