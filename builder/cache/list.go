package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
)

// What an Item is.
const (
	ABlob     = "blob"
	Partial   = "partial"  // a download that has not ended
	AnArchive = "unpacked" // what an archive holds
)

// Item is one thing that a cache keeps.
type Item struct {
	What    string           `json:"what"`            // blob, partial or unpacked
	Kind    string           `json:"kind,omitempty"`  // of what is unpacked: format and version, such as "deb 1"
	Digest  manifests.Digest `json:"digest,omitzero"` // of the blob, or of the archive that was unpacked
	Name    string           `json:"name,omitempty"`  // name and version of the package, as far as they are known
	Size    int64            `json:"size"`            // bytes
	LastUse time.Time        `json:"lastUse"`         // when it was last built from

	path string
}

// List is what the cache keeps, by what, kind and digest. Read-only folders are
// not listed.
func (c *Cache) List(ctx context.Context) ([]Item, error) {
	var items []Item
	add := func(what, kind, folder string) error {
		entries, err := os.ReadDir(filepath.Join(c.dir, folder))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			item := Item{What: what, Kind: kind, path: filepath.Join(c.dir, folder, entry.Name())}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(entry.Name(), ".") {
				continue // another process is at work
			}
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() {
				continue
			}
			item.Digest, err = manifests.ParseDigest("sha256:" + entry.Name())
			if err != nil && what != Partial {
				continue // not of proa
			}
			item.Size, item.LastUse = info.Size(), info.ModTime().UTC().Truncate(time.Second)
			items = append(items, item)
		}
		return nil
	}
	kinds, err := os.ReadDir(filepath.Join(c.dir, unpacked))
	if err != nil {
		return nil, fmt.Errorf("listing the cache: %w", err)
	}
	errs := []error{add(ABlob, "", blobs), add(Partial, "", partial)}
	for _, kind := range kinds {
		errs = append(errs, add(AnArchive, kind.Name(), filepath.Join(unpacked, kind.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("listing the cache: %w", err)
	}
	c.name(items)
	slices.SortStableFunc(items, func(a, b Item) int {
		return strings.Compare(a.What+"\x00"+a.Kind+"\x00"+a.Digest.Hex(), b.What+"\x00"+b.Kind+"\x00"+b.Digest.Hex())
	})
	return items, nil
}

// name gives archives, unpacked and not, the names that their unpackers found.
func (c *Cache) name(items []Item) {
	names := map[manifests.Digest]string{}
	for i, item := range items {
		if item.What != AnArchive {
			continue
		}
		u, err := c.load(item.path, item.Digest, item.Kind, false)
		if err != nil {
			continue // Verify says that
		}
		var about struct{ Name, Version, Arch string }
		if json.Unmarshal(u.About, &about) != nil || about.Name == "" {
			continue
		}
		parts := slices.DeleteFunc([]string{about.Name, about.Version, about.Arch}, func(s string) bool { return s == "" })
		items[i].Name = strings.Join(parts, " ")
		names[item.Digest] = items[i].Name
	}
	for i, item := range items {
		if item.What == ABlob {
			items[i].Name = names[item.Digest]
		}
	}
}
