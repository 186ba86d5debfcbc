package rpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// What rpm itself allows in a header (HEADER_TAGS_MAX and HEADER_DATA_MAX).
const (
	maxTags     = 1<<16 - 1
	maxStore    = 1<<28 - 1
	maxSigStore = 64 << 20
)

// kind is how a tag's value is stored.
type kind uint32

// The kinds (https://rpm-software-management.github.io/rpm/manual/format_header.html).
const (
	kindNull kind = iota
	kindChar
	kindInt8
	kindInt16
	kindInt32
	kindInt64
	kindString
	kindBin
	kindStrings
	kindI18N
)

// width is the bytes of one element; 0 for strings and null.
func (k kind) width() int {
	return [...]int{0, 1, 1, 2, 4, 8, 0, 1, 0, 0}[k]
}

// value is what a header has for one tag; data holds exactly count elements.
type value struct {
	kind  kind
	count int
	data  []byte
}

// header is a parsed header. Its values refer to the bytes that it was read
// from.
type header struct {
	blob   []byte // both counts, the index and the store: without the magic number
	values map[tag]value
}

var headerMagic = [8]byte{0x8e, 0xad, 0xe8, 0x01}

// readRaw reads the bytes of a header at offset, with its magic number. It may
// not reach behind size, nor have more than most bytes of values.
func readRaw(r io.ReaderAt, offset, size int64, most int) ([]byte, error) {
	var intro [16]byte
	if size-offset < int64(len(intro)) {
		return nil, fmt.Errorf("is cut short: %w", io.ErrUnexpectedEOF)
	}
	if _, err := r.ReadAt(intro[:], offset); err != nil {
		return nil, noEOF(err)
	}
	if [8]byte(intro[:8]) != headerMagic {
		return nil, fmt.Errorf("starts with %x, want the magic number %x", intro[:8], headerMagic)
	}
	tags, store := binary.BigEndian.Uint32(intro[8:]), binary.BigEndian.Uint32(intro[12:])
	if tags == 0 || tags > maxTags {
		return nil, fmt.Errorf("has %d tags: want 1 to %d", tags, maxTags)
	}
	if int64(store) > int64(most) {
		return nil, fmt.Errorf("has %d bytes of values: want at most %d", store, most)
	}
	length := 16 + 16*int64(tags) + int64(store)
	if length > size-offset {
		return nil, fmt.Errorf("has %d tags and %d bytes of values, more than the file: %w", tags, store, io.ErrUnexpectedEOF)
	}
	raw := make([]byte, length)
	_, err := r.ReadAt(raw, offset)
	return raw, noEOF(err)
}

// parseImmutable reads the header of a package file. All of it is signed.
func parseImmutable(blob []byte) (*header, error) {
	h, inRegion, err := parseHeader(blob, tagImmutable)
	if err == nil && inRegion != len(h.values)+1 {
		err = fmt.Errorf("has %d tags, of which its region holds %d: want all", len(h.values)+1, inRegion)
	}
	return h, err
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseHeader reads a header's counts, index and store. It returns how many of
// the tags its region holds; what follows was added later.
func parseHeader(blob []byte, region tag) (*header, int, error) {
	if len(blob) < 8 {
		return nil, 0, io.ErrUnexpectedEOF
	}
	count := int64(binary.BigEndian.Uint32(blob))
	if count > maxTags || 8+16*count+int64(binary.BigEndian.Uint32(blob[4:])) != int64(len(blob)) {
		return nil, 0, fmt.Errorf("is not of the length that it says")
	}
	index, store := blob[8:8+16*count], blob[8+16*count:]
	h := &header{blob: blob, values: make(map[tag]value, count)}
	inRegion, end, err := checkRegion(index, store, region)
	if err != nil {
		return nil, 0, err
	}
	next := 0
	for i := 1; i < int(count); i++ {
		if i == inRegion {
			next = end
		}
		t, offset, v, err := entry(index[16*i:], store)
		if err != nil {
			return nil, 0, err
		}
		// Values follow each other: rpm demands that, and reading stays linear.
		if offset < next {
			return nil, 0, fmt.Errorf("tag %d overlaps the value before it", t)
		}
		if next = offset + len(v.data); i < inRegion && next > end {
			return nil, 0, fmt.Errorf("tag %d lies outside the region of its header", t)
		}
		if _, twice := h.values[t]; twice {
			return nil, 0, fmt.Errorf("has tag %d twice", t)
		}
		h.values[t] = v
	}
	return h, inRegion, nil
}

// checkRegion finds how far a header's first region goes: in tags, and in
// bytes of the store. Its first tag points at a trailer, which has the form of
// a tag, too, and counts the region's tags with a negative offset.
func checkRegion(index, store []byte, region tag) (tags, end int, err error) {
	if len(index) < 16 {
		return 0, 0, errors.New("has no tags")
	}
	t, offset, v, err := entry(index, store)
	if err != nil {
		return 0, 0, err
	}
	if t != region || v.kind != kindBin || v.count != 16 {
		return 0, 0, fmt.Errorf("starts with tag %d of kind %d and length %d, want its region, tag %d", t, v.kind, v.count, region)
	}
	back := -int64(int32(binary.BigEndian.Uint32(v.data[8:])))
	if tag(binary.BigEndian.Uint32(v.data)) != region || kind(binary.BigEndian.Uint32(v.data[4:])) != kindBin ||
		binary.BigEndian.Uint32(v.data[12:]) != 16 || back < 16 || back%16 != 0 || back > int64(len(index)) {
		return 0, 0, fmt.Errorf("has a region whose end says %x: want the tags that it holds", v.data)
	}
	return int(back / 16), offset + 16, nil
}

// entry reads one entry of the index, and cuts its value out of the store.
func entry(index, store []byte) (tag, int, value, error) {
	t := tag(binary.BigEndian.Uint32(index))
	v := value{kind: kind(binary.BigEndian.Uint32(index[4:]))}
	offset, count := int64(int32(binary.BigEndian.Uint32(index[8:]))), int64(binary.BigEndian.Uint32(index[12:]))
	refuse := func(format string, args ...any) (tag, int, value, error) {
		return 0, 0, value{}, fmt.Errorf("tag %d "+format, append([]any{t}, args...)...)
	}
	if v.kind == kindNull || v.kind > kindI18N {
		return refuse("is of kind %d: want 1 to %d", v.kind, kindI18N)
	}
	if offset < 0 || offset > int64(len(store)) {
		return refuse("is at byte %d of %d", offset, len(store))
	}
	rest := store[offset:]
	if count == 0 || count > int64(len(rest)) {
		return refuse("has %d values in %d bytes", count, len(rest))
	}
	if width := int64(v.kind.width()); width > 0 {
		if count*width > int64(len(rest)) {
			return refuse("has %d values in %d bytes", count, len(rest))
		}
		if offset%width != 0 {
			return refuse("is at byte %d: want a multiple of %d", offset, width)
		}
		v.count, v.data = int(count), rest[:count*width]
		return t, int(offset), v, nil
	}
	if v.kind == kindString && count != 1 {
		return refuse("is one string, but counts %d", count)
	}
	end := 0
	for range count {
		length := slices.Index(rest[end:], 0)
		if length < 0 {
			return refuse("has %d strings, but not the zero byte that ends each", count)
		}
		end += length + 1
	}
	v.count, v.data = int(count), rest[:end]
	return t, int(offset), v, nil
}
