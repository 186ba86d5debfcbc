package rpm

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/proa-os/proa/builder/packages"
)

// recordHeader names the part of a payload's Record that is its header with
// what is known of the package file: as RPM's database has it, but for what
// happens when a package is installed.
const recordHeader = "header"

// addition is a value that a header gets behind its signed region.
type addition struct {
	tag tag
	value
}

func binaryValue(t tag, data []byte) addition {
	return addition{t, value{kindBin, len(data), data}}
}

func textValue(t tag, text string) addition {
	return addition{t, value{kindString, 1, append([]byte(text), 0)}}
}

func int32Value(t tag, n uint32) addition {
	return addition{t, value{kindInt32, 1, binary.BigEndian.AppendUint32(nil, n)}}
}

// sizeValue is a size, under another tag if it needs more than 32 bits.
func sizeValue(short, long tag, n int64) addition {
	if n <= math.MaxUint32 {
		return int32Value(short, uint32(n))
	}
	return addition{long, value{kindInt64, 1, binary.BigEndian.AppendUint64(nil, uint64(n))}}
}

// record is the header with what RPM takes over from the signature header into
// its database. All of it is computed here, but for the signature.
func (o *opened) record(md5 []byte, archiveSize int64) ([]byte, error) {
	one, two := o.header.digests()
	more := []addition{
		sizeValue(tagSigSize, tagLongSigSize, o.size-o.start),
		binaryValue(tagSigMD5, md5),
		textValue(tagSHA1Header, one),
		textValue(tagSHA256Header, two),
		sizeValue(tagArchiveSize, tagLongArchive, archiveSize),
	}
	if o.signedBy != 0 {
		more = append(more, addition{o.signedBy, o.signature})
	}
	return extend(o.header, more)
}

// extend adds values to a header; what it has itself stays, as with rpm. Those
// that are in no region are sorted by tag.
func extend(h *header, more []addition) ([]byte, error) {
	_, inRegion, err := parseHeader(h.blob, tagImmutable)
	if err != nil {
		return nil, err
	}
	count := int(binary.BigEndian.Uint32(h.blob))
	index, store := h.blob[8:8+16*count], h.blob[8+16*count:]
	_, end, err := checkRegion(index, store, tagImmutable)
	if err != nil {
		return nil, err
	}
	more = slices.DeleteFunc(more, func(a addition) bool { return h.has(a.tag) })
	for i := inRegion; i < count; i++ {
		t := tag(binary.BigEndian.Uint32(index[16*i:]))
		more = append(more, addition{t, h.values[t]})
	}
	slices.SortFunc(more, func(a, b addition) int { return cmp.Compare(a.tag, b.tag) })
	index, store = slices.Clone(index[:16*inRegion]), slices.Clone(store[:end])
	for _, a := range more {
		if width := a.kind.width(); width > 1 {
			store = append(store, make([]byte, (width-len(store)%width)%width)...)
		}
		for _, field := range []uint32{uint32(a.tag), uint32(a.kind), uint32(len(store)), uint32(a.count)} {
			index = binary.BigEndian.AppendUint32(index, field)
		}
		store = append(store, a.data...)
	}
	if len(index)/16 > maxTags || len(store) > maxStore {
		return nil, fmt.Errorf("a header of %d tags and %d bytes: want at most %d and %d", len(index)/16, len(store), maxTags, maxStore)
	}
	blob := binary.BigEndian.AppendUint32(nil, uint32(len(index)/16))
	blob = binary.BigEndian.AppendUint32(blob, uint32(len(store)))
	return slices.Concat(blob, index, store), nil
}

// installed is what RPM's database has for a package that was installed at
// epoch, seconds since 1970.
func installed(p packages.Payload, epoch uint32) (*header, error) {
	h, _, err := parseHeader(p.Record[recordHeader], tagImmutable)
	if err != nil {
		return nil, fmt.Errorf("its record: the header %w", err)
	}
	// What rpm has where it installs for 64 bits with 32 bits beside them.
	const color = 3
	more := []addition{int32Value(tagInstallTime, epoch), int32Value(tagInstallColor, color), int32Value(tagInstallTID, epoch)}
	if n := h.values[tagBaseNames].count; n > 0 {
		// A zero for each file: it is there, as the package has it.
		more = append(more, addition{tagFileStates, value{kindChar, n, make([]byte, n)}})
	}
	if prefixes, ok := h.values[tagPrefixes]; ok {
		more = append(more, addition{tagInstPrefixes, prefixes})
	}
	blob, err := extend(h, more)
	if err != nil {
		return nil, err
	}
	h, _, err = parseHeader(blob, tagImmutable)
	return h, err
}
