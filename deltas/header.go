package deltas

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/deltas/patch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
)

// Bounds of a header, and so of the memory of who reads one.
const (
	SegmentsMost   = 1 << 16
	ReferencesMost = 1 << 18 // of all segments together
	HeaderMost     = 4 << 20 // bytes, as it travels
	bodyMost       = 8 << 20 // bytes, decoded
)

// PayloadMost is the most bytes of the payload of a segment of size bytes.
func PayloadMost(size int64) int64 { return size + size/128 + 1024 }

const (
	magic      = "PROADLT2"
	prefixSize = len(magic) + 2*32
	blocksMost = 1 << 32 // of one image: what EROFS can address
)

// AppendHeader appends the header as it travels: magic, both root hashes, and a
// zstd frame of the columns that docs/reference/delta.md lists. The payloads follow
// it in the order of their segments and without gaps; where their ranges begin
// is not written, and does not matter here.
func (d *Delta) AppendHeader(to []byte) []byte {
	to = append(to, magic...)
	to = append(to, d.From.RootHash[:]...)
	to = append(to, d.To.RootHash[:]...)
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		panic(fmt.Sprintf("deltas: zstd encoder: %v", err)) // only options can be wrong
	}
	return e.EncodeAll(d.appendBody(nil), to)
}

func (d *Delta) appendBody(to []byte) []byte {
	to = binary.AppendUvarint(to, d.From.Blocks)
	to = binary.AppendUvarint(to, d.To.Blocks)
	to = binary.AppendUvarint(to, uint64(len(d.Segments)))
	for _, s := range d.Segments {
		size := uint64(s.Size/manifests.BlockSize) << 1
		if s.Copy < 0 {
			size |= 1
		}
		to = binary.AppendUvarint(to, size)
	}
	var shift int64
	for _, s := range d.Segments {
		if s.Copy >= 0 {
			now := (s.Copy - s.Offset) / manifests.BlockSize
			to = binary.AppendVarint(to, now-shift)
			shift = now
		}
	}
	patched := d.patched()
	for _, s := range patched {
		to = append(to, byte(s.Method))
	}
	for _, s := range patched {
		to = binary.AppendUvarint(to, uint64(len(s.References)))
	}
	var end int64
	for _, s := range patched {
		for _, r := range s.References {
			to = binary.AppendVarint(to, (r.Offset-end)/manifests.BlockSize)
			end = r.Offset + r.Size
		}
	}
	for _, s := range patched {
		for _, r := range s.References {
			to = binary.AppendUvarint(to, uint64(r.Size/manifests.BlockSize))
		}
	}
	for _, s := range patched {
		to = binary.AppendUvarint(to, uint64(s.Payload.Size))
	}
	for _, s := range patched {
		to = append(to, s.Digest[:]...)
	}
	for _, s := range patched {
		to = append(to, s.PayloadDigest[:]...)
	}
	return to
}

// patched is the segments that are not copies, in order.
func (d *Delta) patched() []*Segment {
	var all []*Segment
	for i := range d.Segments {
		if d.Segments[i].Copy < 0 {
			all = append(all, &d.Segments[i])
		}
	}
	return all
}

// ParseHeader reads the header of a delta file of fileSize bytes between the
// given images. Data is the header alone. Whatever breaks a rule of the format is
// an error: on success the segments tile the new image, what they take of the old
// one lies in it, and their payloads are the rest of the file.
func ParseHeader(data []byte, from, to Image, fileSize int64) (*Delta, error) {
	d, err := parseHeader(data, from, to, fileSize)
	if err != nil {
		return nil, fmt.Errorf("delta: %w", err)
	}
	return d, nil
}

func parseHeader(data []byte, from, to Image, fileSize int64) (*Delta, error) {
	switch {
	case len(data) < prefixSize || string(data[:len(magic)]) != magic:
		return nil, errors.New("does not begin as one")
	case len(data) > HeaderMost:
		return nil, fmt.Errorf("header of %d bytes: at most %d", len(data), HeaderMost)
	case fileSize < int64(len(data)):
		return nil, fmt.Errorf("file of %d bytes with a header of %d", fileSize, len(data))
	}
	d := &Delta{}
	d.From.RootHash = [32]byte(data[len(magic):])
	d.To.RootHash = [32]byte(data[len(magic)+32:])
	if d.From.RootHash != from.RootHash || d.To.RootHash != to.RootHash {
		return nil, fmt.Errorf("is from root hash %x to %x: want %x to %x", d.From.RootHash, d.To.RootHash, from.RootHash, to.RootHash)
	}
	body, err := decodeBody(data[prefixSize:])
	if err != nil {
		return nil, err
	}
	p := &parser{columns: columns{rest: body}, delta: d, payload: int64(len(data)), fileSize: fileSize}
	if d.From.Blocks = p.uvarint(blocksMost); p.err == nil && d.From.Blocks != from.Blocks {
		return nil, fmt.Errorf("is from an image of %d blocks: want %d", d.From.Blocks, from.Blocks)
	}
	if d.To.Blocks = p.uvarint(blocksMost); p.err == nil && d.To.Blocks != to.Blocks {
		return nil, fmt.Errorf("is to an image of %d blocks: want %d", d.To.Blocks, to.Blocks)
	}
	if p.parse(); p.err != nil {
		return nil, p.err
	}
	return d, nil
}

// parser fills the segments column by column, in the order of appendBody.
type parser struct {
	columns
	delta             *Delta
	payload, fileSize int64
}

func (p *parser) parse() {
	count := p.uvarint(SegmentsMost)
	if p.err != nil || count > uint64(len(p.rest)) {
		p.fail("segments: want at most %d, and all of them", SegmentsMost)
		return
	}
	p.delta.Segments = make([]Segment, count)
	p.sizes()
	p.copies()
	patched := p.delta.patched()
	for _, s := range patched {
		s.Method = patch.Method(p.byte())
	}
	p.references(patched)
	p.payloads(patched)
	for _, s := range patched {
		s.Digest = chunkindex.Digest(p.bytes(len(s.Digest)))
	}
	for _, s := range patched {
		s.PayloadDigest = manifests.Digest(p.bytes(len(s.PayloadDigest)))
	}
	if len(p.rest) != 0 {
		p.fail("%d bytes behind the last column", len(p.rest))
	}
}

func (p *parser) sizes() {
	var offset uint64
	for i := range p.delta.Segments {
		s, left := &p.delta.Segments[i], p.delta.To.Blocks-offset
		v := p.uvarint(2*blocksMost + 1)
		blocks := v >> 1
		if blocks < 1 || blocks > left {
			p.fail("segment %d: not of 1 to %d blocks", i, left)
			return
		}
		s.Offset, s.Size = int64(offset)*manifests.BlockSize, int64(blocks)*manifests.BlockSize
		if s.Copy = -int64(v & 1); s.Copy < 0 && s.Size > patch.OutputMost {
			p.fail("segment %d: patched, of %d bytes: at most %d", i, s.Size, patch.OutputMost)
			return
		}
		offset += blocks
	}
	if offset != p.delta.To.Blocks {
		p.fail("segments of %d blocks: want %d", offset, p.delta.To.Blocks)
	}
}

func (p *parser) copies() {
	var shift int64
	for i := range p.delta.Segments {
		s := &p.delta.Segments[i]
		if s.Copy < 0 {
			continue
		}
		shift += p.varint(2 * blocksMost)
		if s.Copy = s.Offset + shift*manifests.BlockSize; !p.delta.From.holds(Range{s.Copy, s.Size}) {
			p.fail("segment %d: a copy of what is not in the old image", i)
			return
		}
	}
}

func (p *parser) references(patched []*Segment) {
	total := uint64(0)
	for _, s := range patched {
		n := p.uvarint(ReferencesMost)
		if total += n; total > ReferencesMost || n > uint64(len(p.rest)) {
			p.fail("references: want at most %d, and all of them", ReferencesMost)
			return
		}
		if n > 0 {
			s.References = make([]Range, n)
		}
	}
	offsets := p.columns // the sizes come behind all offsets
	for range total {
		p.varint(2 * blocksMost)
	}
	var end int64
	for _, s := range patched {
		sum := int64(0)
		for i := range s.References {
			r := Range{end + offsets.varint(2*blocksMost)*manifests.BlockSize, int64(p.uvarint(blocksMost)) * manifests.BlockSize}
			if sum += r.Size; r.Size == 0 || sum > patch.ReferenceMost || !p.delta.From.holds(r) {
				p.fail("segment at %d: references that are not within the old image, or more than %d bytes", s.Offset, patch.ReferenceMost)
				return
			}
			s.References[i], end = r, r.Offset+r.Size
		}
	}
}

func (p *parser) payloads(patched []*Segment) {
	for _, s := range patched {
		s.Payload = Range{p.payload, int64(p.uvarint(uint64(PayloadMost(s.Size))))}
		p.payload += s.Payload.Size
	}
	if p.payload != p.fileSize {
		p.fail("payloads end at %d: the file has %d bytes", p.payload, p.fileSize)
	}
}

// holds says whether r, which begins and ends with a block, lies in the image.
func (i Image) holds(r Range) bool {
	size := int64(i.Blocks) * manifests.BlockSize
	return r.Offset >= 0 && r.Size <= size && r.Offset <= size-r.Size
}
