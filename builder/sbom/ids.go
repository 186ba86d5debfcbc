package sbom

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"

	"github.com/spdx/tools-golang/spdx/v2/common"

	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/packages"
)

// notInID is what SPDX identifiers do not have (SPDX 2.3, section 7.2).
var notInID = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// newID is an identifier that is readable and, by a digest of what it stands
// for, unique.
func newID(kind, readable, unique string) common.ElementID {
	if len(readable) > 64 {
		readable = readable[:64]
	}
	readable = strings.Trim(notInID.ReplaceAllString(readable, "-"), "-")
	sum := sha256.Sum256([]byte(unique))
	return common.ElementID(fmt.Sprintf("%s-%s-%x", kind, readable, sum[:8]))
}

func fileID(path string) common.ElementID {
	sum := sha256.Sum256([]byte(path))
	return common.ElementID(fmt.Sprintf("File-%x", sum[:12]))
}

// identity names the document: another system, another tool or another input
// makes another one.
func (d *document) identity() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %d %x %q %s", d.Product, d.Version, d.Arch, d.Epoch, d.RootHash, d.Tool, d.Image)
	for _, in := range d.Inputs {
		fmt.Fprintf(sum, " %q %q %s", in.Name, in.URI, in.Digest)
	}
	return fmt.Sprintf("%s-%s-%x", escape(d.Product), escape(d.Version), sum.Sum(nil)[:16])
}

// packageURL is the package's name for scanners
// (https://github.com/package-url/purl-spec, types deb and rpm).
func (d *document) packageURL(p inventory.Package) string {
	distribution := d.Inventory.OS["ID"]
	url := "pkg:" + string(p.Format) + "/"
	if distribution != "" {
		url += escape(strings.ToLower(distribution)) + "/"
	}
	version, epoch := p.Version, ""
	if p.Format == packages.RPM {
		if before, after, ok := strings.Cut(version, ":"); ok {
			epoch, version = before, after
		}
	}
	name := p.Name
	if p.Format == packages.Deb {
		name = strings.ToLower(name)
	}
	url += escape(name) + "@" + escape(version)
	// Qualifiers are sorted by their keys.
	var qualifiers []string
	add := func(key, value string) {
		if value != "" {
			qualifiers = append(qualifiers, key+"="+escape(value))
		}
	}
	add("arch", p.Arch)
	if release := d.Inventory.OS["VERSION_ID"]; distribution != "" && release != "" {
		add("distro", strings.ToLower(distribution)+"-"+release)
	}
	add("epoch", epoch)
	if p.Source != "" || p.SourceV != "" {
		upstream := p.Source
		if upstream == "" {
			upstream = p.Name
		}
		if p.SourceV != "" {
			upstream += "@" + p.SourceV
		}
		add("upstream", upstream)
	}
	if len(qualifiers) == 0 {
		return url
	}
	return url + "?" + strings.Join(qualifiers, "&")
}

// moduleURL is the name of a Go module, each part of its path escaped.
func moduleURL(m inventory.Module) string {
	parts := strings.Split(strings.ToLower(m.Path), "/")
	for i, part := range parts {
		parts[i] = escape(part)
	}
	url := "pkg:golang/" + strings.Join(parts, "/")
	if m.Version != "" {
		url += "@" + escape(m.Version)
	}
	return url
}

// escape encodes all but what package URLs leave as it is.
func escape(s string) string {
	var out strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".-_~:", c) >= 0 {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}
