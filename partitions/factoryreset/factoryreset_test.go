package factoryreset

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/bootcount"
)

func TestAWishIsReadAsItWasMade(t *testing.T) {
	for _, when := range []time.Time{time.Date(2026, 11, 26, 2, 0, 1, 0, time.UTC), time.Unix(0, 0).UTC(), time.Unix(-5, 0).UTC()} {
		state := append(make([]byte, Offset), Request{When: when}.Bytes()...)
		if r, err := Read(bytes.NewReader(state)); err != nil || !r.When.Equal(when) {
			t.Errorf("%s: read %v, %v", when, r, err)
		}
		copy(state[Offset:], None())
		if r, err := Read(bytes.NewReader(state)); !errors.Is(err, ErrNone) {
			t.Errorf("cleared: read %v, %v", r, err)
		}
	}
}

// TestADamagedWishIsNone tears the sector as well, where a disk would not.
func TestADamagedWishIsNone(t *testing.T) {
	good := Request{When: time.Unix(1_700_000_000, 0)}.Bytes()
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 0x01
		torn := append(bytes.Clone(good[:at]), None()[at:]...)
		for _, raw := range [][]byte{bad, torn} {
			if r, err := parse(raw); !errors.Is(err, ErrNone) {
				t.Fatalf("byte %d: %v, %v", at, r, err)
			}
		}
	}
	for _, state := range [][]byte{nil, make([]byte, Offset), make([]byte, Offset+Size-1), make([]byte, Offset+Size)} {
		if r, err := Read(bytes.NewReader(state)); err == nil {
			t.Errorf("%d bytes: %v", len(state), r)
		}
	}
}

func TestTheWishIsInNobodysPlace(t *testing.T) {
	const copySize, copyDistance = 4096, 512 << 10 // of the journal
	if Offset < bootcount.Offset+bootcount.Size || Offset+Size > copyDistance || Offset < copySize || Offset+Size > partitions.StateSize {
		t.Errorf("it is at %d with %d bytes", Offset, Size)
	}
	if Offset%4096 != 0 {
		t.Error("on a disk with sectors of 4096 bytes it is not at the start of one")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Request{When: time.Unix(1, 0)}.Bytes())
	f.Add(None())
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parse(raw)
		if err == nil {
			if again, err := parse(r.Bytes()); err != nil || !again.When.Equal(r.When) {
				t.Fatalf("%v is stored as %v, %v", r, again, err)
			}
		}
	})
}
