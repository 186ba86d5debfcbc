package deb

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

const maxRelease = 16 << 20 // Debian's own have less than 200 KiB

// ahead is how far the clock of an archive may be before ours.
const ahead = 10 * time.Minute

// release is what a Release file says of a suite
// (https://wiki.debian.org/DebianRepository/Format).
type release struct {
	suite, codename string
	date            string
	byHash          bool
	noAll           bool // packages for all architectures are in each one's index
	archs           []string
	components      []string
	files           map[string]listed
}

// listed is a file of the suite.
type listed struct {
	size int64
	hex  string // of its SHA-256
}

func (l listed) checksum() packages.Checksum { return packages.Checksum("sha256:" + l.hex) }

// parseRelease reads what has been verified, and refuses what is not fresh.
func parseRelease(text []byte, now time.Time) (*release, error) {
	s, err := control.Single(text, maxRelease)
	if err != nil {
		return nil, err
	}
	r := &release{
		suite:      s.Value("Suite"),
		codename:   s.Value("Codename"),
		date:       s.Value("Date"),
		byHash:     s.Value("Acquire-By-Hash") == "yes",
		noAll:      slices.Contains(strings.Fields(s.Value("No-Support-for-Architecture-all")), "Packages"),
		archs:      strings.Fields(s.Value("Architectures")),
		components: strings.Fields(s.Value("Components")),
		files:      map[string]listed{},
	}
	if err := fresh(s, now); err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(s.Value("SHA256"), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := r.list(line); err != nil {
			return nil, err
		}
	}
	if len(r.files) == 0 {
		return nil, errors.New("no SHA256 in it: want the digests of the indexes")
	}
	return r, nil
}

// fresh refuses a Date in the future, and a Valid-Until in the past.
func fresh(s *control.Stanza, now time.Time) error {
	date, err := parseTime(s.Value("Date"))
	if err != nil {
		return fmt.Errorf("field Date: %w", err)
	}
	if date.After(now.Add(ahead)) {
		return fmt.Errorf("made at %s, which is in the future: is the clock right?", date.Format(time.RFC3339))
	}
	until := s.Value("Valid-Until")
	if until == "" {
		return nil // as Debian's stable releases
	}
	end, err := parseTime(until)
	if err != nil {
		return fmt.Errorf("field Valid-Until: %w", err)
	}
	if now.After(end) {
		return fmt.Errorf("expired: it was valid until %s", end.Format(time.RFC3339))
	}
	return nil
}

// Made is when a suite was made, by the Date of its InRelease, which is its
// Revision in a lock.
func Made(r manifests.LockedRepository) (time.Time, error) { return parseTime(r.Revision) }

// parseTime reads the dates of Release files: RFC 5322 in UTC.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{"Mon, _2 Jan 2006 15:04:05 MST", "Mon, _2 Jan 2006 15:04:05 -0700"} {
		t, err := time.Parse(layout, text)
		if _, offset := t.Zone(); err == nil && offset == 0 {
			if zone, _ := t.Zone(); zone == "UTC" || zone == "GMT" || zone == "" || zone == "Z" {
				return t.UTC(), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%.60q: want a date such as \"Sat, 11 Jul 2026 10:16:37 UTC\"", text)
}

// list takes in a line of SHA256: digest, size, path.
func (r *release) list(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return fmt.Errorf("SHA256 %.100q: want a digest, a size and a path", line)
	}
	size, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || size < 0 || !isSHA256(fields[0]) {
		return fmt.Errorf("SHA256 %.100q: want 64 hex digits, a size and a path", line)
	}
	f := listed{size, strings.ToLower(fields[0])}
	if other, twice := r.files[fields[2]]; twice && other != f {
		return fmt.Errorf("SHA256 %.100q: appears twice, with another digest or size", fields[2])
	}
	r.files[fields[2]] = f
	return nil
}

func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// checkSuite refuses the release of another suite, which its server may have
// put in this one's place.
func (r *release) checkSuite(asked string) error {
	if asked != r.suite && asked != r.codename {
		return fmt.Errorf("it is the InRelease of suite %q, codename %q: want %q", r.suite, r.codename, asked)
	}
	return nil
}

// index is one Packages file.
type index struct {
	path  string // below the suite
	file  listed
	plain int64 // bytes it expands to; 0 when the release does not say
}

// indexes are the Packages files of a component for an architecture. A
// component may have a prefix in the release that its paths do not have, as
// the "updates/main" of Debian's security archive.
func (r *release) indexes(component, arch string) ([]index, error) {
	known := slices.ContainsFunc(r.components, func(c string) bool {
		return c == component || strings.HasSuffix(c, "/"+component)
	})
	if !known {
		return nil, fmt.Errorf("no component %q: it has %s", component, strings.Join(r.components, " "))
	}
	var found []index
	for _, a := range []string{arch, "all"} {
		if a == "all" && (r.noAll || !slices.Contains(r.archs, a)) {
			continue // as apt; some archives list an index that is not there
		}
		if i, ok := r.index(component + "/binary-" + a + "/Packages"); ok {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no packages for %s in component %q: it has %s", arch, component, strings.Join(r.archs, " "))
	}
	return found, nil
}

// index chooses the smallest way to fetch a file; zstd expands fastest.
func (r *release) index(path string) (index, bool) {
	for _, ending := range []string{".zst", ".xz", ".gz", ""} {
		if f, ok := r.files[path+ending]; ok {
			return index{path + ending, f, r.files[path].size}, true
		}
	}
	return index{}, false
}
