package lz4hc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// lz4 is what the program makes of data in its legacy format, which is one block.
func lz4(t *testing.T, data []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("lz4", "-q", "-l", "-9", "-c", path).Output()
	if err != nil {
		t.Fatalf("lz4: %v", err)
	}
	size := binary.LittleEndian.Uint32(out[4:])
	return out[8:][:size]
}

func contents() map[string][]byte {
	r := rand.New(rand.NewPCG(5, 6))
	all := map[string][]byte{"one": {'x'}, "few": []byte("abcabcabcabc"), "zeros": make([]byte, 300_000)}
	for _, n := range []int{12, 13, 14, 300, 65_535, 65_537, 250_001} {
		for _, of := range []int{1, 2, 5, 70, 256} {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(r.IntN(of))
			}
			all[fmt.Sprintf("%d of %d", n, of)] = b
		}
	}
	for _, n := range []int{5000, 1_500_000} {
		var b []byte
		for len(b) < n {
			switch r.IntN(5) {
			case 0: // a run
				b = append(b, bytes.Repeat([]byte{byte(r.IntN(3))}, int(r.ExpFloat64()*60))...)
			case 1:
				for range r.IntN(20) {
					b = append(b, byte(r.Uint32()))
				}
			default:
				if len(b) > 0 {
					from := max(0, len(b)-1-int(r.ExpFloat64()*20_000))
					b = append(b, b[from:min(len(b), from+int(r.ExpFloat64()*20))]...)
				}
			}
		}
		all[fmt.Sprintf("copies %d", n)] = b
	}
	return all
}

func TestTheBlockIsByteForByteWhatLZ4Writes(t *testing.T) {
	for name, data := range contents() {
		got := Compress([]byte("x"), data)[1:]
		if want := lz4(t, data); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes differ from lz4's %d", name, len(got), len(want))
		}
		back, err := Decompress([]byte("before"), got, len(data))
		if err != nil || string(back) != "before"+string(data) {
			t.Errorf("%s: decompresses to %d bytes, %v", name, len(back), err)
		}
		if _, err := Decompress(nil, got, len(data)-1); err == nil {
			t.Errorf("%s: decompresses to more than it may", name)
		}
	}
}

func FuzzCompress(f *testing.F) {
	f.Add([]byte("a string, a string, a string"))
	f.Fuzz(func(t *testing.T, data []byte) {
		back, err := Decompress(nil, Compress(nil, data), len(data))
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("decompresses to %d bytes, %v: want %d", len(back), err, len(data))
		}
	})
}

func FuzzDecompress(f *testing.F) {
	f.Add(Compress(nil, []byte("a string, a string, a string")))
	f.Fuzz(func(t *testing.T, block []byte) {
		const most = 1 << 16
		if out, _ := Decompress(nil, block, most); len(out) > most {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
