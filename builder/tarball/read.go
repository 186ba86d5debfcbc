package tarball

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/progress"
)

// Summary is what Read saw.
type Summary struct {
	Entries int
	Ended   bool // the archive has its end mark, a block of zeros
}

// Read calls fn for every entry of the plain archive r in its order, with the
// contents in the store, and then reads r to its end. Source is what the nodes
// say they come from.
func Read(ctx context.Context, store *content.Store, source string, r io.Reader, fn func(tree.Entry) error) (Summary, error) {
	return read(ctx, store, source, &archive{r: r}, progress.Silent().Step("", 0), fn)
}

func read(ctx context.Context, store *content.Store, source string, a *archive, step progress.Step, fn func(tree.Entry) error) (Summary, error) {
	r := &reader{store: store, source: source, archive: a}
	r.tar = tar.NewReader(a)
	if a.at != nil {
		r.tar = tar.NewReader(seekable{a})
	}
	var sum Summary
	for {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		before := a.n
		header, err := r.next()
		if err == io.EOF {
			sum.Ended = a.ended()
			return sum, r.drain()
		}
		if err != nil && sum.Entries == 0 && errors.Is(err, tar.ErrHeader) {
			return sum, errors.New("not a tar archive: want tar, plain or compressed with gzip, bzip2, xz or zstd")
		}
		if err != nil {
			if sum.Entries == 0 {
				return sum, fmt.Errorf("not a tar archive: %w", err)
			}
			return sum, fmt.Errorf("after %d entries: %w", sum.Entries, err)
		}
		if err := r.entry(ctx, header, fn); err != nil {
			return sum, err
		}
		sum.Entries++
		step.Add(a.n - before)
	}
}

// reader turns the headers of one archive into nodes.
type reader struct {
	store   *content.Store
	source  string
	archive *archive
	tar     *tar.Reader
	sparse  int64 // bytes that sparse files have expanded to
}

// next is the next header that describes a file. Global PAX headers and volume
// labels are passed over.
func (r *reader) next() (*tar.Header, error) {
	for {
		r.archive.inHeaders = true
		header, err := r.tar.Next()
		r.archive.inHeaders = false
		switch {
		case (errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)) && r.archive.ended():
			return nil, io.EOF // rubbish behind one block of zeros
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			return nil, err
		case header.Typeflag != tar.TypeXGlobalHeader && header.Typeflag != gnuVolumeLabel:
			return header, nil
		}
	}
}

// drain reads what is behind the end mark, so that the checksums at the end of
// a compressed stream are looked at.
func (r *reader) drain() error {
	if r.archive.at != nil {
		return nil
	}
	_, err := io.Copy(io.Discard, r.archive.r)
	return err
}

func (r *reader) entry(ctx context.Context, h *tar.Header, fn func(tree.Entry) error) error {
	e := tree.Entry{Path: trimSlashes(h.Name)}
	if h.Typeflag == tar.TypeLink {
		e.Link = trimSlashes(h.Linkname)
		return fn(e)
	}
	n, err := nodeOf(h)
	if err != nil {
		return fmt.Errorf("entry %.200q: %w", h.Name, err)
	}
	n.Source = r.source
	if n.Kind == tree.File {
		if n.Content, err = r.content(ctx, h); err != nil {
			return fmt.Errorf("entry %.200q: %w", h.Name, err)
		}
	}
	e.Node = n
	return fn(e)
}

// content refers to the file's bytes in place, or keeps a copy of them.
func (r *reader) content(ctx context.Context, h *tar.Header) (tree.Content, error) {
	switch {
	case h.Size == 0:
		return tree.Content{}, nil
	case isSparse(h):
		return r.store.Spool(ctx, &sparseReader{r})
	case r.archive.at != nil && h.Size > r.archive.size-r.archive.n:
		return tree.Content{}, io.ErrUnexpectedEOF
	case r.archive.at != nil:
		return tree.Content{At: r.archive.at, Offset: r.archive.n, Size: h.Size}, nil
	}
	return r.store.Spool(ctx, r.tar)
}

// sparseReader bounds what holes expand to, as Expand does for compression.
type sparseReader struct{ *reader }

func (s *sparseReader) Read(p []byte) (int, error) {
	n, err := s.tar.Read(p)
	s.sparse += int64(n)
	if bomb := s.store.Limits().CheckExpansion(s.archive.n, s.sparse); bomb != nil {
		return 0, fmt.Errorf("sparse file: %w", bomb)
	}
	return n, err
}
