package demands

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// aheadMost is how far the clock of a scanner may be ahead of the host's.
const aheadMost = 24 * time.Hour

// idForm is what ids of vulnerabilities look like: CVE-2024-3094, GHSA-fxph-q3j8-mv87.
var idForm = regexp.MustCompile(`^[A-Z]+(-[A-Za-z0-9:._]+)+$`)

func (v Vulnerabilities) check(at string, fault func(path, format string, args ...any)) {
	checkKeys(at+".keys", v.Keys, fault)
	if len(v.Deny) > DenyMost {
		fault(at+".deny", "%s.deny: %d of them: want at most %d", at, len(v.Deny), DenyMost)
		return
	}
	for i, id := range v.Deny {
		if path := fmt.Sprintf("%s.deny[%d]", at, i); !idForm.MatchString(id) || len(id) > 100 {
			fault(path, "%s %.40q: want an id such as CVE-2024-3094", path, id)
		}
	}
	const least, most = manifests.Duration(time.Hour), manifests.Duration(8760 * time.Hour)
	if v.MaxAge != 0 && (v.MaxAge < least || v.MaxAge > most) {
		fault(at+".maxAge", "%s.maxAge %s: want %s to %s", at, v.MaxAge, least, most)
	}
}

// scanned is why the scans of a release are not what is wanted; empty if they are. Of
// each key its newest scan counts, since it knows most.
func (e Evidence) scanned(v Vulnerabilities) string {
	newest := map[string]manifests.Scan{}
	e.signed(v.Keys, func(statement []byte, by []signing.PublicKey) {
		about, sbom, scan, err := manifests.ParseScan(statement)
		if err != nil || about != e.Digest || scan.CheckFor(e.Release, sbom) != nil || scan.Metadata.Finished.After(e.Now.Add(aheadMost)) {
			return
		}
		for _, key := range by {
			if scan.Metadata.Finished.After(newest[key.ID()].Metadata.Finished) {
				newest[key.ID()] = scan
			}
		}
	})
	if len(newest) == 0 {
		return "no scan of it for vulnerabilities is attested"
	}
	age := v.MaxAge
	if age == 0 {
		age = AgeMost
	}
	var last time.Time
	var denied []string
	for _, scan := range newest {
		if finished := scan.Metadata.Finished; finished.After(last) {
			last = finished
		}
		for _, finding := range scan.Scanner.Result {
			if slices.Contains(v.Deny, finding.ID) && !slices.Contains(denied, finding.ID) {
				denied = append(denied, finding.ID)
			}
		}
	}
	slices.Sort(denied)
	switch {
	case len(denied) > 0: // whatever its age
		return "it has " + list(denied)
	case e.Now.Sub(last) > time.Duration(age):
		return fmt.Sprintf("its last scan for vulnerabilities was on %s: want one of the last %s", last.UTC().Format("2006-01-02 15:04 MST"), age)
	}
	return ""
}

// list is the first of some ids, and how many more there are.
func list(ids []string) string {
	const most = 10
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more that are denied", strings.Join(ids[:most], ", "), len(ids)-most)
}
