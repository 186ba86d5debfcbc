// Package extensions keeps the extensions of a host's releases, and attaches those of
// the one that runs.
//
// A Store is a folder on /var: the disk images of extensions, named by their digests,
// and for each release that is or is about to be in a slot the list of its
// extensions. Note comes before Fetch, and Keep takes away what no noted release has.
// Nothing in the folder is trusted: the list of the release that runs is in its root
// file system, and names each image by the root hash that systemd opens it by, see
// Attach.
package extensions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/hostfs"
)

// Store is the folder. What uses it must be alone.
type Store struct {
	FS  hostfs.FS
	Dir string // its parent exists
}

// What the names in the folder end in.
const (
	imageSuffix   = ".raw"
	partialSuffix = ".part"
	listSuffix    = ".json" // of a release, by its root hash
)

// Path is where an image is kept.
func (s Store) Path(d manifests.Digest) string { return filepath.Join(s.Dir, d.Hex()+imageSuffix) }

func (s Store) partial(d manifests.Digest) string {
	return filepath.Join(s.Dir, d.Hex()+partialSuffix)
}

func (s Store) list(rootHash manifests.HexBytes) string {
	return filepath.Join(s.Dir, rootHash.String()+listSuffix)
}

// Has reports whether an image is there, by its size and its content.
func (s Store) Has(file manifests.FetchFile) (bool, error) {
	f, err := s.FS.Open(s.Path(file.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if size, err := f.Size(); err != nil || size != file.Size {
		return false, err
	}
	sum, err := hashOf(f, file.Size)
	return err == nil && manifests.Digest(sum.Sum(nil)) == file.Digest, err
}

// hashOf reads the first n bytes.
func hashOf(f hostfs.File, n int64) (hash.Hash, error) {
	sum := sha256.New()
	_, err := io.CopyBuffer(sum, io.NewSectionReader(f, 0, n), make([]byte, 256<<10))
	return sum, err
}

// Missing are those of the extensions whose images are not there.
func (s Store) Missing(all []manifests.Extension) ([]manifests.Extension, error) {
	var missing []manifests.Extension
	for _, x := range all {
		has, err := s.Has(x.File())
		if err != nil {
			return nil, err
		}
		if !has {
			missing = append(missing, x)
		}
	}
	return missing, nil
}

// Space is the bytes that the images still need.
func (s Store) Space(missing []manifests.Extension) int64 {
	need := int64(0)
	for _, x := range missing {
		need += x.Size
		if f, err := s.FS.Open(s.partial(x.Digest)); err == nil {
			if size, err := f.Size(); err == nil {
				need -= min(size, x.Size)
			}
			f.Close()
		}
	}
	return need
}

// Note notes which extensions a release has, before the first of them is fetched.
func (s Store) Note(rootHash manifests.HexBytes, list manifests.Extensions) error {
	if err := s.FS.Mkdir(s.Dir); err != nil {
		return err
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	path := s.list(rootHash)
	if old, err := hostfs.ReadFile(s.FS, path, manifests.DocumentMost); err == nil && bytes.Equal(old, text) {
		return nil
	}
	temporary := path + partialSuffix
	if err := s.write(temporary, text); err != nil {
		return errors.Join(err, s.remove(temporary))
	}
	if err := s.FS.Rename(temporary, path); err != nil {
		return err
	}
	return s.syncFolder()
}

func (s Store) write(path string, text []byte) error {
	f, err := s.FS.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(text, 0); err != nil {
		return err
	}
	return f.Sync()
}

// syncFolder makes the names in the folder durable, and its own.
func (s Store) syncFolder() error {
	if err := s.FS.SyncDir(s.Dir); err != nil {
		return err
	}
	return s.FS.SyncDir(filepath.Dir(s.Dir))
}

func (s Store) remove(path string) error {
	err := s.FS.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Noted is the list that was noted of a release, the zero value if there is none. A
// damaged one is an error, until Note makes it anew.
func (s Store) Noted(rootHash manifests.HexBytes) (manifests.Extensions, error) {
	path := s.list(rootHash)
	text, err := hostfs.ReadFile(s.FS, path, manifests.DocumentMost)
	if errors.Is(err, fs.ErrNotExist) {
		return manifests.Extensions{}, nil
	}
	if err != nil {
		return manifests.Extensions{}, err
	}
	list, err := manifests.ParseExtensions(text)
	if err != nil {
		return manifests.Extensions{}, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// Keep removes what no release of the given root hashes has, as far as it was noted
// which that are, and returns the bytes of it. When a list cannot be read it removes
// nothing: that release may need any. With dry it only counts.
func (s Store) Keep(releases []manifests.HexBytes, dry bool) (freed int64, err error) {
	names, err := s.FS.List(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	keep := map[string]bool{}
	for _, root := range releases {
		list, err := s.Noted(root)
		if err != nil {
			return 0, nil
		}
		keep[filepath.Base(s.list(root))] = true
		for _, x := range list.Extensions {
			keep[filepath.Base(s.Path(x.Digest))], keep[filepath.Base(s.partial(x.Digest))] = true, true
		}
	}
	removed := false
	for _, name := range names {
		if keep[name] || !isOurs(name) {
			continue
		}
		path := filepath.Join(s.Dir, name)
		freed += s.sizeOf(path)
		if dry {
			continue
		}
		if err := s.remove(path); err != nil {
			return freed, err
		}
		removed = true
	}
	if !removed {
		return freed, nil
	}
	return freed, s.FS.SyncDir(s.Dir)
}

func (s Store) sizeOf(path string) int64 {
	f, err := s.FS.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0
	}
	return size
}

func isOurs(name string) bool {
	return slices.ContainsFunc([]string{imageSuffix, partialSuffix, listSuffix}, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// Origin is a file at one place that may have it; see sources.File.
type Origin interface {
	// Range streams the bytes from..to, to excluded.
	Range(ctx context.Context, from, to int64) io.ReadCloser
	Usable() bool
	Failed(err error)
}
