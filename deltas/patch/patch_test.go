package patch

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// An applier waits for its next patch: what the last one was made of may not take
// memory until then.
func TestALargeReferenceIsNotKept(t *testing.T) {
	want := bytes.Repeat([]byte("output"), 1000)
	reference := make([]byte, ReferenceMost)
	copy(reference[len(reference)-len(want):], want)
	e, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(DictionaryID, reference), zstd.WithWindowSize(WindowMost))
	if err != nil {
		t.Fatal(err)
	}
	payload := e.EncodeAll(want, nil)
	e.Close()
	a, out := NewApplier(), make([]byte, len(want))
	if err := a.Apply(out, Zstd, reference, payload); err != nil || !bytes.Equal(out, want) {
		t.Fatalf("applied: %v", err)
	}
	gone := make(chan struct{})
	runtime.AddCleanup(&reference[0], func(gone chan struct{}) { close(gone) }, gone)
	e, reference = nil, nil
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			runtime.KeepAlive(a)
			return
		case <-time.After(10 * time.Millisecond): // cleanups run when they come to it
		}
	}
	runtime.KeepAlive(a)
	t.Error("the applier keeps its reference")
}

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
