package overlay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
)

// Digest is the digest of all of a folder that Add would put into a tree:
// names, kinds, whether files may be executed, targets of links and contents.
func Digest(ctx context.Context, dir string) (manifests.Digest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return manifests.Digest{}, err
	}
	defer root.Close()
	f := &folder{root: root}
	all := sha256.New()
	err = f.walk(ctx, ".", fs.ModeDir, func(path string, kind fs.FileMode) error {
		about, err := f.about(ctx, path, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, field := range []string{path, about} {
			writeField(all, field)
		}
		return nil
	})
	return manifests.Digest(all.Sum(nil)), err
}

// writeField keeps fields apart by their lengths.
func writeField(w hash.Hash, field string) {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(field)))
	w.Write(length[:])
	io.WriteString(w, field)
}

// about is what there is at a path besides its name.
func (f *folder) about(ctx context.Context, path string, kind fs.FileMode) (string, error) {
	switch kind {
	case fs.ModeDir:
		return "directory", nil
	case fs.ModeSymlink:
		target, err := f.root.Readlink(path)
		return "link " + target, err
	case 0:
		// It may be something else than it was when the folder was listed.
		file, info, err := regular.Check(f.root.OpenFile(path, regular.Flags|syscall.O_NOFOLLOW, 0))
		if err != nil {
			return "", err
		}
		defer file.Close()
		sum := sha256.New()
		_, err = io.Copy(sum, patient{ctx, file})
		return fmt.Sprintf("file %v %x", info.Mode()&0o111 != 0, sum.Sum(nil)), err
	}
	return "", fmt.Errorf("mode %s: want only files, directories and symbolic links", kind)
}

// patient reads until somebody stops waiting.
type patient struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (p patient) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	return p.r.Read(b)
}
