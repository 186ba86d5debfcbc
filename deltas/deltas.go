// Package deltas makes a root image out of another one and a file that is much
// smaller than what differs: the delta of two releases.
//
// A delta is a header and payloads. The header tiles the new image, in order,
// with segments: blocks that lie somewhere in the old image, or blocks that
// package patch makes out of some of the old image's and a payload. Each segment
// stands alone, is bounded in memory, and is proven before it is written: a copy by
// the old image's hash tree, a patched one by a digest in the header, which is
// bound to the release by its own. A payload is proven before it is decoded, too:
// it may come from somebody who wants to cost a host hours.
//
// Make is for publishers; hosts use ParseHeader and package patch. The format is
// described in docs/reference/delta.md.
package deltas

import (
	"github.com/proa-os/proa/deltas/patch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
)

// Delta is the header of one.
type Delta struct {
	From, To Image
	Segments []Segment // tile the new image from offset 0
}

// Image names an image by its root hash.
type Image struct {
	RootHash [32]byte
	Blocks   uint64 // of 4096 bytes
}

// Range is whole blocks of the old image, in bytes.
type Range struct{ Offset, Size int64 }

// Segment is a run of blocks of the new image.
type Segment struct {
	Offset, Size int64 // in the new image, bytes, multiples of 4096

	// Of a copy, which may be of any length: where it is in the old image. -1 for a
	// patched segment.
	Copy int64

	// Of a patched segment, whose Size is at most patch.OutputMost:
	Method        patch.Method
	References    []Range           // of the old image; what Apply gets is their contents, one after the other
	Payload       Range             // in the delta, bytes of any alignment
	PayloadDigest manifests.Digest  // of the payload
	Digest        chunkindex.Digest // of the verity hashes of the segment's blocks
}
