// Package packed takes compressed streams out of bytes and puts them back, bit for
// bit: a change of a word changes all of a compressed file, but only a word of what
// it decompresses to. It knows the compressors whose streams it can make again;
// streams of others stay as they are.
package packed

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/proa-os/proa/deltas/gnugzip"
	"github.com/proa-os/proa/deltas/lz4hc"
)

// Kind is what made a stream.
type Kind uint8

// Gzip4 to Gzip9 are what GNU gzip writes at these levels behind its header: the
// deflate stream and the two sums (RFC 1952, section 2.3.1).
const (
	Gzip4 Kind = gnugzip.LevelLeast
	Gzip9 Kind = gnugzip.LevelMost
)

// LZ4 is a block of the legacy frame of LZ4 (doc/lz4_Frame_format.md, "Legacy
// frame") as "lz4 -9" writes it, behind its size in 4 bytes.
const LZ4 Kind = 16

const (
	gzipTrailer  = 8
	lz4BlockMost = 8 << 20 // decompressed
)

// Stream is a place of a compressed stream.
type Stream struct {
	Skip     int // bytes from the end of the last stream to this one
	Unpacked int // bytes that it decompresses to
	Kind     Kind
	// Lost is how many bytes of the stream are before the start of the data, and
	// so no part of it. Only of LZ4, and of what is packed, not unpacked.
	Lost int
}

// Unpack appends data to dst with what the streams decompress to in their stead. Their
// Unpacked may be 0, and is not looked at. No more than most bytes are appended.
func Unpack(dst, data []byte, streams []Stream, most int) ([]byte, error) {
	end := len(dst) + most
	if n := room(data, streams, most); n > cap(dst)-len(dst) { // at once: what grows is there twice
		dst = append(make([]byte, 0, len(dst)+n), dst...)
	}
	for i, s := range streams {
		if s.Skip < 0 || s.Skip > len(data) || s.Skip > end-len(dst) {
			return dst, fmt.Errorf("stream %d: not within the data", i)
		}
		dst, data = append(dst, data[:s.Skip]...), data[s.Skip:]
		unpacked, size, err := s.Kind.unpack(dst, data, end-len(dst))
		if err != nil {
			return dst, fmt.Errorf("stream %d: %w", i, err)
		}
		dst, data = unpacked, data[size:]
	}
	if len(data) > end-len(dst) {
		return dst, fmt.Errorf("more than %d bytes", most)
	}
	return append(dst, data...), nil
}

// Pack fills out with data in which the streams are compressed again. It is an
// error when that is not exactly as long as out.
func Pack(out, data []byte, streams []Stream) error {
	to := out[:0:len(out)]
	for i, s := range streams {
		if s.Skip < 0 || s.Unpacked < 0 || s.Skip > len(data) || s.Unpacked > len(data)-s.Skip || s.Skip > cap(to)-len(to) {
			return fmt.Errorf("stream %d: not within the data", i)
		}
		to, data = append(to, data[:s.Skip]...), data[s.Skip:]
		stream, err := s.Kind.pack(to, data[:s.Unpacked]) // in place, if it fits
		if err != nil {
			return fmt.Errorf("stream %d: %w", i, err)
		}
		stream = stream[len(to):]
		if s.Lost < 0 || s.Lost > len(stream) {
			return fmt.Errorf("stream %d: loses %d bytes of %d", i, s.Lost, len(stream))
		}
		if stream = stream[s.Lost:]; len(stream) > cap(to)-len(to) {
			return fmt.Errorf("stream %d: more than there is room for", i)
		}
		to, data = append(to, stream...), data[s.Unpacked:]
	}
	if len(to)+len(data) != len(out) {
		return fmt.Errorf("%d bytes: want %d", len(to)+len(data), len(out))
	}
	copy(out[len(to):], data)
	return nil
}

// unpack appends what the stream at the start of data decompresses to, and says how
// many bytes the stream has.
func (k Kind) unpack(dst, data []byte, most int) ([]byte, int, error) {
	if k == LZ4 {
		return unpackLZ4(dst, data, most)
	}
	if k < Gzip4 || k > Gzip9 {
		return dst, 0, fmt.Errorf("kind %d: unknown", k)
	}
	in := bytes.NewReader(data) // flate reads not a byte too much of it
	out, err := appendAll(dst, io.LimitReader(flate.NewReader(in), int64(most)+1))
	size := len(data) - in.Len() + gzipTrailer
	switch {
	case err != nil:
		return dst, 0, err
	case len(out)-len(dst) > most:
		return dst, 0, fmt.Errorf("more than %d bytes", most)
	case size > len(data):
		return dst, 0, io.ErrUnexpectedEOF
	case !bytes.Equal(data[size-gzipTrailer:size], sums(out[len(dst):])):
		return dst, 0, errors.New("not what its sums say")
	}
	return out, size, nil
}

// appendAll appends all of r, and lets dst grow only when there is more than fits.
func appendAll(dst []byte, r io.Reader) ([]byte, error) {
	one := make([]byte, 1)
	for {
		free := dst[len(dst):cap(dst)]
		if len(free) == 0 {
			free = one
		}
		n, err := r.Read(free)
		dst = append(dst, free[:n]...) // where it is already, or the one
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// room is the most bytes that data has with what the streams decompress to in their
// stead, and no more than most.
func room(data []byte, streams []Stream, most int) int {
	total := 0
	for _, s := range streams {
		if s.Skip < 0 || s.Skip > len(data) {
			break
		}
		data = data[s.Skip:]
		unpacked, size := s.Kind.room(data, most)
		total, data = total+s.Skip+unpacked, data[size:]
	}
	return min(total+len(data), most)
}

// room is the most bytes that the stream at the start of data decompresses to, and how
// many it has itself; both are 0 for what is none.
func (k Kind) room(data []byte, most int) (unpacked, size int) {
	if k == LZ4 && len(data) >= lz4Size {
		size = int(min(int64(binary.LittleEndian.Uint32(data)), int64(len(data)-lz4Size)))
		return min(255*size, lz4BlockMost, most), lz4Size + size
	}
	if k < Gzip4 || k > Gzip9 {
		return 0, 0
	}
	in := bytes.NewReader(data)
	n, _ := io.Copy(io.Discard, io.LimitReader(flate.NewReader(in), int64(most)))
	return int(n), len(data) - in.Len()
}

// pack appends to dst the stream that data makes.
func (k Kind) pack(dst, data []byte) ([]byte, error) {
	at := len(dst)
	if k == LZ4 {
		dst = lz4hc.Compress(append(dst, make([]byte, lz4Size)...), data)
		binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-lz4Size))
		return dst, nil
	}
	if k < Gzip4 || k > Gzip9 {
		return dst, fmt.Errorf("kind %d: unknown", k)
	}
	dst, err := gnugzip.Deflate(dst, data, int(k))
	if err != nil {
		return dst, err
	}
	return append(dst, sums(data)...), nil
}

// sums is what ends a member of gzip.
func sums(data []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))
	return binary.LittleEndian.AppendUint32(b, uint32(len(data)))
}

const lz4Size = 4

func unpackLZ4(dst, data []byte, most int) ([]byte, int, error) {
	if len(data) < lz4Size {
		return dst, 0, io.ErrUnexpectedEOF
	}
	size := int64(binary.LittleEndian.Uint32(data))
	if size > int64(len(data)-lz4Size) {
		return dst, 0, io.ErrUnexpectedEOF
	}
	unpacked, err := lz4hc.Decompress(dst, data[lz4Size:][:size], min(most, lz4BlockMost))
	if err != nil {
		return dst, 0, err
	}
	return unpacked, lz4Size + int(size), nil
}
