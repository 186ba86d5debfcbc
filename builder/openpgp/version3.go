package openpgp

import (
	"encoding/binary"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// fromVersion3 rewrites a version 3 signature (RFC 4880, section 5.2.2) as the
// version 4 signature that says the same. Red Hat's packages were signed so
// for decades, and the library does not read it. What version 3 signs besides
// the content is the suffix. No signature of another version can be taken for
// one: what those have in its place says a type that no document has, or a time
// before all keys.
func fromVersion3(p *packet.OpaquePacket) (suffix []byte, ok bool) {
	// 3, 5, type, 4 bytes of time, 8 bytes of key id, algorithm, hash, 2 bytes of
	// the hash; the numbers of the signature.
	const head = 19
	c := p.Contents
	if len(c) < head || c[0] != 3 || c[1] != 5 {
		return nil, false
	}
	kind, created, id, algorithm, hash := c[2], c[3:7], c[7:15], c[15], c[16]
	// Subpackets start with their length and type: 2 is the time, 16 the key id
	// (RFC 9580, section 5.2.3.7).
	hashed := slices.Concat([]byte{5, 2}, created)
	other := slices.Concat([]byte{9, 16}, id)
	p.Contents = slices.Concat(
		[]byte{4, kind, algorithm, hash},
		binary.BigEndian.AppendUint16(nil, uint16(len(hashed))), hashed,
		binary.BigEndian.AppendUint16(nil, uint16(len(other))), other,
		c[head-2:],
	)
	return slices.Concat([]byte{kind}, created), true
}
