package patch

import (
	"bytes"
	"testing"
)

// A patch is foreign bytes: Apply must come back, with an error or with something in
// out, and never write elsewhere.
func FuzzApplyComesBack(f *testing.F) {
	f.Add(byte(Zstd), uint16(5), []byte("reference"), []byte("payload"))
	f.Add(byte(Corrected), uint16(5), []byte("reference"), []byte("payload"))
	a := NewApplier()
	f.Fuzz(func(t *testing.T, m byte, size uint16, reference, payload []byte) {
		buffer := bytes.Repeat([]byte{0x5a}, int(size)+8)
		before := bytes.Clone(reference)
		a.Apply(buffer[:size], Method(m), reference, payload)
		if !bytes.Equal(buffer[size:], bytes.Repeat([]byte{0x5a}, 8)) {
			t.Error("written behind the output")
		}
		if !bytes.Equal(before, reference) {
			t.Error("the reference is written")
		}
	})
}
