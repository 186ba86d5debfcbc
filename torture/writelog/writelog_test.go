package writelog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWhatQEMULoggedIsRead writes to a disk with QEMU's own tool.
func TestWhatQEMULoggedIsRead(t *testing.T) {
	dir := t.TempDir()
	disk, log := filepath.Join(dir, "disk"), filepath.Join(dir, "log")
	for path, size := range map[string]int64{disk: 1 << 20, log: 8 << 20} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf("driver=blklogwrites,discard=unmap,log-sector-size=512,file.driver=file,file.discard=unmap,file.filename=%s,log.driver=file,log.filename=%s", disk, log)
	cmd := exec.Command("qemu-io", "-t", "writeback", "--image-opts", options, "-c", "write -P 0x11 0 1k", "-c", "flush",
		"-c", "write -P 0x22 4k 512", "-c", "write -z 8k 4k", "-c", "discard 64k 64k", "-c", "write -P 0x33 1k 8k")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got []string
	content := make([]byte, 1<<20)
	for _, e := range readAll(t, log) {
		got = append(got, fmt.Sprintf("%d+%d flush=%t fua=%t discard=%t", e.Sector, e.Sectors, e.Flush, e.FUA, e.Discard))
		copy(content[e.Sector*SectorSize:], e.Data)
	}
	want := []string{
		"0+2 flush=false fua=false discard=false",
		"0+0 flush=true fua=false discard=false",
		"8+1 flush=false fua=false discard=false",
		"16+8 flush=false fua=false discard=false",
		"128+128 flush=false fua=false discard=true",
		"2+16 flush=false fua=false discard=false",
		"0+0 flush=true fua=false discard=false", // qemu-io closes the disk
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	written, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written, content) {
		t.Error("the writes of the log do not make the disk")
	}
}

func readAll(t *testing.T, path string) []Entry {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var all []Entry
	for r := NewReader(f, info.Size()); ; {
		e, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
}

// logOf makes a log of one entry.
func logOf(sector, sectors, flags uint64, data []byte) []byte {
	out := make([]byte, 2*SectorSize)
	binary.LittleEndian.PutUint64(out[0:], magic)
	binary.LittleEndian.PutUint64(out[8:], version)
	binary.LittleEndian.PutUint32(out[24:], SectorSize)
	for i, v := range []uint64{sector, sectors, flags, uint64(len(data))} {
		binary.LittleEndian.PutUint64(out[SectorSize+8*i:], v)
	}
	return append(out, data...)
}

func TestAMalformedLogIsRefusedByName(t *testing.T) {
	good := logOf(3, 1, 0, make([]byte, SectorSize))
	for _, test := range []struct {
		log  []byte
		want string
	}{
		{good[:100], "a log of 100 bytes"},
		{bytes.Repeat([]byte{1}, 2048), "not that of a dm-log-writes log"},
		{append([]byte{}, good[:len(good)-1]...), "beyond the end"},
		{logOf(3, 1<<30, 0, make([]byte, SectorSize)), "want 67108864 at most"},
		{logOf(3, 1, 64, nil), "flags 0x40"},
		{logOf(1<<60, 1, 0, nil), "less than 2^54"},
	} {
		if _, err := NewReader(bytes.NewReader(test.log), int64(len(test.log))).Next(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got error %v, want one with %q", err, test.want)
		}
	}
}

func TestALogWhoseSuperBlockIsYetToComeIsRead(t *testing.T) {
	log := logOf(3, 1, 0, make([]byte, SectorSize))
	clear(log[:SectorSize])
	r := NewReader(bytes.NewReader(log), int64(len(log)))
	if err := r.Skip(); err != nil || r.Count() != 1 {
		t.Errorf("%d entries, %v", r.Count(), err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(logOf(3, 1, 0, make([]byte, SectorSize)))
	f.Add(logOf(0, 0, flagFlush, nil))
	f.Add(logOf(8, 8, flagDiscard, nil))
	f.Fuzz(func(t *testing.T, log []byte) {
		count := 0
		for r := NewReader(bytes.NewReader(log), int64(len(log))); ; count++ {
			if _, err := r.Next(); err != nil {
				break
			}
		}
		if count > len(log)/SectorSize {
			t.Errorf("%d entries in %d bytes", count, len(log))
		}
	})
}
