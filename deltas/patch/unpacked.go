package patch

import (
	"errors"
	"fmt"

	"github.com/proa-os/proa/deltas/packed"
)

// Bounds of what the output and the reference of method Unpacked are without
// compressed streams, in bytes.
const (
	UnpackedOutputMost    = 9 << 20
	UnpackedReferenceMost = 12 << 20
)

// keptMost is the most bytes of a reference, and of what is unpacked, that are kept
// for the next patch.
const keptMost = 1 << 20

func (a *Applier) unpacked(out, reference, payload []byte) error {
	table, rest, err := packed.ParseTable(payload, UnpackedReferenceMost)
	if err != nil {
		return err
	}
	if table.Unpacked > UnpackedOutputMost {
		return fmt.Errorf("output of %d bytes unpacked: at most %d", table.Unpacked, UnpackedOutputMost)
	}
	if len(rest) == 0 || Method(rest[0]) == Unpacked {
		return errors.New("unpacked payload without a method of its own")
	}
	if a.unpackedReference, err = packed.Unpack(a.unpackedReference[:0], reference, table.Reference, UnpackedReferenceMost); err != nil {
		return fmt.Errorf("unpacking the reference: %w", err)
	}
	if cap(a.unpackedOut) < table.Unpacked {
		a.unpackedOut = make([]byte, table.Unpacked)
	}
	made := a.unpackedOut[:table.Unpacked]
	if err := a.plain(made, Method(rest[0]), a.unpackedReference, rest[1:]); err != nil {
		return err
	}
	if cap(a.unpackedReference) > keptMost {
		a.unpackedReference = nil // while there is more to come
	}
	if cap(a.unpackedOut) > keptMost {
		a.unpackedOut = nil
	}
	if err := packed.Pack(out, made, table.Output); err != nil {
		return fmt.Errorf("packing the output: %w", err)
	}
	return nil
}
