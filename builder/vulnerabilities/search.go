package vulnerabilities

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
)

// advisory is what is read of an OSV document.
type advisory struct {
	ID        string     `json:"id"`
	Modified  time.Time  `json:"modified"`
	Withdrawn *time.Time `json:"withdrawn"`
	Aliases   []string   `json:"aliases"`
	Upstream  []string   `json:"upstream"`
	Related   []string   `json:"related"`
	Severity  []severity `json:"severity"`
	Affected  []struct {
		Package struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
		} `json:"package"`
		Severity []severity `json:"severity"`
		Ranges   []struct {
			Type   string  `json:"type"`
			Events []event `json:"events"`
		} `json:"ranges"`
		Versions []string `json:"versions"`
	} `json:"affected"`
}

type severity struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

type event struct {
	Introduced   string `json:"introduced"`
	Fixed        string `json:"fixed"`
	LastAffected string `json:"last_affected"`
}

// Search collects what advisories say of packages.
type Search struct {
	packages   map[[2]string][]Package // by ecosystem and name
	ecosystems map[string]bool         // of the packages: whether an advisory is about it
	found      map[string][]manifests.Severity

	Advisories int       // that were read
	Newest     time.Time // when the one that was changed last was changed
}

// NewSearch is a search in packages.
func NewSearch(all []Package) *Search {
	s := &Search{packages: map[[2]string][]Package{}, ecosystems: map[string]bool{}, found: map[string][]manifests.Severity{}}
	for _, p := range all {
		s.ecosystems[p.Ecosystem] = false
		key := [2]string{p.Ecosystem, p.Name}
		s.packages[key] = append(s.packages[key], p)
	}
	return s
}

// Add reads one advisory.
func (s *Search) Add(osv []byte) error {
	var a advisory
	if err := json.Unmarshal(osv, &a); err != nil {
		return err
	}
	if a.ID == "" {
		return errNoAdvisory
	}
	s.Advisories++
	if a.Modified.After(s.Newest) {
		s.Newest = a.Modified
	}
	if a.Withdrawn != nil {
		return nil
	}
	for _, affected := range a.Affected {
		ecosystem := strings.ToLower(affected.Package.Ecosystem)
		if _, ours := s.ecosystems[ecosystem]; ours {
			s.ecosystems[ecosystem] = true
		}
		for _, p := range s.packages[[2]string{ecosystem, affected.Package.Name}] {
			hit := slices.Contains(affected.Versions, p.Version)
			for _, r := range affected.Ranges {
				hit = hit || r.Type == "ECOSYSTEM" && p.isWithin(r.Events)
			}
			if !hit {
				continue
			}
			for _, id := range a.names() {
				for _, severity := range append(affected.Severity, a.Severity...) {
					score := manifests.Severity{Method: severity.Type, Score: severity.Score}
					if !slices.Contains(s.found[id], score) {
						s.found[id] = append(s.found[id], score)
					}
				}
				s.found[id] = append([]manifests.Severity{}, s.found[id]...)
			}
		}
	}
	return nil
}

// names are the CVE ids that an advisory is about, or its own id if there is none.
func (a advisory) names() []string {
	// Older advisories of distributions name them as related alone.
	for _, candidates := range [][]string{slices.Concat([]string{a.ID}, a.Aliases, a.Upstream), a.Related} {
		var ids []string
		for _, id := range candidates {
			if strings.HasPrefix(id, "CVE-") && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		if len(ids) > 0 {
			return ids
		}
	}
	return []string{a.ID}
}

// isWithin says whether events leave a version affected: as the evaluation algorithm of
// OSV has it, by the last event that is not above the version.
func (p Package) isWithin(events []event) bool {
	affected, last := false, ""
	for _, e := range events {
		at, now := e.Introduced, true
		switch {
		case e.Fixed != "":
			at, now = e.Fixed, false
		case e.LastAffected != "":
			at, now = e.LastAffected, false
		}
		if at == "" {
			continue
		}
		order := 1 // "0" is before all versions
		if at != "0" {
			order = p.compare(p.Version, at)
		}
		if order < 0 || order == 0 && e.LastAffected != "" {
			continue
		}
		if last == "" || last == "0" || at != "0" && p.compare(at, last) >= 0 {
			affected, last = now, at
		}
	}
	return affected
}

// Unknown are the ecosystems of the packages, if no advisory is about any of them: that
// nothing was found then means nothing.
func (s *Search) Unknown() []string {
	for _, known := range s.ecosystems {
		if known {
			return nil
		}
	}
	return slices.Sorted(maps.Keys(s.ecosystems))
}

// Findings are the vulnerabilities that were found, by id.
func (s *Search) Findings() []manifests.Finding {
	findings := []manifests.Finding{}
	for _, id := range slices.Sorted(maps.Keys(s.found)) {
		findings = append(findings, manifests.Finding{ID: id, Severity: s.found[id]})
	}
	return findings
}
