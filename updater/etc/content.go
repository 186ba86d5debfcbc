package etc

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ContentMost bounds what Contents reads of a file, in bytes.
const ContentMost = 1 << 20

// Content is what a name holds.
type Content struct {
	Exists bool
	Text   []byte // of a file; a link's is "-> " and its target
}

// Contents are what the name is in the layer in folder and in the root file
// system of the release. A name that is neither file nor link is an error, and
// so is a file of more than ContentMost bytes.
func Contents(folder, root, path string) (ours, theirs Content, err error) {
	if ours, err = content(filepath.Join(folder, upperFolder, strings.TrimPrefix(path, "etc/"))); err != nil {
		return ours, theirs, err
	}
	theirs, err = content(filepath.Join(root, path))
	return ours, theirs, err
}

func content(path string) (Content, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), err == nil && isWhiteout(info):
		return Content{}, nil
	case err != nil:
		return Content{}, err
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(path)
		return Content{true, []byte("-> " + target + "\n")}, err
	case !info.Mode().IsRegular():
		return Content{}, fmt.Errorf("/etc/%s: want a file or a link", filepath.Base(path))
	case info.Size() > ContentMost:
		return Content{}, fmt.Errorf("/etc/%s: %d bytes: want at most %d", filepath.Base(path), info.Size(), ContentMost)
	}
	f, err := os.Open(path)
	if err != nil {
		return Content{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, ContentMost))
	return Content{true, text}, err
}
