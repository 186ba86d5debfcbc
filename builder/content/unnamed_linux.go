package content

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openUnnamed makes a file without a name in dir, where the file system knows
// O_TMPFILE (open(2)), and otherwise one whose name is removed at once.
func openUnnamed(dir string) (*os.File, error) {
	file, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return file, err
	}
	file, err = os.CreateTemp(dir, ".proa-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
