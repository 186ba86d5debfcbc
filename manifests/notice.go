package manifests

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Notice is what a publisher says of a release beside what is in it, and may say
// otherwise later: the content of one notice target. A release without one is as
// one whose notice says nothing.
type Notice struct {
	Schema  int     `json:"schema"` // 1
	Product string  `json:"product"`
	Arch    Arch    `json:"arch"`
	Version Version `json:"version"`
	Release Digest  `json:"release"` // of the release.json
	// Notes are the release notes, for people: see CheckNotes.
	Notes string `json:"notes,omitempty"`
	// Requires is the release that hosts on an older version install first.
	Requires *SteppingStone `json:"requires,omitempty"`
	// Retracted forbids hosts that have not taken the release to take it.
	Retracted *Retraction `json:"retracted,omitempty"`
}

// SteppingStone is a release on the way to a newer one.
type SteppingStone struct {
	Version Version `json:"version"`
	Release Digest  `json:"release"` // of the release.json
}

// Retraction is a publisher's word that a release should not have been published.
type Retraction struct {
	When   time.Time `json:"when"`   // UTC, whole seconds
	Reason string    `json:"reason"` // for people: see CheckReason
}

// String is the time and the reason, in a line.
func (r Retraction) String() string {
	return fmt.Sprintf("retracted by its publisher on %s: %s", r.When.UTC().Format("2006-01-02 15:04 MST"), r.Reason)
}

const (
	// SteppingStonesMost is how many releases a host follows from one to the next that
	// it requires.
	SteppingStonesMost = 16
	// NotesMost bounds the bytes of release notes: hosts fetch them with each check.
	NotesMost = 16 << 10
	// ReasonMost bounds the bytes of the reason of a retraction.
	ReasonMost = 500
)

// NoticeTarget is the target that holds a release's notice, beside its
// release.json: "releases/<product>/<arch>/<version>/notice.json".
func NoticeTarget(product string, arch Arch, v Version) string {
	return fmt.Sprintf("releases/%s/%s/%s/notice.json", product, arch, v)
}

// ParseNotice reads a notice.json strictly. Where there is a stepping stone it is
// an older version, so that whoever goes from one to the next comes to an end.
func ParseNotice(data []byte) (Notice, error) {
	var n Notice
	err := parseStrict(data, &n, &n.Schema, 1)
	if err == nil {
		err = n.check()
	}
	if err != nil {
		return Notice{}, fmt.Errorf("notice: %w", err)
	}
	return n, nil
}

func (n Notice) check() error {
	if err := checkIdentity(n.Product, n.Arch, n.Version); err != nil {
		return err
	}
	if n.Release.IsZero() {
		return errors.New("no release")
	}
	if err := CheckNotes(n.Notes); err != nil {
		return err
	}
	if s := n.Requires; s != nil {
		if _, err := ParseVersion(string(s.Version)); err != nil {
			return err
		}
		if s.Version.Compare(n.Version) >= 0 {
			return fmt.Errorf("%s requires %s: want an older version", n.Version, s.Version)
		}
		if s.Release.IsZero() {
			return errors.New("no release of what is required")
		}
	}
	if r := n.Retracted; r != nil {
		if _, offset := r.When.Zone(); offset != 0 || r.When.Nanosecond() != 0 || r.When.Unix() < 0 {
			return fmt.Errorf("retracted at %s: want UTC, whole seconds, since 1970", r.When.Format(time.RFC3339Nano))
		}
		return CheckReason(r.Reason)
	}
	return nil
}

// CheckFor reports what is wrong with a notice as that of the release that the
// arguments name.
func (n Notice) CheckFor(product string, arch Arch, v Version, release Digest) error {
	if n.Product != product || n.Arch != arch || n.Version != v {
		return fmt.Errorf("its notice is of %s %s for %s: want %s %s for %s", n.Product, n.Version, n.Arch, product, v, arch)
	}
	if n.Release != release {
		return fmt.Errorf("its notice is of release.json %s: want %s", n.Release, release)
	}
	return nil
}

// CheckNotes checks release notes, which terminals show: at most NotesMost bytes of
// UTF-8, nothing unprintable but tabs and ends of lines. None are allowed.
func CheckNotes(s string) error {
	if len(s) > NotesMost {
		return fmt.Errorf("release notes of %d bytes: want at most %d", len(s), NotesMost)
	}
	return checkPrintable("release notes", s, "\n\t")
}

// CheckReason checks the reason of a retraction: one line of at most ReasonMost
// bytes of printable UTF-8.
func CheckReason(s string) error {
	if len(s) > ReasonMost || strings.TrimSpace(s) == "" {
		return fmt.Errorf("reason of %d bytes: want a line of 1 to %d", len(s), ReasonMost)
	}
	return checkPrintable("reason", s, "")
}

// checkPrintable keeps out what would move a terminal's cursor, colour it, or show
// text in another order than it is written in.
func checkPrintable(what, s, also string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s: not valid UTF-8", what)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) && !strings.ContainsRune(also, r) {
			return fmt.Errorf("%s: character %U is not printable", what, r)
		}
	}
	return nil
}
