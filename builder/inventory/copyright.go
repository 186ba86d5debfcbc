package inventory

import (
	"context"
	"runtime"
	"strings"

	"github.com/google/licensecheck"
	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// copyrightFormat is how a machine-readable copyright file begins
// (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/).
const copyrightFormat = "www.debian.org/doc/packaging-manuals/copyright-format/1"

// readLicenses finds out the licences of Debian packages, which say them in
// usr/share/doc/NAME/copyright only. Many packages share one file.
func (r *reader) readLicenses(ctx context.Context, find func(context.Context, []string) ([]string, error)) error {
	var found []*Package
	index := map[*tree.Node]int{}
	var texts []string
	which := map[*Package]int{}
	for i := range r.found.Packages {
		p := &r.found.Packages[i]
		name := "usr/share/doc/" + p.Name + "/copyright"
		n, ok := r.tree.Resolve(name)
		if p.Format != packages.Deb || !ok || n.Kind != tree.File || n.Content.Size > textMost {
			continue
		}
		if _, known := index[n]; !known {
			text, err := r.text(name, textMost)
			if err != nil {
				return err
			}
			index[n] = len(texts)
			texts = append(texts, text)
		}
		found = append(found, p)
		which[p] = index[n]
	}
	licenses, err := find(ctx, texts)
	if err != nil {
		return err
	}
	for _, p := range found {
		p.License = licenses[which[p]]
	}
	return nil
}

// Licenses are the licences that copyright files of Debian packages name: an
// SPDX expression for each text, empty where it is not clear which.
func Licenses(ctx context.Context, texts []string) ([]string, error) {
	licenses := make([]string, len(texts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i, text := range texts {
		group.Go(func() error {
			licenses[i] = copyrightLicense(text)
			return ctx.Err()
		})
	}
	return licenses, group.Wait()
}

// copyrightLicense is the licences that a copyright file names, as an SPDX
// expression, empty when it is not clear which. The packaging's own (debian/*)
// do not count.
func copyrightLicense(text string) string {
	if first, _, _ := strings.Cut(strings.TrimSpace(text), "\n"); strings.Contains(first, copyrightFormat) {
		return machineReadable(text)
	}
	var found []string
	known := spdxIDs()
	for _, match := range licensecheck.Scan([]byte(text)).Match {
		if id, ok := known[strings.ToLower(match.ID)]; ok && !match.IsURL {
			found = append(found, id)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return all(found)
}

// expressionsMost bounds what one package is said to be under; more than that
// is no answer.
const expressionsMost = 64

func machineReadable(text string) string {
	found := map[string]bool{}
	files, license := false, ""
	others := false // files besides the packaging's
	end := func() {
		if files && license != "" && others && len(found) <= expressionsMost {
			found[debianExpression(license)] = true
		}
		files, others, license = false, false, ""
	}
	in := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			if in == "files" {
				others = others || !packagingOnly(line)
			}
		default:
			key, value, _ := strings.Cut(line, ":")
			switch in = strings.ToLower(key); in {
			case "files":
				files, others = true, !packagingOnly(value)
			case "license":
				license = strings.TrimSpace(value)
			}
		}
	}
	end()
	if len(found) == 0 || len(found) > expressionsMost {
		return ""
	}
	var expressions []string
	for e := range found {
		expressions = append(expressions, e)
	}
	return all(expressions)
}

func packagingOnly(files string) bool {
	for _, glob := range strings.Fields(files) {
		if !strings.HasPrefix(glob, "debian/") {
			return false
		}
	}
	return true
}
