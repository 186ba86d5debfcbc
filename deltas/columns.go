package deltas

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// columns reads numbers off the front of rest. The first error stays, and all
// that is read after it is zero.
type columns struct {
	rest []byte
	err  error
}

func (c *columns) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
	c.rest = nil
}

// uvarint reads a number of at most most in its shortest form.
func (c *columns) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(c.rest)
	if c.err != nil || n <= 0 || n > 1 && c.rest[n-1] == 0 || v > most {
		c.fail("ends early, or a number is larger than %d", most)
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// varint reads a number of -most to most, zigzag-coded.
func (c *columns) varint(most int64) int64 {
	v := c.uvarint(2 * uint64(most))
	return int64(v>>1) ^ -int64(v&1)
}

// bytes is the next n bytes.
func (c *columns) bytes(n int) []byte {
	if len(c.rest) < n {
		c.fail("ends early")
		return make([]byte, n)
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *columns) byte() byte { return c.bytes(1)[0] }

// decodeBody decodes one zstd frame that says its size, without anything behind.
func decodeBody(frame []byte) ([]byte, error) {
	size, err := frameSize(frame)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(bodyMost), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	defer d.Close()
	body, err := d.DecodeAll(frame, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return body, nil
}

// frameSize is the decoded size that a zstd frame claims, if the frame is all
// there is (RFC 8878, section 3.1.1).
func frameSize(frame []byte) (uint64, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return 0, err
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize > bodyMost || h.HasCheckSum || h.DictionaryID != 0 {
		return 0, fmt.Errorf("not a zstd frame of a size of at most %d, without checksum and dictionary", bodyMost)
	}
	const rle = 1
	for rest := frame[h.HeaderSize:]; len(rest) >= 3; {
		block := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		size := int(block >> 3)
		if block>>1&3 == rle {
			size = 1
		}
		if rest = rest[3:]; size > len(rest) {
			break
		}
		if rest = rest[size:]; block&1 == 0 {
			continue
		}
		if len(rest) != 0 {
			break
		}
		return h.FrameContentSize, nil
	}
	return 0, errors.New("not one whole zstd frame")
}
