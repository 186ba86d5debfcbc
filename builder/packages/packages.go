// Package packages is what RPM and Debian packages have in common: what a
// package says of itself (Package), what it wants of others (Requirement), and
// what one brings once it is open (Payload). Formats are read in builder/rpm
// and builder/deb, a set of packages is chosen in builder/packages/solver, and
// what package scripts would have done is done in builder/configure.
//
// No script of a package ever runs on the host.
package packages

import (
	"context"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// Format is a kind of packages.
type Format string

// The formats.
const (
	RPM Format = "rpm"
	Deb Format = "deb"
)

// Package is one package that could be installed, as its repository or its own
// header describes it.
type Package struct {
	Name    string
	Version string // with the epoch if there is one: "1:2.3-4"
	Arch    string // as its format calls it; "noarch" and "all" go with any

	Provides    []Relation // the package itself by name and version is always among them
	Requires    []Requirement
	Conflicts   []Requirement // what must not be there with it; Debian's Breaks, too
	Obsoletes   []Relation    // packages, by their name, that must not be there with it
	Recommends  []Requirement
	Supplements []Requirement // it is recommended where these hold
	Files       []string      // absolute paths, as far as the repository lists them; for requirements that are paths
	Essential   bool          // Debian's: a system always has it, so others need not depend on it

	Repository int // index of the repository it comes from; lower priority numbers were sorted first
	Priority   int // of two packages that would both do, one with the lower number wins whatever the versions
	URL        string
	Size       int64 // bytes of the file
	Checksum   Checksum
}

// Op compares versions. The zero value accepts any.
type Op uint8

// The comparisons.
const (
	Any Op = iota
	Less
	LessEqual
	Equal
	GreaterEqual
	Greater
)

// String is the operator as RPM writes it; empty for Any.
func (o Op) String() string { return [...]string{"", "<", "<=", "=", ">=", ">"}[o] }

// Relation is a name and a range of its versions: what is provided, or wanted.
type Relation struct {
	Name    string
	Op      Op
	Version string // empty for Any
}

// String is the relation in words: "name >= 1.2".
func (r Relation) String() string {
	if r.Op == Any {
		return r.Name
	}
	return r.Name + " " + r.Op.String() + " " + r.Version
}

// Connective joins requirements.
type Connective uint8

// The connectives of rich dependencies
// (https://rpm-software-management.github.io/rpm/manual/boolean_dependencies.html).
// Debian's alternatives are Or.
const (
	Plain   Connective = iota // Relation alone
	And                       // all of Args
	Or                        // one of Args; the first is preferred
	If                        // Args[0] where Args[1] holds, else Args[2] if that is there
	Unless                    // Args[0] where Args[1] does not hold, else Args[2] if that is there
	With                      // one package that satisfies all of Args
	Without                   // one package that satisfies Args[0] and not Args[1]
)

// Requirement is a relation, or several joined.
type Requirement struct {
	Relation Relation // of Plain
	Joined   Connective
	Args     []Requirement
}

// Checksum is a digest as a repository gives it: "sha256:<hex>" or
// "sha512:<hex>", lower case. Weaker ones are not accepted.
type Checksum string

// Payload is one package, opened: its files and all else that it carries.
type Payload struct {
	About
	Entries []tree.Entry // its files, with contents by reference; paths are relative to the root
}

// About is what a payload says besides its files. It is kept as JSON.
type About struct {
	Format   Format            `json:"format"`
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	Arch     string            `json:"arch"`
	Source   string            `json:"source,omitempty"`  // the source package
	License  string            `json:"license,omitempty"` // as the package writes it; Debian's say it in copyright files only
	Requires []Requirement     `json:"requires,omitempty"`
	Provides []Relation        `json:"provides,omitempty"`
	Scripts  []Script          `json:"scripts,omitempty"`
	Config   []string          `json:"config,omitempty"` // paths of configuration files
	Owners   map[string]Owner  `json:"owners,omitempty"` // by path: owners that are known by name only
	Record   map[string][]byte `json:"record,omitempty"` // what the package database keeps, in the format's own terms
}

// Owner is a user and a group by name.
type Owner struct {
	User  string `json:"user"`
	Group string `json:"group"`
}

// Script is a script that a package would have its manager run.
type Script struct {
	When        string `json:"when"`        // as the format calls it: "postinst", "%post", "%trigger …"
	Interpreter string `json:"interpreter"` // such as "/bin/sh" or "<lua>"
	Text        string `json:"text"`
}

// Fetcher is how repositories and packages are read, from the network, a cache
// or a folder.
type Fetcher interface {
	// Get returns a whole file of at most most bytes. Nothing vouches for it yet.
	// The error wraps fs.ErrNotExist when there is no such file.
	Get(ctx context.Context, url string, most int64) ([]byte, error)
	// File brings the file at url, and returns where it is now and its SHA-256. It
	// has exactly the given size, in bytes, and checksum.
	File(ctx context.Context, url string, size int64, want Checksum) (path string, digest manifests.Digest, err error)
}
