// Package packagestest has what tests of package formats have in common.
package packagestest

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

// FolderFetcher is a packages.Fetcher whose URLs stand for files of a folder.
type FolderFetcher struct {
	URL string // what stands for the folder, such as "http://repo.test"
	Dir string
}

var _ packages.Fetcher = FolderFetcher{}

// Get implements packages.Fetcher.
func (f FolderFetcher) Get(ctx context.Context, at string, most int64) ([]byte, error) {
	path, err := f.path(ctx, at)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%s: more than %d bytes", at, most)
	}
	return data, err
}

// File implements packages.Fetcher.
func (f FolderFetcher) File(ctx context.Context, at string, size int64, want packages.Checksum) (string, manifests.Digest, error) {
	path, err := f.path(ctx, at)
	if err != nil {
		return "", manifests.Digest{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", manifests.Digest{}, err
	}
	is := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	if strings.HasPrefix(string(want), "sha512:") {
		is = fmt.Sprintf("sha512:%x", sha512.Sum512(data))
	}
	if int64(len(data)) != size || is != string(want) {
		return "", manifests.Digest{}, fmt.Errorf("%s: %d bytes with %s: want %d with %s", at, len(data), is, size, want)
	}
	return path, manifests.DigestOf(data), nil
}

func (f FolderFetcher) path(ctx context.Context, at string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(at, strings.TrimRight(f.URL, "/")+"/")
	if !ok {
		return "", fmt.Errorf("%s: not below %s", at, f.URL)
	}
	name, err := url.PathUnescape(rest)
	if err != nil || !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s: want a path below %s", at, f.URL)
	}
	return filepath.Join(f.Dir, name), nil
}
