package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/regular"
)

// deltaMaker makes deltas to one release.
type deltaMaker struct {
	*repository
	folder    *releaseFolder
	transport *manifests.Transport
	work      string // a folder that goes away
	image     *os.File
	files     filemap.Map
	leaves    leafHashes
	index     *chunkindex.Index
}

// addDeltas makes the deltas from older releases that the transport lacks, and
// adds them. It leaves out, and says so, those from releases that are unusable,
// and those that would be no less to fetch than what their hosts lack of the
// image, with its index.
func (r *repository) addDeltas(ctx context.Context, folder *releaseFolder, transport *manifests.Transport, older []listed) (leftOut []LeftOut, err error) {
	leftOut = []LeftOut{}
	var missing []listed
	for _, l := range older {
		if !slices.ContainsFunc(transport.Deltas, func(d manifests.Delta) bool { return d.Version == l.version }) {
			missing = append(missing, l)
		}
	}
	if len(missing) == 0 {
		return leftOut, nil
	}
	m := &deltaMaker{repository: r, folder: folder, transport: transport}
	if m.work, err = durable.TempFolder(filepath.Join(r.Dir, artifactsFolder)); err != nil {
		return nil, err
	}
	defer os.RemoveAll(m.work)
	if err := m.open(ctx); err != nil {
		return nil, err
	}
	defer m.image.Close()
	for _, l := range missing {
		why, err := m.add(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("delta from version %s: %w", l.version, err)
		}
		if why != "" {
			leftOut = append(leftOut, LeftOut{l.version, why})
		}
	}
	slices.SortFunc(transport.Deltas, func(a, b manifests.Delta) int { return b.Version.Compare(a.Version) })
	transport.Deltas = transport.Deltas[:min(len(transport.Deltas), manifests.DeltasMost)]
	return leftOut, nil
}

// open reads what all deltas need of the new release.
func (m *deltaMaker) open(ctx context.Context) error {
	a, err := rootArtifact(m.folder.release)
	if err != nil {
		return err
	}
	if m.index, err = m.repository.index(m.folder.release, *m.transport); err != nil {
		return err
	}
	if m.files, err = m.folder.files(ctx, a.Size); err != nil {
		return err
	}
	if m.image, err = m.folder.open(a); err != nil {
		return err
	}
	root := m.folder.release.Root
	m.leaves, err = verity.HashImage(ctx, m.image, root.Blocks, root.Salt, 0, nil)
	if err != nil {
		m.image.Close()
	}
	return err
}

// add makes the delta from one release, or says why there is none. One older
// image is on the disk at a time.
func (m *deltaMaker) add(ctx context.Context, l listed) (leftOut string, err error) {
	path := filepath.Join(m.work, "old")
	image, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer os.Remove(path)
	defer image.Close()
	hashes := &leafHasher{salt: m.folder.release.Root.Salt}
	old, err := m.unpackBase(ctx, l, hashes.salt, io.MultiWriter(image, hashes))
	if isUnusable(err) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	files, err := m.storedFiles(old)
	if err != nil {
		return "", err
	}
	step := m.Progress.Step("make delta from "+string(l.version), int64(m.folder.release.Root.Blocks)*manifests.BlockSize)
	defer func() { step.Done(err) }()
	file := filepath.Join(m.work, "delta")
	made, err := deltas.Make(ctx, deltas.Making{
		Old:  deltas.Source{Image: image, Map: files, Root: old.Root},
		New:  deltas.Source{Image: m.image, Map: m.files, Root: m.folder.release.Root},
		Path: file,
		Step: step,
	})
	if errors.Is(err, deltas.ErrTooManyParts) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	if without := m.chunksToFetch(hashes.leaves); made.Size >= without {
		return fmt.Sprintf("it would have %d bytes, and without it a host fetches %d", made.Size, without), os.Remove(file)
	}
	if err := adopt(file, m.Dir, made.Digest); err != nil {
		return "", err
	}
	m.transport.Deltas = append(m.transport.Deltas, manifests.Delta{
		Base:      old.Root.Hash,
		Version:   old.Version,
		FetchFile: manifests.FetchFile{Size: made.Size, Digest: made.Digest},
		Header:    manifests.FetchFile{Size: made.HeaderSize, Digest: made.HeaderDigest},
	})
	return "", nil
}

// storedFiles says where files lie in the root image of a release that is
// published; nil when it does not tell, or not any more.
func (m *deltaMaker) storedFiles(release manifests.Release) (filemap.Map, error) {
	a, ok := release.Artifact(manifests.RootMapFile)
	if !ok {
		return nil, nil
	}
	text, err := regular.Read(filepath.Join(m.Dir, filepath.FromSlash(manifests.ArtifactPath(a.Digest))), filemap.BytesMost)
	if errors.Is(err, fs.ErrNotExist) || err == nil && manifests.DigestOf(text) != a.Digest {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return filemap.Parse(text)
}

// chunksToFetch is the bytes that a host fetches which has the older image, and no
// delta.
func (m *deltaMaker) chunksToFetch(old leafHashes) int64 {
	size := m.transport.Index.Size
	places := m.leaves.placesIn(old)
	for _, c := range m.index.Chunks {
		if !together(places[c.Offset/manifests.BlockSize:][:c.Size/manifests.BlockSize]) {
			size += c.Encoded
		}
	}
	return size
}

// together reports whether blocks are one behind the other in an older image.
func together(places []int) bool {
	for n, p := range places {
		if p < 0 || p != places[0]+n {
			return false
		}
	}
	return true
}

// adopt makes a file that is durable already an artifact.
func adopt(path, repository string, d manifests.Digest) error {
	to := filepath.Join(repository, filepath.FromSlash(manifests.ArtifactPath(d)))
	if err := durable.MakeFolder(filepath.Dir(to)); err != nil {
		return err
	}
	if err := os.Rename(path, to); err != nil {
		return err
	}
	return durable.SyncFolder(filepath.Dir(to))
}
