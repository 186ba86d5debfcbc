// Package sbom writes the software bill of materials of a root image: an SPDX
// 2.3 document in JSON (https://spdx.github.io/spdx-spec/v2.3/).
//
// The document describes one package, the operating system. It contains the
// packages of the inventory, those contain their files, and what no package
// brought is contained in the system itself. Programs made with Go are
// generated from their modules, the system from the inputs of the build. The
// same inputs give the same bytes.
package sbom

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// Config is what a document is made from.
type Config struct {
	Product   string // required
	Version   string // required
	Arch      string // required
	Epoch     int64  // seconds since 1970: when the document says it was created
	RootHash  []byte // required: the dm-verity root hash
	Tool      string // name and version of the program, such as "proa-1.0.0"; "proa" if empty
	Inventory inventory.Inventory
	Tree      *tree.Tree       // required: what the inventory was read from
	Image     manifests.Digest // optional: of the root image's file
	Inputs    []Input

	// Sums is optional: what Hash has found in Tree.
	Sums map[*tree.Node]Sums
}

// Input is something that the build was given.
type Input struct {
	Name   string
	URI    string // where it came from; empty if that is not said
	Digest manifests.Digest
}

const (
	noAssertion = "NOASSERTION"
	systemID    = common.ElementID("OperatingSystem")
	documentID  = common.ElementID("DOCUMENT")
)

// Write writes the document to w.
func Write(ctx context.Context, w io.Writer, c Config) error {
	if c.Product == "" || c.Version == "" || c.Arch == "" || len(c.RootHash) == 0 || c.Tree == nil {
		return fmt.Errorf("bill of materials: want a product, a version, an architecture, a root hash and a tree")
	}
	if c.Tool == "" {
		c.Tool = "proa"
	}
	if c.Sums == nil {
		var err error
		if c.Sums, err = Hash(ctx, c.Tree); err != nil {
			return err
		}
	}
	d := &document{Config: c, licenses: map[string]bool{}, unowned: map[common.ElementID]bool{}}
	if err := d.addFiles(); err != nil {
		return err
	}
	d.addPackages()
	d.addPrograms()
	d.addInputs()
	d.addSystem()
	if d.err != nil {
		return d.err
	}
	return d.write(w)
}

// document is one document under way.
type document struct {
	Config
	licenses map[string]bool // the LicenseRef- in use

	files     []file
	byPath    map[string]int       // index in files
	byNode    map[*tree.Node][]int // hard links have several
	unowned   map[common.ElementID]bool
	spdx      v2_3.Document
	contained []common.ElementID // packages
	relations []relation
	err       error
}

// relation is one relationship; a document has many.
type relation struct {
	kind string
	a, b common.ElementID
}

// maxRelations bounds how often packages may list the files of others.
const maxRelations = 4 << 20

// file is one regular file under one name.
type file struct {
	id   common.ElementID
	path string
	sums Sums
}

func (d *document) addFiles() error {
	d.byPath, d.byNode = map[string]int{}, map[*tree.Node][]int{}
	return d.Tree.Walk(func(path string, n *tree.Node) error {
		if n.Kind != tree.File {
			return nil
		}
		f := file{fileID(path), path, d.Sums[n]}
		d.byPath[path] = len(d.files)
		d.byNode[n] = append(d.byNode[n], len(d.files))
		d.files = append(d.files, f)
		d.unowned[f.id] = true
		return nil
	})
}

func (d *document) relate(a common.ElementID, kind string, b common.ElementID) {
	if len(d.relations) == maxRelations {
		d.err = errTooMany
		return
	}
	d.relations = append(d.relations, relation{kind, a, b})
}

var errTooMany = fmt.Errorf("bill of materials: more than %d relationships", maxRelations)

// addSystem makes the package that all others are in. It holds the files that
// nobody else brought.
func (d *document) addSystem() {
	system := d.newPackage(systemID, d.Product, d.Version)
	system.PrimaryPackagePurpose = "OPERATING-SYSTEM"
	system.PackageSummary = fmt.Sprintf("%s %s for %s", d.Product, d.Version, d.Arch)
	system.PackageComment = fmt.Sprintf("dm-verity root hash %x", d.RootHash)
	if !d.Image.IsZero() {
		system.PackageFileName = manifests.RootFile
		system.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: d.Image.Hex()}}
	}
	var files []file
	for _, f := range d.files {
		if d.unowned[f.id] {
			files = append(files, f)
		}
	}
	d.contain(system, files)
	for _, id := range d.contained {
		d.relate(systemID, common.TypeRelationshipContains, id)
	}
	d.spdx.Packages = append([]*v2_3.Package{system}, d.spdx.Packages...)
}

func (d *document) finish() *v2_3.Document {
	d.spdx.SPDXVersion = v2_3.Version
	d.spdx.DataLicense = v2_3.DataLicense
	d.spdx.SPDXIdentifier = documentID
	d.spdx.DocumentName = fmt.Sprintf("%s-%s-%s", d.Product, d.Version, d.Arch)
	d.spdx.DocumentNamespace = "https://github.com/proa-os/proa/spdx/" + d.identity()
	d.spdx.CreationInfo = &v2_3.CreationInfo{
		Created:  time.Unix(d.Epoch, 0).UTC().Format(time.RFC3339),
		Creators: []common.Creator{{CreatorType: "Tool", Creator: d.Tool}},
	}
	d.addOtherLicenses()
	return &d.spdx
}
