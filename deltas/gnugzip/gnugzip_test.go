package gnugzip

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// gzip is what the program makes of data: the stream, without header and sums.
func gzip(t *testing.T, data []byte, level int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("gzip", "-n", "-c", fmt.Sprintf("-%d", level), path).Output()
	if err != nil {
		t.Fatalf("gzip: %v", err)
	}
	return out[10 : len(out)-8]
}

// contents are data of many kinds: longer and shorter than the window, hard and
// easy to compress, with matches near and far.
func contents(t *testing.T) map[string][]byte {
	r := rand.New(rand.NewPCG(5, 6))
	all := map[string][]byte{"empty": {}, "one": {'x'}, "two": []byte("xx"), "three": []byte("abc")}
	random := func(n, of int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.IntN(of))
		}
		return b
	}
	for _, n := range []int{4, 300, 32 << 10, 65535, 65536, 65537, 98 << 10, 200_001} {
		for _, of := range []int{1, 2, 5, 70, 256} {
			all[fmt.Sprintf("%d of %d", n, of)] = random(n, of)
		}
	}
	words := make([][]byte, 2000)
	for i := range words {
		words[i] = append(random(1+r.IntN(9), 26), ' ')
	}
	for _, n := range []int{5000, 100_000, 300_000} {
		var text []byte
		for len(text) < n {
			text = append(text, words[int(r.ExpFloat64()*200)%len(words)]...)
			if r.IntN(50) == 0 && len(text) > 100 {
				from := r.IntN(len(text) - 50)
				text = append(text, text[from:from+r.IntN(min(400, len(text)-from))]...)
			}
		}
		all[fmt.Sprintf("text %d", n)] = text
		all[fmt.Sprintf("text and noise %d", n)] = append(append(bytes.Clone(text), random(n/2, 256)...), text...)
	}
	return all
}

func TestTheStreamIsByteForByteWhatGzipWrites(t *testing.T) {
	for name, data := range contents(t) {
		for _, level := range []int{4, 6, 9} {
			got, err := Deflate(nil, data, level)
			if err != nil {
				t.Fatal(err)
			}
			if want := gzip(t, data, level); !bytes.Equal(got, want) {
				t.Errorf("%s, level %d: %d bytes differ from gzip's %d", name, level, len(got), len(want))
			}
		}
	}
}

func TestOtherLevelsAreRefused(t *testing.T) {
	for _, level := range []int{-1, 0, 3, 10} {
		if _, err := Deflate(nil, nil, level); err == nil {
			t.Errorf("level %d is accepted", level)
		}
	}
}

func FuzzDeflate(f *testing.F) {
	f.Add([]byte("a string, a string, a string"), 9)
	f.Fuzz(func(t *testing.T, data []byte, level int) {
		out, err := Deflate(nil, data, level)
		if err != nil {
			return
		}
		back, err := io.ReadAll(flate.NewReader(bytes.NewReader(out)))
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("decompresses to %d bytes, %v: want %d", len(back), err, len(data))
		}
	})
}
