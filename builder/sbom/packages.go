package sbom

import (
	"crypto/sha1"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/tree"
)

func (d *document) newPackage(id common.ElementID, name, version string) *v2_3.Package {
	return &v2_3.Package{
		PackageName:               name,
		PackageSPDXIdentifier:     id,
		PackageVersion:            version,
		PackageDownloadLocation:   noAssertion,
		IsFilesAnalyzedTagPresent: true,
		PackageLicenseConcluded:   noAssertion,
		PackageLicenseDeclared:    noAssertion,
		PackageCopyrightText:      noAssertion,
	}
}

// contain says what files a package has, if it has any.
func (d *document) contain(p *v2_3.Package, files []file) {
	if len(files) == 0 {
		return
	}
	p.FilesAnalyzed = true
	p.PackageVerificationCode = &common.PackageVerificationCode{Value: verificationCode(files)}
	p.PackageLicenseInfoFromFiles = []string{noAssertion}
	for _, f := range files {
		d.relate(p.PackageSPDXIdentifier, common.TypeRelationshipContains, f.id)
	}
}

// verificationCode is that of SPDX 2.3, section 7.9: the SHA-1 of the files'
// SHA-1s in hex digits, sorted and joined.
func verificationCode(files []file) string {
	sums := make([]string, len(files))
	for i, f := range files {
		sums[i] = fmt.Sprintf("%x", f.sums.SHA1)
	}
	slices.Sort(sums)
	return fmt.Sprintf("%x", sha1.Sum([]byte(strings.Join(sums, ""))))
}

func (d *document) addPackages() {
	seen := map[common.ElementID]bool{}
	for _, p := range d.Inventory.Packages {
		id := newID("Package", string(p.Format)+"-"+p.Name, strings.Join([]string{string(p.Format), p.Name, p.Version, p.Arch}, "\x00"))
		if seen[id] {
			continue // recorded twice
		}
		seen[id] = true
		out := d.newPackage(id, p.Name, p.Version)
		if p.License != "" {
			out.PackageLicenseDeclared = p.License
			d.noteLicenses(p.License)
		}
		out.PackageSupplier = supplier(p.Supplier)
		if strings.HasPrefix(p.Homepage, "https://") || strings.HasPrefix(p.Homepage, "http://") {
			out.PackageHomePage = p.Homepage
		}
		out.PackageSummary = p.Summary
		if p.Source != "" {
			out.PackageSourceInfo = strings.TrimSpace("built from source package " + p.Source + " " + p.SourceV)
		}
		out.PackageExternalReferences = purl(d.packageURL(p))
		d.contain(out, d.filesOf(p))
		d.spdx.Packages = append(d.spdx.Packages, out)
		d.contained = append(d.contained, id)
	}
}

func purl(url string) []*v2_3.PackageExternalReference {
	return []*v2_3.PackageExternalReference{{
		Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: url,
	}}
}

// filesOf finds the regular files of a package. Its paths can go through links
// that the tree has in their way, such as bin to usr/bin.
func (d *document) filesOf(p inventory.Package) []file {
	var files []file
	seen := map[int]bool{}
	for _, name := range p.Files {
		i, ok := d.byPath[name]
		if !ok {
			n, found := d.Tree.Lookup(name)
			if !found || n.Kind != tree.File {
				continue
			}
			i = d.byNode[n][0]
			for _, other := range d.byNode[n] { // of hard links, the one with that name
				if path.Base(d.files[other].path) == path.Base(name) {
					i = other
					break
				}
			}
		}
		if seen[i] {
			continue
		}
		seen[i] = true
		files = append(files, d.files[i])
		delete(d.unowned, d.files[i].id)
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return files
}

// supplier is "NAME <MAIL>" as SPDX has it (section 7.5), nil when there is
// none.
func supplier(s string) *common.Supplier {
	s = strings.Join(strings.Fields(s), " ")
	if s == "" {
		return &common.Supplier{Supplier: noAssertion}
	}
	if name, mail, ok := strings.Cut(strings.TrimSuffix(s, ">"), " <"); ok {
		s = fmt.Sprintf("%s (%s)", name, mail)
	}
	return &common.Supplier{SupplierType: "Organization", Supplier: s}
}

// addPrograms adds each Go module once, and relates programs to theirs.
func (d *document) addPrograms() {
	ids := map[inventory.Module]common.ElementID{}
	for _, program := range d.Inventory.Programs {
		i, ok := d.byPath[program.Path]
		if !ok {
			continue
		}
		modules := append([]inventory.Module{program.Main, {Path: "stdlib", Version: strings.TrimPrefix(program.Go, "go")}}, program.Deps...)
		for _, m := range modules {
			if m.Path == "" {
				continue // of a main module that go build was not told of
			}
			id, known := ids[m]
			if !known {
				id = newID("Package", "go-"+m.Path, m.Path+"\x00"+m.Version+"\x00"+m.Sum)
				ids[m] = id
				out := d.newPackage(id, m.Path, m.Version)
				out.PackageSupplier = supplier("")
				out.PackageExternalReferences = purl(moduleURL(m))
				if m.Sum != "" {
					out.PackageSourceInfo = "go.sum " + m.Sum
				}
				d.spdx.Packages = append(d.spdx.Packages, out)
				d.contained = append(d.contained, id)
			}
			d.relate(d.files[i].id, common.TypeRelationshipGeneratedFrom, id)
		}
	}
}

func (d *document) addInputs() {
	seen := map[common.ElementID]bool{}
	for _, in := range d.Inputs {
		id := newID("Input", in.Name, in.Name+"\x00"+in.URI+"\x00"+in.Digest.String())
		if seen[id] {
			continue
		}
		seen[id] = true
		out := d.newPackage(id, in.Name, "")
		out.PackageSupplier = supplier("")
		if location.MatchString(in.URI) {
			out.PackageDownloadLocation = in.URI
		} else {
			out.PackageSourceInfo = in.URI
		}
		out.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: in.Digest.Hex()}}
		d.spdx.Packages = append(d.spdx.Packages, out)
		d.relate(systemID, common.TypeRelationshipGeneratedFrom, id)
	}
}

// location is what SPDX takes for a download location (section 7.7), as far as
// inputs of a build have one.
var location = regexp.MustCompile(`^https?://[^\s#]+$`)

var reference = regexp.MustCompile(`LicenseRef-[A-Za-z0-9.-]+`)

func (d *document) noteLicenses(expression string) {
	for _, ref := range reference.FindAllString(expression, -1) {
		d.licenses[ref] = true
	}
}

// addOtherLicenses defines the licences that SPDX does not list.
func (d *document) addOtherLicenses() {
	refs := make([]string, 0, len(d.licenses))
	for ref := range d.licenses {
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	for _, ref := range refs {
		name := strings.TrimPrefix(ref, "LicenseRef-")
		d.spdx.OtherLicenses = append(d.spdx.OtherLicenses, &v2_3.OtherLicense{
			LicenseIdentifier: ref,
			LicenseName:       name,
			ExtractedText:     "What packages call " + name + ". Its text is in the package: usr/share/doc/NAME/copyright or usr/share/licenses.",
		})
	}
}
