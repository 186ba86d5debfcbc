package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// checkArtifacts reads every artifact that a release refers to, several at once.
func (c *checking) checkArtifacts(ctx context.Context) error {
	var digests []manifests.Digest
	for digest := range c.artifacts {
		digests = append(digests, digest)
	}
	slices.SortFunc(digests, func(a, b manifests.Digest) int { return strings.Compare(a.Hex(), b.Hex()) })
	found := make([]error, len(digests))
	step := c.cfg.Progress.Step("read artifacts", c.Size)
	work, inner := errgroup.WithContext(ctx)
	work.SetLimit(runtime.GOMAXPROCS(0))
	for n, digest := range digests {
		work.Go(func() error {
			file := manifests.FetchFile{Size: c.artifacts[digest].size, Digest: digest}
			if c.cfg.SizesOnly {
				found[n] = c.checkSize(file)
			} else {
				found[n] = c.checkArtifact(inner, file)
			}
			step.Add(file.Size)
			return inner.Err()
		})
	}
	err := work.Wait()
	step.Done(err)
	if err != nil {
		return err
	}
	for n, err := range found {
		path, what := manifests.ArtifactPath(digests[n]), c.artifacts[digests[n]].what
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.wrong(path, "it is missing: the %s", what)
		case err != nil:
			c.wrong(path, "%v: the %s", err, what)
		}
	}
	return nil
}

func (c *checking) checkSize(file manifests.FetchFile) error {
	f, info, err := regular.Open(filepath.Join(c.Dir, filepath.FromSlash(manifests.ArtifactPath(file.Digest))))
	if err != nil {
		return err
	}
	f.Close()
	if info.Size() != file.Size {
		return fmt.Errorf("%d bytes, want %d", info.Size(), file.Size)
	}
	return nil
}

// checkLeftovers names what lies in the folder and is not known. Earlier versions of
// what is known are counted alone.
func (c *checking) checkLeftovers(ctx context.Context) error {
	return filepath.WalkDir(c.Dir, func(file string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		name, relErr := filepath.Rel(c.Dir, file)
		if err = errors.Join(err, relErr); err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case durable.IsTemp(entry.Name()):
			c.note(name, "an interrupted command left it: the next one removes it")
			if entry.IsDir() {
				return fs.SkipDir
			}
		case entry.IsDir() || c.known[name] || name == lockFile:
		case c.isSuperseded(file, name):
			c.Superseded++
		default:
			c.note(name, "nothing that is signed refers to it")
		}
		return nil
	})
}

// isSuperseded reports whether a file is metadata of an earlier version, or what a
// target that is listed still held before.
func (c *checking) isSuperseded(file, name string) bool {
	folder, base := path.Split(name)
	before, rest, ok := strings.Cut(base, ".")
	if !ok {
		return false
	}
	if folder == metadataFolder+"/" {
		version, err := strconv.ParseInt(before, 10, 64)
		role, isJSON := strings.CutSuffix(rest, ".json")
		current := fmt.Sprintf("%s%d.%s.json", folder, c.meta.Version(signing.Role(role)), role)
		return err == nil && isJSON && version > 0 && c.known[current] && version < c.meta.Version(signing.Role(role))
	}
	target, ok := strings.CutPrefix(folder+rest, targetsFolder+"/")
	if _, _, listed := c.meta.Target(target); !ok || !listed {
		return false
	}
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() || info.Size() > manifests.DocumentMost {
		return false
	}
	content, err := os.ReadFile(file)
	return err == nil && manifests.DigestOf(content).Hex() == before
}
