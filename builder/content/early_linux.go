package content

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeEarly asks the kernel to begin to write a part of a file to the disk
// (sync_file_range(2)), and does not wait for it. Where it cannot, the sync
// that follows takes longer.
func writeEarly(file *os.File, offset, size int64) {
	_ = unix.SyncFileRange(int(file.Fd()), offset, size, unix.SYNC_FILE_RANGE_WRITE)
}
