package ukifile_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/updater/testhost"
)

func TestEqualSectionsAreEqualPartsOfTwoImages(t *testing.T) {
	kernel := bytes.Repeat([]byte("kernel"), 1000)
	parts := func(line string) map[string]bool {
		raw := testhost.NewUKI(line, kernel)
		cuts, err := ukifile.Cuts(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if cuts[0] != 0 || cuts[len(cuts)-1] != int64(len(raw)) {
			t.Fatalf("cuts %v do not tile %d bytes", cuts, len(raw))
		}
		found := map[string]bool{}
		for i := range cuts[1:] {
			found[string(raw[cuts[i]:cuts[i+1]])] = true
		}
		return found
	}
	for _, line := range []string{"quiet", "a longer line than the other one"} {
		if found := parts(line); !found[string(kernel)] || !found[line] {
			t.Errorf("%q: no part is its kernel, or none its command line", line)
		}
	}
}

func TestASectionBeyondTheImageHasNoCuts(t *testing.T) {
	raw := testhost.NewUKI("quiet", []byte("kernel"))
	binary.LittleEndian.PutUint32(raw[88+20:], 0xfffffff0)
	if _, err := ukifile.Cuts(bytes.NewReader(raw), int64(len(raw))); err == nil || !strings.Contains(err.Error(), "inside of") {
		t.Errorf("error %v, want one about a section outside", err)
	}
}

func FuzzCuts(f *testing.F) {
	f.Add(testhost.NewUKI("quiet", []byte("kernel")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		cuts, err := ukifile.Cuts(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		for i, cut := range cuts[1:] {
			if cut <= cuts[i] || cut > int64(len(raw)) {
				t.Fatalf("cuts %v of %d bytes", cuts, len(raw))
			}
		}
	})
}
