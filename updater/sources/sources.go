// Package sources is where the parts of a release come from: folders, neighbours,
// and the repository, in that order. A file is the same wherever it is, since it is
// named by its digest; so a source needs no trust, and one that has nothing, stalls,
// or gives something else costs only the next one being asked.
//
// Of a Set, Bytes gets small things whole. Files gives one file at all sources, for
// somebody who proves its parts as they come.
package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync/atomic"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
)

// Kind is what a source is.
type Kind string

// The kinds.
const (
	Folder     Kind = "folder"
	Neighbour  Kind = "neighbour"
	Repository Kind = "repository"
)

// Source is one place. It is safe for concurrent use.
type Source struct {
	Kind Kind
	Name string // for people: its URL or path

	client   *fetch.Client
	before   int64 // bytes that the client had received
	failures atomic.Int32
	why      atomic.Pointer[error] // of the last failure
}

// Set is sources in the order in which they are asked. The last one is the
// repository, which is never dropped.
type Set []*Source

// Add appends a source.
func (s *Set) Add(kind Kind, name string, client *fetch.Client) {
	*s = append(*s, &Source{Kind: kind, Name: name, client: client, before: client.Received()})
}

// What failures of a source weigh, and what drops it: a few parts that are wrong, or
// two times that it did not answer, each of which has cost more. One to which there is
// no connection is dropped at once: there may be many such neighbours.
const (
	wrongWeighs  = 1
	absentWeighs = 2
	weightMost   = 4
)

// Files is the file at each of the sources.
func (s Set) Files(file manifests.FetchFile) []*File {
	files := make([]*File, len(s))
	for i, source := range s {
		files[i] = &File{
			Source: source,
			object: source.client.Object(manifests.ArtifactPath(file.Digest), file.Size),
			size:   file.Size,
		}
	}
	return files
}

// Bytes gets the part of a file that begins at from and has a digest of its own,
// from the first source that has it. The error is that of the last: a *fetch.Error,
// or one that wraps fetch.ErrContent.
func (s Set) Bytes(ctx context.Context, file manifests.FetchFile, from int64, part manifests.FetchFile) ([]byte, error) {
	data := make([]byte, part.Size)
	var err error
	for i, f := range s.Files(file) {
		if !f.Usable() && i < len(s)-1 {
			continue
		}
		if err = f.read(ctx, data, from, part.Digest); err == nil {
			return data, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		f.Failed(err)
	}
	return nil, err
}

// Holder is the first source that says that it has the file, or nil. It asks for
// one byte.
func (s Set) Holder(ctx context.Context, file manifests.FetchFile) *Source {
	for _, f := range s.Files(file) {
		if !f.Usable() {
			continue
		}
		stream := f.object.Range(ctx, 0, 1)
		_, err := io.ReadFull(stream, make([]byte, 1))
		stream.Close()
		if err == nil {
			return f.Source
		}
		f.Failed(err)
	}
	return nil
}

// Received is the bytes that came from sources of a kind since they were added.
func (s Set) Received(kind Kind) (n int64) {
	for _, source := range s {
		if source.Kind == kind {
			n += source.client.Received() - source.before
		}
	}
	return n
}

// Notes says which sources were dropped.
func (s Set) Notes() (notes []string) {
	for _, source := range s {
		if !source.usable() {
			notes = append(notes, fmt.Sprintf("%s %s was given up: %v", source.Kind, source.Name, *source.why.Load()))
		}
	}
	return notes
}

func (s *Source) usable() bool { return s.failures.Load() < weightMost }

// File is a file at one source. It is safe for concurrent use.
type File struct {
	*Source
	object   *fetch.Object
	size     int64
	failures atomic.Int32
}

// Each is fetch.Object.Each.
func (f *File) Each(ctx context.Context, spans []fetch.Span, parallel int, take func(n int, r io.Reader) error) error {
	return f.object.Each(ctx, spans, parallel, take)
}

// Range is fetch.Object.Range.
func (f *File) Range(ctx context.Context, from, to int64) io.ReadCloser {
	return f.object.Range(ctx, from, to)
}

// Usable reports whether it is worth asking for the file there.
func (f *File) Usable() bool { return f.failures.Load() < weightMost && f.usable() }

// Failed notes that what the file gave, or did not give, was of no use. A source
// that does not have the file may have others.
func (f *File) Failed(err error) {
	weight := int32(wrongWeighs)
	var network *fetch.Error
	if errors.As(err, &network) {
		weight = absentWeighs
	}
	if at := (*net.OpError)(nil); errors.As(err, &at) && at.Op == "dial" {
		weight = weightMost
	}
	if errors.Is(err, fs.ErrNotExist) {
		f.failures.Store(weightMost)
		return
	}
	f.failures.Add(weight)
	if f.Kind != Repository {
		f.why.Store(&err)
		f.Source.failures.Add(weight)
	}
}

func (f *File) read(ctx context.Context, data []byte, from int64, want manifests.Digest) error {
	stream := f.object.Range(ctx, from, from+int64(len(data)))
	defer stream.Close()
	if _, err := io.ReadFull(stream, data); err != nil {
		return err
	}
	if manifests.DigestOf(data) != want {
		return fmt.Errorf("%s %s: bytes %d-%d of %s: %w", f.Kind, f.Name, from, from+int64(len(data)), want, fetch.ErrContent)
	}
	return nil
}
