// Package vulnerabilities finds out which known vulnerabilities the packages have that
// a bill of materials lists: Packages reads the bill, and a Search compares it with
// advisories in the OSV format (https://ossf.github.io/osv-schema/), one after the
// other.
//
// It knows the distributions whose versions it can order: those with Debian's packages
// and those with RPM. Advisories of others, and withdrawn ones, say nothing. That an
// advisory concerns code which the release never runs it cannot know.
package vulnerabilities

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages/version"
)

// Package is a source package, which advisories are about, in one version.
type Package struct {
	Ecosystem string // as OSV has it, without its suffix: "debian:12"
	Name      string
	Version   string

	compare func(a, b string) int
}

// Packages reads the packages in an SPDX document (version 2.3, JSON) by their package
// URLs. Those of no distribution that is known are left out.
func Packages(spdx []byte) ([]Package, error) {
	var bill struct {
		Version  string `json:"spdxVersion"`
		Packages []struct {
			References []struct {
				Type    string `json:"referenceType"`
				Locator string `json:"referenceLocator"`
			} `json:"externalRefs"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(spdx, &bill); err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	if !strings.HasPrefix(bill.Version, "SPDX-2.") {
		return nil, fmt.Errorf("bill of materials: spdxVersion %.20q: want SPDX-2.3", bill.Version)
	}
	var all []Package
	for _, p := range bill.Packages {
		for _, reference := range p.References {
			if reference.Type != "purl" {
				continue
			}
			if found, ok := parseURL(reference.Locator); ok && !slices.ContainsFunc(all, found.is) {
				all = append(all, found)
			}
		}
	}
	return all, nil
}

func (p Package) is(q Package) bool {
	return p.Ecosystem == q.Ecosystem && p.Name == q.Name && p.Version == q.Version
}

// parseURL reads a package URL (https://github.com/package-url/purl-spec) of type deb
// or rpm. What its source package is says the qualifier upstream.
func parseURL(text string) (Package, bool) {
	text, query, _ := strings.Cut(text, "?")
	text, built, versioned := strings.Cut(text, "@")
	part := strings.Split(text, "/")
	qualifiers, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B"))
	if len(part) != 3 || !versioned || err != nil {
		return Package{}, false
	}
	p := Package{compare: version.Debian}
	switch part[0] {
	case "pkg:deb":
	case "pkg:rpm":
		p.compare = version.RPM
	default:
		return Package{}, false
	}
	if p.Name, err = url.PathUnescape(part[2]); err != nil {
		return Package{}, false
	}
	if p.Version, err = url.PathUnescape(built); err != nil {
		return Package{}, false
	}
	if epoch := qualifiers.Get("epoch"); epoch != "" {
		p.Version = epoch + ":" + p.Version
	}
	if source, of, ok := strings.Cut(qualifiers.Get("upstream"), "@"); source != "" {
		if p.Name = source; ok && part[0] == "pkg:deb" {
			p.Version = of
		}
	}
	_, release, ok := strings.Cut(qualifiers.Get("distro"), "-")
	p.Ecosystem = part[1] + ":" + release
	return p, ok
}

// errNoAdvisory is of JSON that is something else.
var errNoAdvisory = errors.New("no advisory in the OSV format: want an id")
