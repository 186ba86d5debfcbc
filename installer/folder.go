package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/regular"
)

var (
	// ErrNotRelease is wrapped by the error of what holds no release.
	ErrNotRelease = errors.New("it holds no release")
	// ErrNotInstallable is wrapped by the error of a release without the files that
	// an installer needs.
	ErrNotInstallable = errors.New("it was built without what installers need")
)

const releaseMost = 4 << 20 // bytes of a release.json

// folder is a release at hand: a folder of files, and where the root image is.
type folder struct {
	release manifests.Release
	layout  manifests.Layout
	files   artifacts
	root    *os.File
}

// OpenFolder opens the output folder of a build. Who made it is not looked at; that
// every file is the one that its release.json lists, is.
func OpenFolder(ctx context.Context, path string) (Source, error) {
	return openFolder(ctx, path, filepath.Join(path, manifests.RootFile))
}

func openFolder(ctx context.Context, path, root string) (Source, error) {
	text, err := regular.Read(filepath.Join(path, manifests.ReleaseFile), releaseMost)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrNotRelease, err)
	}
	if err != nil {
		return nil, err
	}
	f := &folder{files: func(_ context.Context, a manifests.Artifact) ([]byte, error) { return readArtifact(path, a) }}
	if f.release, err = manifests.ParseRelease(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.layout, err = f.files.layout(ctx, f.release); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.root, _, err = regular.OpenDisk(root); err != nil {
		return nil, err
	}
	return f, nil
}

func readArtifact(folder string, a manifests.Artifact) ([]byte, error) {
	content, err := regular.Read(filepath.Join(folder, a.Name), a.Size)
	if err != nil {
		return nil, err
	}
	if got := manifests.DigestOf(content); got != a.Digest {
		return nil, fmt.Errorf("%s is %s: the release lists %s", filepath.Join(folder, a.Name), got, a.Digest)
	}
	return content, nil
}

func (f *folder) Release() manifests.Release { return f.release }
func (f *folder) Layout() manifests.Layout   { return f.layout }

func (f *folder) BootFiles(ctx context.Context) (map[string]diskimage.Source, error) {
	return f.files.bootFiles(ctx, f.release)
}

func (f *folder) Fill(ctx context.Context, to filling) error { return to.fillFrom(ctx, f.root) }

func (f *folder) Close() error { return f.root.Close() }
