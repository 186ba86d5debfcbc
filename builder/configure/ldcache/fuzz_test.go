package ldcache

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

// tiny is a shared object of 64 bits with a soname, and no more.
func tiny() []byte {
	b := make([]byte, 512)
	copy(b, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(b[16:], typeShared)
	binary.LittleEndian.PutUint16(b[18:], machineX8664)
	binary.LittleEndian.PutUint64(b[32:], 64)
	binary.LittleEndian.PutUint16(b[56:], 1)
	binary.LittleEndian.PutUint32(b[64:], segmentDynamic)
	binary.LittleEndian.PutUint64(b[72:], 200)
	binary.LittleEndian.PutUint64(b[96:], 48)
	for i, v := range []uint64{tagStrtab, 300, tagSoname, 1} {
		binary.LittleEndian.PutUint64(b[200+8*i:], v)
	}
	copy(b[301:], "libx.so.1")
	return b
}

func TestASmallObjectHasItsSoname(t *testing.T) {
	data := tiny()
	o, err := readObject(tree.Content{At: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil || o == nil || o.soname != "libx.so.1" {
		t.Errorf("%+v, error %v: want libx.so.1", o, err)
	}
}

func FuzzObject(f *testing.F) {
	f.Add(tiny())
	if data, err := os.ReadFile("/lib64/ld-linux-x86-64.so.2"); err == nil {
		f.Add(data[:4096])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := readObject(tree.Content{At: bytes.NewReader(data), Size: int64(len(data))})
		if err != nil {
			t.Errorf("error %v: what is outside of a file is missing", err)
		}
		if o != nil {
			x86Flags(o)
			armFlags(o)
		}
	})
}
