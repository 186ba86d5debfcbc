package repomd

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm/richdeps"
)

const (
	maxPackages = 1 << 20
	maxParts    = 16 << 20 // relations and files of all packages; Fedora's biggest repository has 1.5 million
)

// primary reads the short list: every package, with what it provides and
// requires and the files that are most often required.
type primary struct {
	base    string
	arch    string
	index   int
	prio    int
	streams map[string]bool // packages of module streams: name-epoch:version-release.arch
	found   []packages.Package
	modular int

	seen  map[string]bool
	parts int
	// Each text that comes often is kept once: by how it is written, and versions
	// by themselves.
	words, versions map[string]string

	now current
}

// current is the package that is being read.
type current struct {
	packages.Package
	epoch, version, release string
	algorithm               string // of the checksum that comes next
	list                    string // of relations: provides, requires …
	skip                    bool   // it is for another architecture
}

func newPrimary(l *loader, streams map[string]bool) *primary {
	return &primary{
		base: l.url, arch: Arch(l.Arch), index: l.Index, prio: l.Priority,
		streams: streams, seen: map[string]bool{}, words: map[string]string{}, versions: map[string]string{},
	}
}

func (p *primary) parse(r io.Reader) error {
	s := newScanner(r)
	for {
		start, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = p.event(s, start)
		}
		if err != nil && s.depth > 1 && p.now.Name != "" {
			return fmt.Errorf("package %.100q: %w", p.now.Name, err)
		}
		if err != nil {
			return err
		}
	}
}

func (p *primary) event(s *scanner, start bool) error {
	switch {
	case s.depth == 1:
		if string(s.name) != "metadata" {
			return fmt.Errorf("<%.50s>: want metadata", s.name)
		}
	case string(s.name) == "package" && s.depth == 2:
		if start {
			p.now = current{}
			return nil
		}
		return p.end()
	case s.depth == 3 && start:
		return p.startField(s)
	case s.depth == 3:
		return p.endField(s)
	case s.depth == 4 && start:
		p.now.list = p.word(s.name)
	case s.depth == 4 && string(s.name) == "file" && !p.now.skip:
		return p.file(s.raw)
	case s.depth == 5 && start && string(s.name) == "entry" && !p.now.skip:
		return p.entry(s)
	}
	return nil
}

func (p *primary) startField(s *scanner) (err error) {
	switch string(s.name) {
	case "checksum":
		value, _ := s.attr("type")
		p.now.algorithm = string(value)
	case "version":
		p.now.epoch, p.now.version, p.now.release, err = p.evr(s)
	case "size":
		value, _ := s.attr("package")
		p.now.Size, err = size(value)
	case "location":
		p.now.URL, err = location(s, p.base)
	}
	return err
}

func (p *primary) endField(s *scanner) (err error) {
	switch string(s.name) {
	case "name":
		p.now.Name, err = decode(s.raw)
	case "arch":
		p.now.Arch = p.word(s.raw)
		p.now.skip = p.now.Arch != p.arch && p.now.Arch != "noarch"
	case "checksum":
		// Of packages for others, nothing is demanded.
		if !p.now.skip {
			p.now.Checksum, err = checksum(p.now.algorithm, s.raw)
		}
	}
	return err
}

// evr reads the three attributes that make a version.
func (p *primary) evr(s *scanner) (epoch, version, release string, err error) {
	var errs [3]error
	for i, a := range [...]struct {
		key  string
		into *string
	}{{"epoch", &epoch}, {"ver", &version}, {"rel", &release}} {
		raw, _ := s.attr(a.key)
		*a.into, errs[i] = p.text(raw)
	}
	return epoch, version, release, errors.Join(errs[:]...)
}

// text decodes what comes often.
func (p *primary) text(raw []byte) (string, error) {
	if word, ok := p.words[string(raw)]; ok {
		return word, nil
	}
	word, err := decode(raw)
	if err != nil {
		return "", err
	}
	if key := word; key == string(raw) {
		p.words[key] = word // the same memory
	} else {
		p.words[string(raw)] = word
	}
	return word, nil
}

// word is raw as a string, for names that are compared only.
func (p *primary) word(raw []byte) string {
	word, err := p.text(raw)
	if err != nil {
		return ""
	}
	return word
}

func (p *primary) count() error {
	if p.parts++; p.parts > maxParts {
		return fmt.Errorf("more than %d relations and files", maxParts)
	}
	return nil
}

func (p *primary) file(raw []byte) error {
	name, err := decode(raw)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(name, "/") || strings.ContainsFunc(name, isControl) {
		return fmt.Errorf("file %.200q: want an absolute path", name)
	}
	p.now.Files = append(p.now.Files, name)
	return p.count()
}

// entry reads one relation of the current list.
func (p *primary) entry(s *scanner) error {
	raw, _ := s.attr("name")
	name, err := p.text(raw)
	if err != nil {
		return err
	}
	raw, _ = s.attr("flags")
	flags := p.word(raw)
	epoch, version, release, err := p.evr(s)
	if err != nil {
		return err
	}
	if err := p.count(); err != nil {
		return err
	}
	now := &p.now
	switch now.list {
	case "provides":
		return p.relation(&now.Provides, name, flags, epoch, version, release)
	case "obsoletes":
		return p.relation(&now.Obsoletes, name, flags, epoch, version, release)
	case "requires":
		return p.requirement(&now.Requires, name, flags, epoch, version, release)
	case "conflicts":
		return p.requirement(&now.Conflicts, name, flags, epoch, version, release)
	case "recommends":
		return p.requirement(&now.Recommends, name, flags, epoch, version, release)
	case "supplements":
		return p.requirement(&now.Supplements, name, flags, epoch, version, release)
	}
	return nil // suggests and enhances choose nothing
}

func (p *primary) relation(into *[]packages.Relation, name, flags, epoch, version, release string) error {
	r, err := richdeps.Relation(name, flags, epoch, version, release)
	r.Version = p.once(r.Version)
	*into = append(*into, r)
	return err
}

func (p *primary) requirement(into *[]packages.Requirement, name, flags, epoch, version, release string) error {
	if strings.HasPrefix(name, "rpmlib(") {
		return nil // what is wanted of rpm itself is checked when the package is opened
	}
	r, err := richdeps.Requirement(name, flags, epoch, version, release)
	r.Relation.Version = p.once(r.Relation.Version)
	*into = append(*into, r)
	return err
}

// once returns the string that was first seen with this content.
func (p *primary) once(version string) string {
	if known, ok := p.versions[version]; ok {
		return known
	}
	p.versions[version] = version
	return version
}

// end takes over the current package.
func (p *primary) end() error {
	now := &p.now
	if now.Name == "" || now.Arch == "" {
		return errors.New("a package without a name or an architecture")
	}
	if now.skip {
		return nil
	}
	var err error
	if now.Version, err = richdeps.EVR(now.epoch, now.version, now.release); err != nil {
		return err
	}
	if now.Checksum == "" || now.URL == "" || now.Size <= 0 {
		return errors.New("want a checksum, a location and a size")
	}
	if strings.ContainsFunc(now.Name+now.release, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '\ufffd' }) {
		return fmt.Errorf("name and release %.100q: want words", now.Name+" "+now.release)
	}
	if p.inModule() {
		p.modular++
		return nil
	}
	identity := now.Name + " " + now.Version + " " + now.Arch
	if p.seen[identity] {
		return nil
	}
	p.seen[identity] = true
	self := packages.Relation{Name: now.Name, Op: packages.Equal, Version: now.Version}
	if !contains(now.Provides, self) {
		now.Provides = append(now.Provides, self)
	}
	now.Repository, now.Priority = p.index, p.prio
	if p.found = append(p.found, now.Package); len(p.found) > maxPackages {
		return fmt.Errorf("more than %d packages", maxPackages)
	}
	return nil
}

func contains(all []packages.Relation, one packages.Relation) bool {
	for _, r := range all {
		if r == one {
			return true
		}
	}
	return false
}
