package inventory

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/licensecheck"
)

// notSPDX are ids of licensecheck that the SPDX licence list does not have.
var notSPDX = strings.Fields(`Aladdin-9 Anti996 BSD-1-Clause-Clear BSD-3-Clause-NoTrademark CC-BY-NC-SA-3.0-US CommonsClause GPL-2.0-or-3.0
	GooglePatentClause GooglePatentsFile MIT-NoAd NIST-PD-fallback Prosperity-3.0.0 PolyForm-Noncommercial-1.0.0
	GFDL-1.1 GFDL-1.2 GFDL-1.3`)

// moreSPDX are ids that packages use and licensecheck does not know.
var moreSPDX = strings.Fields(`BSD-3-Clause-Modification bzip2-1.0.6 CC0-1.0 FSFAP GFDL-1.1-only GFDL-1.1-or-later GFDL-1.2-only
	GFDL-1.2-or-later GFDL-1.3-only GFDL-1.3-or-later HPND Info-ZIP ISC LGPL-2.0-only LGPL-2.0-or-later libutil-David-Nugent
	MIT-open-group MPL-2.0 OLDAP-2.8 Python-2.0.1 SMAIL-GPL Unicode-3.0 Unicode-DFS-2016 X11 Zlib 0BSD`)

// spdxIDs are the licence ids that need no definition in a document.
var spdxIDs = sync.OnceValue(func() map[string]string {
	ids := map[string]string{}
	for _, l := range licensecheck.BuiltinLicenses() {
		ids[strings.ToLower(l.ID)] = l.ID
	}
	for _, id := range notSPDX {
		delete(ids, strings.ToLower(id))
	}
	for _, id := range moreSPDX {
		ids[strings.ToLower(id)] = id
	}
	return ids
})

// shortNames are what Debian's copyright files and older RPM packages call
// licences, in lower case, where that means one SPDX id
// (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/#license-short-name,
// https://docs.fedoraproject.org/en-US/legal/all-allowed/).
var shortNames = map[string]string{
	"expat": "MIT", "mit/x11": "MIT", "mit-style": "", "bsd": "", "public-domain": "", "artistic": "Artistic-1.0-Perl",
	"artistic-1": "Artistic-1.0-Perl", "artistic-2": "Artistic-2.0", "apache-2": "Apache-2.0", "asl 2.0": "Apache-2.0",
	"boost": "BSL-1.0", "boost-1.0": "BSL-1.0", "bsd-2": "BSD-2-Clause", "bsd-3": "BSD-3-Clause", "bsd-4-clause-uc": "BSD-4-Clause-UC",
	"cc0": "CC0-1.0", "mpl-1": "MPL-1.0", "mpl-2": "MPL-2.0", "mplv1.1": "MPL-1.1", "mplv2.0": "MPL-2.0", "zlib/libpng": "",
	"psf-2": "PSF-2.0", "python": "", "w3c-software": "W3C", "unicode": "", "openldap": "", "openldap-2.8": "OLDAP-2.8",
	"gplv2": "GPL-2.0-only", "gplv2+": "GPL-2.0-or-later", "gplv3": "GPL-3.0-only", "gplv3+": "GPL-3.0-or-later",
	"gpl+": "GPL-1.0-or-later", "lgplv2": "LGPL-2.0-only", "lgplv2+": "LGPL-2.0-or-later", "lgplv2.1": "LGPL-2.1-only",
	"lgplv2.1+": "LGPL-2.1-or-later", "lgplv3": "LGPL-3.0-only", "lgplv3+": "LGPL-3.0-or-later", "agplv3+": "AGPL-3.0-or-later",
}

// gnu matches the GNU licences as Debian writes them: GPL-2, GPL-2+, LGPL-2.1+,
// GFDL-1.3.
var gnu = regexp.MustCompile(`^(A?GPL|LGPL|GFDL)-([123])(?:\.([0-9]))?(\+?)$`)

// licenseID is the SPDX id of one licence, or a LicenseRef- made of its name.
func licenseID(name string) string {
	name = strings.TrimSpace(name)
	if id, ok := shortNames[strings.ToLower(name)]; ok && id != "" {
		return id
	}
	if m := gnu.FindStringSubmatch(name); m != nil {
		minor := "0"
		if m[3] != "" {
			minor = m[3]
		}
		end := "-only"
		if m[4] != "" {
			end = "-or-later"
		}
		if id, ok := spdxIDs()[strings.ToLower(m[1]+"-"+m[2]+"."+minor+end)]; ok {
			return id
		}
	}
	if id, ok := spdxIDs()[strings.ToLower(name)]; ok {
		return id
	}
	return licenseRef(name)
}

var notInRef = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// licenseRef is a licence that SPDX does not list, under a name that its
// expressions allow (SPDX 2.3, annex D: letters, digits, "-" and ".").
func licenseRef(name string) string {
	name = strings.TrimPrefix(name, "LicenseRef-")
	name = strings.ReplaceAll(name, "+", "-or-later")
	name = strings.Trim(notInRef.ReplaceAllString(name, "-"), "-")
	if len(name) > 100 {
		name = name[:100]
	}
	if name == "" {
		name = "unnamed"
	}
	return "LicenseRef-" + name
}

var connectives = regexp.MustCompile(`(?i)\s+(and|or)\s+`)

// debianExpression is an SPDX expression for the synopsis of a License field:
// names joined by "and" and "or", where "and" binds tighter and a comma before
// either loosest of all.
func debianExpression(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, op := range []string{"or", "and"} {
		if parts := strings.Split(text, ", "+op+" "); len(parts) > 1 {
			for i, part := range parts {
				parts[i] = group(debianExpression(part))
			}
			return strings.Join(parts, " "+strings.ToUpper(op)+" ")
		}
	}
	text = strings.TrimSuffix(text, ",")
	joined := ""
	last := 0
	for _, at := range connectives.FindAllStringSubmatchIndex(text, -1) {
		joined += licenseID(text[last:at[0]]) + " " + strings.ToUpper(text[at[2]:at[3]]) + " "
		last = at[1]
	}
	return joined + licenseID(text[last:])
}

// rpmExpression is an SPDX expression for the License tag of an RPM package,
// which is one already in newer packages.
func rpmExpression(text string) string {
	if text == "" {
		return ""
	}
	depth := 0
	out := ""
	word := []string{}
	flush := func() {
		if len(word) > 0 {
			out += licenseID(strings.Join(word, " ")) + " "
			word = word[:0]
		}
	}
	spaced := strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text)
	fields := strings.Fields(spaced)
	operand := false // something that an operator can follow
	for i, field := range fields {
		switch upper := strings.ToUpper(field); {
		case field == "(":
			if operand {
				return licenseRef(text)
			}
			out += "("
			depth++
		case field == ")":
			flush()
			if depth--; depth < 0 || !operand {
				return licenseRef(text)
			}
			out = strings.TrimRight(out, " ") + ") "
		case upper == "AND" || upper == "OR":
			flush()
			if !operand || i == len(fields)-1 {
				return licenseRef(text)
			}
			out += upper + " "
			operand = false
		default:
			if operand && len(word) == 0 { // a name right behind parentheses
				return licenseRef(text)
			}
			word = append(word, field)
			operand = true
		}
	}
	flush()
	if depth != 0 || !operand {
		return licenseRef(text)
	}
	return strings.TrimSpace(out)
}

// group puts an expression in parentheses if it is one of several parts.
func group(expression string) string {
	if strings.Contains(expression, " ") {
		return "(" + expression + ")"
	}
	return expression
}

// all joins expressions that hold together.
func all(expressions []string) string {
	var parts []string
	for _, e := range expressions {
		if strings.Contains(e, " OR ") {
			parts = append(parts, e)
		} else {
			parts = append(parts, strings.Split(e, " AND ")...)
		}
	}
	expressions = parts
	slices.Sort(expressions)
	expressions = slices.Compact(expressions)
	if len(expressions) == 1 {
		return expressions[0]
	}
	joined := make([]string, len(expressions))
	for i, e := range expressions {
		joined[i] = e
		if strings.Contains(e, " OR ") {
			joined[i] = group(e)
		}
	}
	return strings.Join(joined, " AND ")
}
