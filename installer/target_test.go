package installer

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/proa-os/proa/updater/hostfs"
)

// pulledOut is the open node of a disk that is not there any more, as Linux has it,
// or of one that is and is full.
type pulledOut struct {
	hostfs.File
	size int64
}

func (p pulledOut) Size() (int64, error)               { return p.size, nil }
func (p pulledOut) ReadAt([]byte, int64) (int, error)  { return 0, io.EOF }
func (p pulledOut) WriteAt([]byte, int64) (int, error) { return 0, syscall.ENOSPC }

func TestADiskWithoutBytesWasPulledOut(t *testing.T) {
	for size, want := range map[int64]bool{0: true, 1 << 20: false} {
		written := false
		disk := target{pulledOut{size: size}, "/dev/sda", &written}
		var gone *GoneError
		if _, err := disk.ReadAt(make([]byte, 1), 0); errors.As(err, &gone) != want || !errors.Is(err, io.EOF) || want && gone.Written {
			t.Errorf("size %d: read: %v", size, err)
		}
		if _, err := disk.WriteAt(make([]byte, 1), 0); errors.As(err, &gone) != want || !errors.Is(err, syscall.ENOSPC) || want && !gone.Written {
			t.Errorf("size %d: write: %v", size, err)
		}
	}
}
