package bootcount

import (
	"bytes"
	"testing"

	"github.com/proa-os/proa/partitions"
)

func TestBootsOfEachSlotAreCountedUntilOneIsConfirmed(t *testing.T) {
	one, two := [32]byte{1}, [32]byte{2}
	var r Record
	for want := 1; want <= 3; want++ {
		r = r.Begin(partitions.SlotA, one)
		if got := r.Unconfirmed(partitions.SlotA, one); got != want {
			t.Fatalf("%d boots count as %d", want, got)
		}
	}
	r = r.Begin(partitions.SlotB, two)
	state := append(make([]byte, Offset), r.Bytes()...)
	read, err := Read(bytes.NewReader(state))
	if err != nil || read != r {
		t.Fatalf("read %+v, %v", read, err)
	}
	read = read.Confirm(partitions.SlotB, two)
	for _, test := range []struct {
		slot partitions.Slot
		root [32]byte
		want int
	}{{partitions.SlotA, one, 3}, {partitions.SlotA, two, 0}, {partitions.SlotB, two, 0}} {
		if got := read.Unconfirmed(test.slot, test.root); got != test.want {
			t.Errorf("slot %s with %x: %d, want %d", test.slot, test.root[0], got, test.want)
		}
	}
	if got := read.Begin(partitions.SlotA, two).Unconfirmed(partitions.SlotA, two); got != 1 {
		t.Errorf("a new release begins with %d", got)
	}
	for range 2 * Most {
		r = r.Begin(partitions.SlotA, one)
	}
	if got := r.Unconfirmed(partitions.SlotA, one); got != Most {
		t.Errorf("counted to %d", got)
	}
}

func TestADamagedRecordIsAnEmptyOne(t *testing.T) {
	good := Record{}.Begin(partitions.SlotA, [32]byte{1}).Bytes()
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		if r, err := parse(bad); err == nil || r != (Record{}) {
			t.Fatalf("byte %d: %+v, %v", at, r, err)
		}
	}
	for _, state := range [][]byte{nil, make([]byte, Offset), make([]byte, Offset+Size-1), make([]byte, Offset+Size)} {
		if r, err := Read(bytes.NewReader(state)); err == nil || r != (Record{}) {
			t.Errorf("%d bytes: %+v, %v", len(state), r, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Record{}.Begin(partitions.SlotB, [32]byte{9}).Bytes())
	f.Add(make([]byte, Size))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parse(raw)
		if err == nil {
			if again, err := parse(r.Bytes()); err != nil || again != r {
				t.Fatalf("%+v is stored as %+v, %v", r, again, err)
			}
		}
	})
}
