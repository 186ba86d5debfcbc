package deb

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

// ParseIndex reads a Packages file as Load does.
func ParseIndex(ctx context.Context, text []byte, dir string) ([]packages.Package, error) {
	path := filepath.Join(dir, "Packages")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return nil, err
	}
	l := &loader{
		Config: Config{Repository: manifests.DebRepository{URL: "http://repo.test/"}, Arch: manifests.AMD64},
		parser: control.NewParser("amd64"), seen: map[identity]bool{},
	}
	err := parseIndex(ctx, path, 0, l.add)
	return l.found, err
}

// ParseRelease reads a Release file and asks for an index of it.
func ParseRelease(text []byte, now time.Time) {
	if r, err := parseRelease(text, now); err == nil {
		_, _ = r.indexes("main", "amd64")
	}
}
