package content

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// Format is how a stream is compressed.
type Format uint8

// The formats that Expand reads.
const (
	Plain Format = iota
	Gzip         // RFC 1952, also several members
	XZ           // the .xz file format 1.2
	Zstd         // RFC 8878
	Bzip2        // also several streams
)

// String is the format's name.
func (f Format) String() string { return [...]string{"plain", "gzip", "xz", "zstd", "bzip2"}[f] }

// SniffLen is how many bytes Sniff wants to see.
const SniffLen = 6

// Sniff recognises a format by the first bytes of a file; what is not known
// is Plain. Compression that proa does not read is an error.
func Sniff(head []byte) (Format, error) {
	for _, known := range []struct {
		magic  string
		format Format
	}{
		{"\x1f\x8b\x08", Gzip},
		{"\xfd7zXZ\x00", XZ},
		{"\x28\xb5\x2f\xfd", Zstd},
		{"BZh", Bzip2},
	} {
		if bytes.HasPrefix(head, []byte(known.magic)) {
			return known.format, nil
		}
	}
	for _, other := range []struct{ magic, name string }{
		{"LZIP", "lzip"}, {"\x04\x22\x4d\x18", "lz4"}, {"\x1f\x9d", "compress"}, {"PK\x03\x04", "zip"},
	} {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			return Plain, fmt.Errorf("compressed with %s: want plain, gzip, bzip2, xz or zstd", other.name)
		}
	}
	return Plain, nil
}

const (
	// What `zstd -d` and `xz -9` allow and need, doubled for xz.
	maxZstdWindow = 128 << 20
	maxXZDict     = 128 << 20
)

// Expanded is a stream whose compression has been undone. It must be closed.
type Expanded struct {
	Format Format
	ahead  *readAhead
	close  func()
}

// Expand is the function of that name, within the store's limits.
func (s *Store) Expand(ctx context.Context, r io.Reader) (*Expanded, error) {
	return Expand(ctx, r, s.limits)
}

// Expand recognises the compression of r and undoes it, within limits. It works
// in the background, at most 1 MiB ahead of the reader, so that a cancelled ctx
// ends a Read at once even while r blocks.
func Expand(ctx context.Context, r io.Reader, limits Limits) (*Expanded, error) {
	counted := &counter{r: r}
	buffered := bufio.NewReaderSize(counted, 256<<10)
	head, err := peek(ctx, buffered, SniffLen)
	if err != nil {
		return nil, err
	}
	format, err := Sniff(head)
	if err != nil {
		return nil, err
	}
	e := &Expanded{Format: format, close: func() {}}
	plain := io.Reader(buffered)
	switch format {
	case Gzip:
		plain, err = gzip.NewReader(buffered)
	case XZ:
		// It checks the checksums of blocks and index, also of CRC-64 and SHA-256,
		// reads several streams and padding, and refuses what follows. On a kernel
		// package it takes 1.25 times as long as xz -d.
		plain, err = xz.NewReader(buffered, maxXZDict)
	case Zstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err == nil {
			plain, e.close = d, d.Close
		}
	case Bzip2:
		plain = bzip2.NewReader(buffered)
	}
	if err != nil {
		return nil, fmt.Errorf("expanding %s: %w", format, noEOF(err))
	}
	e.ahead = newReadAhead(ctx, &meter{r: plain, from: counted, format: format, limits: limits}, e.close)
	return e, nil
}

// Read implements io.Reader.
func (e *Expanded) Read(p []byte) (int, error) { return e.ahead.Read(p) }

// Close stops the work in the background. It does not close the stream that
// Expand was given.
func (e *Expanded) Close() error {
	e.ahead.stop()
	return nil
}

// peek is r.Peek that ends when ctx does; a stream may be shorter than n.
func peek(ctx context.Context, r *bufio.Reader, n int) ([]byte, error) {
	type result struct {
		head []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		head, err := r.Peek(n)
		done <- result{head, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-done:
		if got.err != nil && got.err != io.EOF {
			return nil, got.err
		}
		return got.head, nil
	}
}

// counter counts what is read from r, which may happen in the background.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// meter bounds what is read from r against what r has read.
type meter struct {
	r      io.Reader
	from   *counter
	format Format
	limits Limits
	n      int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	if bomb := m.limits.CheckExpansion(m.from.n.Load(), m.n); bomb != nil {
		return 0, bomb
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("expanding %s: %w", m.format, noEOF(err))
	}
	return n, err
}

// noEOF keeps a decoder's io.EOF in the middle from looking like the end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
