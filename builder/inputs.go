package builder

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/overlay"
	"github.com/proa-os/proa/builder/provenance"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/sparse"
)

// ErrChanged says that an archive of this machine is not the one that was
// locked.
var ErrChanged = errors.New("the lock says otherwise")

// inputDigests are what the build reads, for its provenance. Archives and folders are
// digested in the background.
type inputDigests struct {
	group   *errgroup.Group
	streams map[string]hash.Hash // of what can be read once, by the source's name

	mu    sync.Mutex
	found map[int][]provenance.Input // by the index of the source; others by -1
	files map[string]fs.FileInfo     // archives that are read where they are, as they were before
}

// digestInputs begins to digest what is on this machine.
func (b *build) digestInputs(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	b.background.Go(func() { <-ctx.Done(); group.Wait() })
	b.inputs = &inputDigests{group: group, streams: map[string]hash.Hash{}, found: map[int][]provenance.Input{}, files: map[string]fs.FileInfo{}}
	b.inputs.addFile("proa-init", b.Init)
	if b.Agent != nil {
		b.inputs.addFile("proa-agent", b.Agent.Program)
	}
	for i, s := range b.Recipe.Sources {
		if s.Tar == "-" {
			continue
		}
		if path := b.inFolder(s.Tar + s.OCI); s.Tar != "" || s.OCI != "" && !s.InRegistry() {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				b.inputs.files[path] = info
			}
		}
		group.Go(func() error {
			found, err := b.digestSource(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name(), err)
			}
			b.inputs.add(i, found...)
			return nil
		})
	}
	return nil
}

func (in *inputDigests) add(source int, found ...provenance.Input) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.found[source] = append(in.found[source], found...)
}

// addFile adds what no source brings.
func (in *inputDigests) addFile(name string, content []byte) {
	in.add(otherInputs, provenance.Input{Name: name, Digest: manifests.DigestOf(content)})
}

// digestSource digests what a source reads from this machine, or finds in the
// lock what it stands for.
func (b *build) digestSource(ctx context.Context, s manifests.Source) ([]provenance.Input, error) {
	found := []provenance.Input{}
	for _, key := range s.Keys() {
		digest, err := digestOf(ctx, b.inFolder(key))
		if err != nil {
			return nil, err
		}
		found = append(found, provenance.Input{Name: "key " + key, Digest: digest})
	}
	if s.Locked() {
		locked, err := b.locked(s)
		return append(provenance.Inputs(locked), found...), err
	}
	if s.Dir != "" {
		digest, err := overlay.Digest(ctx, b.inFolder(s.Dir))
		return append(found, provenance.Input{Name: s.Name(), Digest: digest}), err
	}
	if vendored, ok := b.vendored(s); ok {
		return append(found, provenance.Inputs(vendored)...), nil
	}
	file, err := resolve.Digest(ctx, s, b.Arch, b.Folder)
	want := b.lockedFile(s)
	switch {
	case errors.Is(err, resolve.ErrPipe) && want == nil:
		return found, nil
	case errors.Is(err, resolve.ErrPipe):
		return nil, fmt.Errorf("%w: %w", err, ErrChanged)
	case err != nil:
		return nil, err
	case want != nil && *want != file:
		return nil, fmt.Errorf("%s: %w: %s", file.Digest, ErrChanged, want.Digest)
	}
	return append(found, provenance.Input{Name: s.Name(), Digest: file.Digest}), nil
}

// lockedFile is what the lock says of an archive or layout folder; nil where
// it says nothing.
func (b *build) lockedFile(s manifests.Source) *manifests.FetchFile {
	locked, err := b.locked(s)
	if err != nil {
		return nil
	}
	return locked.File
}

// unchanged makes sure that archives, which are digested in one read and built
// from another, were the same in both: since before the first of them, nobody
// has written to their files or put others in their place.
func (in *inputDigests) unchanged() error {
	for _, path := range slices.Sorted(maps.Keys(in.files)) {
		was := in.files[path]
		is, err := os.Stat(path)
		if err != nil {
			return err
		}
		a, _ := was.Sys().(*syscall.Stat_t)
		b, _ := is.Sys().(*syscall.Stat_t)
		if !os.SameFile(was, is) || a.Size != b.Size || a.Mtim != b.Mtim || a.Ctim != b.Ctim {
			return fmt.Errorf("%s was changed while it was read", path)
		}
	}
	return nil
}

// cause is why a step came to err: an archive that is not the one that was
// locked, where there is one, since all else may come of that.
func (b *build) cause(ctx context.Context, err error) error {
	if b.inputs == nil || ctx.Err() != nil {
		return err
	}
	if changed := b.inputs.group.Wait(); errors.Is(changed, ErrChanged) {
		return changed
	}
	return err
}

func digestOf(ctx context.Context, path string) (manifests.Digest, error) {
	_, sum, err := sparse.Digest(ctx, path, nil)
	return sum, err
}

// digestStream digests what can be read once, as it is read.
func (in *inputDigests) digestStream(s manifests.Source, r io.Reader) io.Reader {
	sum := sha256.New()
	in.streams[s.Name()] = sum
	return io.TeeReader(r, sum)
}

// allInputs waits until everything is digested. The order is that of the
// recipe.
func (b *build) allInputs() ([]provenance.Input, error) {
	if err := b.inputs.group.Wait(); err != nil {
		return nil, err
	}
	if err := b.inputs.unchanged(); err != nil {
		return nil, err
	}
	var all []provenance.Input
	for i, s := range b.Recipe.Sources {
		if sum, ok := b.inputs.streams[s.Name()]; ok {
			b.inputs.add(i, provenance.Input{Name: s.Name(), Digest: manifests.Digest(sum.Sum(nil))})
		}
		all = append(all, b.inputs.found[i]...)
	}
	others := b.inputs.found[otherInputs]
	slices.SortFunc(others, func(a, b provenance.Input) int { return cmp.Compare(a.Name, b.Name) })
	return append(all, others...), nil
}

// otherInputs is where inputs stand that no source brings.
const otherInputs = -1
