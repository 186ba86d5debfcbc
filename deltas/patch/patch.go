// Package patch makes bytes out of others and a payload. It is what hosts need of
// a delta; package diff makes the payloads. Their format is described in
// docs/reference/delta.md.
package patch

import (
	"errors"
	"fmt"

	"github.com/proa-os/proa/deltas/coding"
)

// Bounds of one patch, in bytes, and so of the memory that Apply needs.
const (
	OutputMost    = 4 << 20
	ReferenceMost = 8 << 20
)

// Method says what a payload is.
type Method uint8

// Zstd is one zstd frame with the reference as its raw dictionary, under the
// identifier DictionaryID (RFC 8878, section 5). Corrected is copies with
// corrections, as package coding has them.
const (
	Zstd      Method = 1
	Corrected Method = 2

	// Unpacked is a table of package packed, the number of another method in a
	// byte, and a payload of that method: it makes the output as it is without
	// compressed streams, out of the reference without those.
	Unpacked Method = 3
)

// DictionaryID is what the frames of method Zstd call the reference.
const DictionaryID = 1

// WindowMost is the largest window that a frame may ask for, in bytes: one that
// reaches from the end of the output to the start of the reference.
const WindowMost = 16 << 20

// Applier applies payloads one after the other, keeping its buffers. It is not for
// several goroutines at once.
type Applier struct {
	zstd  zstdApplier
	coder *coding.Coder

	unpackedReference, unpackedOut []byte
}

// NewApplier makes one without buffers yet.
func NewApplier() *Applier { return &Applier{} }

// Apply fills out, whose length is exactly what the payload makes. The payload is
// foreign: an error says what is odd about it, and out is then undefined. What it
// makes is not proven: the caller knows its digest.
func (a *Applier) Apply(out []byte, m Method, reference, payload []byte) error {
	switch {
	case len(out) == 0:
		return errors.New("patch without output")
	case len(out) > OutputMost:
		return fmt.Errorf("patch of %d bytes: at most %d", len(out), OutputMost)
	case len(reference) > ReferenceMost:
		return fmt.Errorf("patch with a reference of %d bytes: at most %d", len(reference), ReferenceMost)
	}
	if m == Unpacked {
		return a.unpacked(out, reference, payload)
	}
	return a.plain(out, m, reference, payload)
}

func (a *Applier) plain(out []byte, m Method, reference, payload []byte) error {
	switch m {
	case Zstd:
		return a.zstd.apply(out, reference, payload)
	case Corrected:
		if a.coder == nil {
			a.coder = new(coding.Coder)
		}
		if err := a.coder.Read(out, reference, payload); err != nil {
			return fmt.Errorf("corrected payload: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("patch method %d: unknown", m)
	}
}
