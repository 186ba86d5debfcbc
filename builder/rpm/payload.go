package rpm

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/proa-os/proa/builder/content"
)

// fileDigests are the algorithms of file digests by OpenPGP's number. What is
// weak today is no gap: the payload as a whole has a SHA-256.
var fileDigests = map[uint64]func() hash.Hash{
	1: md5.New, algoSHA1: sha1.New, algoSHA2: sha256.New, 9: sha512.New384, 10: sha512.New, 11: sha256.New224,
}

// readPayload reads the archive and keeps the contents of files. It returns
// how many bytes the archive has.
func (o *opened) readPayload(ctx context.Context, store *content.Store, files []*file) (int64, error) {
	algo, err := o.header.number(tagFileDigestAlgo, 1)
	if err != nil {
		return 0, err
	}
	newHash := fileDigests[algo]
	if newHash == nil {
		return 0, fmt.Errorf("file digests of algorithm %d: want one of 1, 2 and 8 to 11", algo)
	}
	expanded, err := o.expand(ctx, store)
	if err != nil {
		return 0, err
	}
	defer expanded.Close()
	p := &payloadReader{store: store, archive: newArchive(expanded), files: files, newHash: newHash, byPath: map[string]*file{}}
	for _, f := range files {
		p.byPath[f.path] = f
	}
	if err := p.read(ctx); err != nil {
		return 0, fmt.Errorf("the payload: %w", err)
	}
	return p.archive.n, nil
}

// expand undoes the compression, which must be the one that the header names.
func (o *opened) expand(ctx context.Context, store *content.Store) (*content.Expanded, error) {
	format, err := o.header.string(tagPayloadFormat)
	if err != nil {
		return nil, err
	}
	if format != "cpio" && format != "" {
		return nil, fmt.Errorf("a payload of format %.50q: want cpio", format)
	}
	compressor, err := o.header.string(tagCompressor)
	if err != nil {
		return nil, err
	}
	if compressor == "" {
		compressor = "gzip"
	}
	expanded, err := store.Expand(ctx, io.NewSectionReader(o.file, o.payload, o.size-o.payload))
	if err != nil {
		return nil, fmt.Errorf("the payload: %w", err)
	}
	if expanded.Format.String() != compressor {
		expanded.Close()
		return nil, fmt.Errorf("the payload is %s, but the header says %.50q: want both gzip, bzip2, xz or zstd", expanded.Format, compressor)
	}
	return expanded, nil
}

// payloadReader goes with one archive.
type payloadReader struct {
	store   *content.Store
	archive *archive
	files   []*file
	byPath  map[string]*file
	newHash func() hash.Hash
}

func (p *payloadReader) read(ctx context.Context) error {
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := p.archive.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d files: %w", n, err)
		}
		f, err := p.find(m)
		if err != nil {
			return err
		}
		f.seen = true
		if m.stripped() {
			m.size = f.expected()
		}
		if err := p.take(ctx, f, m.size); err != nil {
			return fmt.Errorf("file %.200q: %w", f.path, err)
		}
	}
	for _, f := range p.files {
		if !f.ghost() && !f.seen {
			return fmt.Errorf("file %.200q is missing", f.path)
		}
		if f.is(modeRegular) && !f.ghost() && f.first().content.Size != f.size {
			return fmt.Errorf("file %.200q has no content under any of its names", f.path)
		}
	}
	return p.archive.drain()
}

// take reads the size bytes that the archive has for a file.
func (p *payloadReader) take(ctx context.Context, f *file, size int64) error {
	switch {
	case f.is(modeLink):
		return p.takeTarget(f, size)
	case !f.is(modeRegular):
		if size != 0 {
			return fmt.Errorf("it has %d bytes, but is not a regular file", size)
		}
		return nil
	case size == 0 && f.set != nil && f.size > 0:
		return nil // the contents come under another name
	case size != f.size:
		return fmt.Errorf("it has %d bytes, want the header's %d", size, f.size)
	case f.first().content.Size > 0:
		return errors.New("the contents are there under another of its names already")
	}
	sum := p.newHash()
	c, err := p.store.Spool(ctx, io.TeeReader(io.LimitReader(p.archive, size), sum))
	if err != nil {
		return err
	}
	if c.Size != size {
		return io.ErrUnexpectedEOF
	}
	if got := hexSum(sum); got != f.digest {
		return fmt.Errorf("its contents have the digest %s, want the header's %.128q", got, f.digest)
	}
	f.first().content = c
	return nil
}

// takeTarget compares the archive's target of a link with the header's.
func (p *payloadReader) takeTarget(f *file, size int64) error {
	if size != int64(len(f.target)) {
		return fmt.Errorf("its target has %d bytes, want the header's %.200q", size, f.target)
	}
	target := make([]byte, size)
	if err := p.archive.full(target); err != nil {
		return err
	}
	if string(target) != f.target {
		return fmt.Errorf("its target is %.200q, want the header's %.200q", target, f.target)
	}
	return nil
}

// find is the file of the header that an entry of the archive is for.
func (p *payloadReader) find(m member) (*file, error) {
	var f *file
	if m.stripped() {
		if m.index >= len(p.files) {
			return nil, fmt.Errorf("file %d of %d", m.index, len(p.files))
		}
		f = p.files[m.index]
	} else {
		name := strings.TrimPrefix(m.name, ".")
		if !strings.HasPrefix(name, "/") {
			name = "/" + m.name
		}
		if f = p.byPath[strings.TrimPrefix(name, "/")]; name == "/" {
			f = p.byPath["."]
		}
		if f == nil {
			return nil, fmt.Errorf("file %.200q is not in the header", m.name)
		}
	}
	switch {
	case f.ghost():
		return nil, fmt.Errorf("file %.200q is a %%ghost, and must not be there", f.path)
	case f.seen:
		return nil, fmt.Errorf("file %.200q is there twice", f.path)
	}
	return f, nil
}
