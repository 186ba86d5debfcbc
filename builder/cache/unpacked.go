package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
)

// Unpacked is what an archive holds: its files in their order, with contents
// by reference, and what its unpacker says besides, as JSON.
type Unpacked struct {
	Entries []tree.Entry
	About   []byte
}

// Unpack unpacks an archive into a store of its own, which is bounded like the
// one that Unpacked was given.
type Unpack func(ctx context.Context, into *content.Store) (Unpacked, error)

// An unpacked archive is one file: all contents one behind the other, the
// index, which has their digests, and 64 bytes that end it:
//
//	 0  magic
//	16  length of the contents, length of the index: 8 bytes each, little endian
//	32  SHA-256 of the index
const (
	magic     = "proa unpacked 2\n"
	footerLen = 64
	maxIndex  = 1 << 30 // bytes; a tree's limits are far below
)

type footer struct {
	contents, index int64
	indexSum        manifests.Digest
}

// kindName is a kind as it is used in file names.
var kindName = regexp.MustCompile(`^[a-z0-9][a-z0-9 ._-]{0,63}$`)

// Unpacked returns what the archive with the given digest holds, and unpacks it
// first where that has not been done. Kind names the format and the version of
// how it is unpacked, such as "deb 1", so that a newer proa unpacks anew. Of
// several callers, also in other processes, one unpacks and the others wait.
//
// Contents are read from the cache, through a bounded number of open files.
func (c *Cache) Unpacked(ctx context.Context, store *content.Store, d manifests.Digest, kind string, unpack Unpack) (Unpacked, error) {
	if !kindName.MatchString(kind) {
		return Unpacked{}, fmt.Errorf("kind %q of unpacked archives: want lower-case letters, digits and . _ -", kind)
	}
	path := filepath.Join(c.dir, unpacked, kind, d.Hex())
	if u, err := c.load(path, d, kind, true); err == nil {
		return u, nil
	}
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return Unpacked{}, fmt.Errorf("making the cache: %w", err)
	}
	release, err := c.hold(ctx, kind+" "+d.Hex())
	if err != nil {
		return Unpacked{}, err
	}
	defer release()
	// Whatever keeps it from being read is mended by writing it anew, or shows
	// up again after that.
	if u, err := c.load(path, d, kind, true); err == nil {
		return u, nil
	}
	if err := c.unpack(ctx, store.Limits(), path, d, kind, unpack); err != nil {
		return Unpacked{}, err
	}
	return c.load(path, d, kind, true)
}

func (c *Cache) unpack(ctx context.Context, limits content.Limits, path string, d manifests.Digest, kind string, unpack Unpack) error {
	file, err := durable.Create(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("unpacking to the cache: %w", err)
	}
	defer file.Discard()
	store := content.NewOn(file.File, limits)
	defer store.Close()
	u, err := unpack(ctx, store)
	if err != nil {
		return err
	}
	if err := gather(ctx, store, u.Entries); err != nil {
		return fmt.Errorf("unpacking to the cache: %w", err)
	}
	size, err := store.Flush()
	if err != nil {
		return fmt.Errorf("unpacking to the cache: %w", err)
	}
	if err := digest(ctx, u.Entries); err != nil {
		return fmt.Errorf("unpacking to the cache: %w", err)
	}
	index, err := encode(d, kind, u, store.Offset)
	if err != nil {
		return err
	}
	f := footer{size, int64(len(index)), manifests.DigestOf(index)}
	if _, err = file.WriteAt(append(index, f.encode()...), size); err == nil {
		err = file.Commit(path, 0o444)
	}
	if err != nil {
		return fmt.Errorf("unpacking to the cache: %w", err)
	}
	return nil
}

// gather spools the contents that are kept elsewhere.
func gather(ctx context.Context, store *content.Store, entries []tree.Entry) error {
	for _, e := range entries {
		if e.Node == nil || e.Node.Content.Size == 0 {
			continue
		}
		if _, here := store.Offset(e.Node.Content); here {
			continue
		}
		kept, err := store.Spool(ctx, e.Node.Content.Open())
		if err == nil && kept.Size != e.Node.Content.Size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("%.100q: %w", e.Path, err)
		}
		e.Node.Content = kept
	}
	return nil
}

// digest digests the contents once and for all builds.
func digest(ctx context.Context, entries []tree.Entry) error {
	nodes := filesOf(entries)
	sums, err := content.Sum(ctx, nodes)
	if err != nil {
		return err
	}
	for i, n := range nodes {
		n.Content.Sums = &sums[i]
	}
	return nil
}

// filesOf are the nodes of entries that have content, each once.
func filesOf(entries []tree.Entry) []*tree.Node {
	var nodes []*tree.Node
	seen := map[*tree.Node]bool{}
	for _, e := range entries {
		if e.Node != nil && e.Node.Content.Size > 0 && !seen[e.Node] {
			seen[e.Node] = true
			nodes = append(nodes, e.Node)
		}
	}
	return nodes
}

// load reads the index of an unpacked archive. Contents are not read.
// Touch notes that it was used.
func (c *Cache) load(path string, d manifests.Digest, kind string, touch bool) (Unpacked, error) {
	file, err := os.Open(path)
	if err != nil {
		return Unpacked{}, err
	}
	defer file.Close()
	f, index, err := readIndex(file)
	if err != nil {
		return Unpacked{}, fmt.Errorf("unpacked archive %s: %w", path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return Unpacked{}, err
	}
	u, err := decode(index, d, kind, &contents{files: &c.files, path: path, is: info}, f.contents)
	if err != nil {
		return Unpacked{}, fmt.Errorf("unpacked archive %s: %w", path, err)
	}
	if touch {
		used(path)
	}
	return u, nil
}

var errDamaged = errors.New("damaged")

// readIndex reads and checks what is behind the contents.
func readIndex(file *os.File) (footer, []byte, error) {
	info, err := file.Stat()
	if err != nil {
		return footer{}, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() < footerLen {
		return footer{}, nil, errDamaged
	}
	end := make([]byte, footerLen)
	if _, err := file.ReadAt(end, info.Size()-footerLen); err != nil {
		return footer{}, nil, err
	}
	f, err := decodeFooter(end, info.Size())
	if err != nil {
		return footer{}, nil, err
	}
	index := make([]byte, f.index)
	if _, err := file.ReadAt(index, f.contents); err != nil {
		return footer{}, nil, err
	}
	if manifests.DigestOf(index) != f.indexSum {
		return footer{}, nil, errDamaged
	}
	return f, index, nil
}

func (f footer) encode() []byte {
	b := append(make([]byte, 0, footerLen), magic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.contents))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.index))
	return append(b, f.indexSum[:]...)
}

// decodeFooter checks the lengths against the size of the file that b ends.
func decodeFooter(b []byte, size int64) (footer, error) {
	f := footer{
		contents: int64(binary.LittleEndian.Uint64(b[16:])),
		index:    int64(binary.LittleEndian.Uint64(b[24:])),
	}
	copy(f.indexSum[:], b[32:])
	if string(b[:len(magic)]) != magic || f.index < 0 || f.index > maxIndex || f.contents != size-footerLen-f.index || f.contents < 0 {
		return footer{}, errDamaged
	}
	return f, nil
}

// contents reads the file of an unpacked archive, opening it where needed.
type contents struct {
	files *files
	path  string
	is    fs.FileInfo // what was checked when the index was read
}

// ReadAt implements io.ReaderAt.
func (c *contents) ReadAt(p []byte, offset int64) (int, error) {
	file, release, err := c.files.open(c.path, c.is)
	if err != nil {
		return 0, err
	}
	defer release()
	return file.ReadAt(p, offset)
}
