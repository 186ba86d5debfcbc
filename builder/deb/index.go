package deb

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

const (
	maxStanza     = 4 << 20
	maxIndex      = 1 << 30 // expanded; all of Debian's main has 50 MiB
	maxPackages   = 1 << 20
	maxPackedFile = 256 << 20
)

// parseIndex reads a Packages file, compressed or not, and calls fn for each
// stanza in it.
func parseIndex(ctx context.Context, path string, plain int64, fn func(*control.Stanza) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	limits := content.DefaultLimits()
	limits.Expanded = maxIndex
	if plain > 0 {
		limits.Expanded = min(plain, maxIndex)
	}
	expanded, err := content.Expand(ctx, file, limits)
	if err != nil {
		return err
	}
	defer expanded.Close()
	r := control.NewReader(expanded, maxStanza)
	for {
		s, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(s); err != nil {
			return err
		}
	}
}

// describe is what a stanza says: of a Packages file, or of a package itself,
// which does not know where it is.
func describe(s *control.Stanza, parser *control.Parser) (packages.Package, error) {
	p := packages.Package{
		Name:      parser.Intern(s.Bytes("Package")),
		Version:   parser.Intern(s.Bytes("Version")),
		Arch:      parser.Intern(s.Bytes("Architecture")),
		Essential: s.Value("Essential") == "yes",
	}
	if err := control.CheckName(p.Name); err != nil {
		return p, err
	}
	if err := fillIn(&p, s, parser); err != nil {
		return p, fmt.Errorf("package %s: %w", p.Name, err)
	}
	return p, nil
}

func fillIn(p *packages.Package, s *control.Stanza, parser *control.Parser) error {
	if err := control.CheckVersion(p.Version); err != nil {
		return err
	}
	if err := control.CheckArch(p.Arch); err != nil {
		return err
	}
	provided, err := parser.Relations(s.Bytes("Provides"))
	if err != nil {
		return fmt.Errorf("field Provides: %w", err)
	}
	p.Provides = make([]packages.Relation, 0, len(provided)+1)
	p.Provides = append(p.Provides, packages.Relation{Name: p.Name, Op: packages.Equal, Version: p.Version})
	for _, r := range provided {
		if r.Op != packages.Any && r.Op != packages.Equal {
			return fmt.Errorf("field Provides: %s: want = or no version", r)
		}
		p.Provides = append(p.Provides, r)
	}
	for _, f := range []struct {
		name string
		read func([]byte) ([]packages.Requirement, error)
		into *[]packages.Requirement
	}{
		{"Pre-Depends", parser.Requirements, &p.Requires},
		{"Depends", parser.Requirements, &p.Requires},
		{"Recommends", parser.Requirements, &p.Recommends},
		{"Conflicts", parser.Conflicts, &p.Conflicts},
		{"Breaks", parser.Conflicts, &p.Conflicts},
	} {
		read, err := f.read(s.Bytes(f.name))
		if err != nil {
			return fmt.Errorf("field %s: %w", f.name, err)
		}
		if *f.into == nil {
			*f.into = read
		} else {
			*f.into = append(*f.into, read...)
		}
	}
	return nil
}

// locate adds to p where its file is, below base.
func locate(p *packages.Package, s *control.Stanza, base string) error {
	size, err := strconv.ParseInt(s.Value("Size"), 10, 64)
	if err != nil || size <= 0 {
		return fmt.Errorf("package %s: size %.30q: want a number above 0", p.Name, s.Value("Size"))
	}
	digest := s.Value("SHA256")
	if !isSHA256(digest) {
		return fmt.Errorf("package %s: SHA256 %.80q: want 64 hex digits", p.Name, digest)
	}
	p.Size, p.Checksum = size, packages.Checksum("sha256:"+strings.ToLower(digest))
	if p.URL, err = join(base, s.Value("Filename")); err != nil {
		return fmt.Errorf("package %s: %w", p.Name, err)
	}
	return nil
}

// join is the place of a file below base, which is a URL or a path.
func join(base, name string) (string, error) {
	parts := strings.Split(strings.TrimPrefix(name, "./"), "/")
	isPath := manifests.IsPackageFile(base)
	for i, part := range parts {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, isControl) {
			return "", fmt.Errorf("file name %.100q: want a path below the repository, without . and .. in it", name)
		}
		if !isPath {
			parts[i] = url.PathEscape(part)
		}
	}
	return strings.TrimRight(base, "/") + "/" + strings.Join(parts, "/"), nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '\ufffd' }
