package updater

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/hostfs"
)

// kernelPaths are where the target slot's kernel image is or is to be, and
// beside it the name under which it is written, which no loader takes.
func (i *installation) kernelPaths() (final, temporary string, err error) {
	final, err = i.control.KernelPath(i.target.Slot)
	return final, filepath.Join(filepath.Dir(final), filepath.Base(esp.TempUKIPath(i.target.Slot))), err
}

func (s *session) downloadPath() string { return filepath.Join(s.host.State, "uki.download") }

// fetchUKI downloads the kernel image, as far as it is not at hand nor in the new root
// image, and checks it before anything of the slot is given up.
func (i *installation) fetchUKI(ctx context.Context) error {
	want := i.offer.Transport.UKI.FetchFile
	if err := i.checkSpace(want.Size); err != nil {
		return err
	}
	path := i.downloadPath()
	if same, err := fileHas(i.FS, path, want); err != nil {
		return err
	} else if !same {
		err := i.report("fetch kernel image", want.Size, func(step progress.Step) error {
			return i.metered(func() error { return i.assembleUKI(ctx, step) })
		})
		if err != nil && ctx.Err() == nil {
			err = i.fetchWholeUKI(ctx, err)
		}
		if err != nil {
			return err
		}
	}
	f, err := i.FS.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := i.checkUKI(f); err != nil {
		return err
	}
	return i.checkMayOpen(f)
}

// fetchWholeUKI downloads all of the kernel image from the repository, and notes why.
func (i *installation) fetchWholeUKI(ctx context.Context, why error) error {
	want := i.offer.Transport.UKI.FetchFile
	i.note("the kernel image was fetched whole: %v", why)
	i.holes = nil
	return i.metered(func() error {
		return contentError(i.fetch.File(ctx, manifests.ArtifactPath(want.Digest), want, i.downloadPath()))
	})
}

// checkUKI refuses a kernel image that would boot another root file system.
func (i *installation) checkUKI(f hostfs.File) error {
	line, err := ukifile.CommandLine(f, i.offer.Transport.UKI.Size)
	if err != nil {
		return refuse(i.target.Version, "%v", err)
	}
	boot, err := cmdline.Parse(line)
	if err != nil {
		return refuse(i.target.Version, "its kernel image: %v", err)
	}
	want := i.offer.Root
	if boot.Root.Hash != want.Hash || boot.Root.Blocks != want.Blocks || !bytes.Equal(boot.Root.Salt, want.Salt) {
		return refuse(i.target.Version, "its kernel image boots root hash %x: the release has %x", boot.Root.Hash, want.Hash)
	}
	return nil
}

// checkSpace asks for room for the kernel image on the boot partition, where
// the one of the target slot goes first, and for the download.
func (i *installation) checkSpace(size int64) error {
	const slack = 1 << 20
	final, temporary, err := i.kernelPaths()
	if err != nil {
		return err
	}
	given := int64(0)
	for _, name := range []string{final, temporary} {
		if info, err := os.Stat(name); err == nil {
			given += info.Size()
		}
	}
	free, err := hostfs.Free(i.esp)
	if err != nil {
		return err
	}
	if free+given < size+slack {
		return refuse(i.target.Version, "the boot partition has %d bytes free: its kernel image needs %d", free+given, size+slack)
	}
	if free, err = hostfs.Free(i.host.State); err != nil {
		return err
	}
	if info, err := os.Stat(i.downloadPath()); err == nil {
		free += info.Size() // it is used, or replaced
	}
	if free < size+slack {
		return refuse(i.target.Version, "%s has %d bytes free: the download needs %d", i.host.State, free, size+slack)
	}
	return nil
}

// copyUKI is step 8: completed, and under a name that the loader passes over, checked
// in the buffer that is written, and again as it is on the medium.
func (i *installation) copyUKI(ctx context.Context) (err error) {
	if err := i.completeUKI(ctx); err != nil {
		return err
	}
	_, name, err := i.kernelPaths()
	if err != nil {
		return err
	}
	from, err := i.FS.Open(i.downloadPath())
	if err != nil {
		return err
	}
	defer from.Close()
	if err := i.checkUKI(from); err != nil { // it may not be the file that was looked at
		return err
	}
	to, err := i.FS.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		to.Close()
		if err != nil {
			// A failure gives the space back.
			err = errors.Join(err, i.FS.Remove(name))
		}
	}()
	want := i.offer.Transport.UKI.FetchFile
	digest, err := copyHashed(to, from, want.Size)
	if err != nil {
		return err
	}
	if digest != want.Digest {
		return &UntrustedError{fmt.Errorf("the download is %s: want %s", digest, want.Digest)}
	}
	if err := to.Sync(); err != nil {
		return err
	}
	if err := i.FS.SyncFS(i.esp); err != nil {
		return err
	}
	if err := to.Drop(0, want.Size); err != nil {
		return err
	}
	return i.demandUKI(name)
}

// copyHashed copies size bytes in pieces of 1 MiB.
func copyHashed(to io.WriterAt, from io.ReaderAt, size int64) (manifests.Digest, error) {
	hash := sha256.New()
	buffer := make([]byte, min(size, 1<<20))
	for offset := int64(0); offset < size; {
		piece := buffer[:min(int64(len(buffer)), size-offset)]
		if n, err := from.ReadAt(piece, offset); n < len(piece) {
			return manifests.Digest{}, fmt.Errorf("reading the download: %w", err)
		}
		hash.Write(piece)
		if _, err := to.WriteAt(piece, offset); err != nil {
			return manifests.Digest{}, err
		}
		offset += int64(len(piece))
	}
	return manifests.Digest(hash.Sum(nil)), nil
}

// renameUKI is step 9.
func (i *installation) renameUKI(context.Context) error {
	final, temporary, err := i.kernelPaths()
	if err != nil {
		return err
	}
	if err := i.FS.Rename(temporary, final); err != nil {
		return errors.Join(err, i.FS.Remove(temporary))
	}
	if err := i.FS.SyncDir(filepath.Dir(final)); err != nil {
		return err
	}
	if err := i.FS.SyncFS(i.esp); err != nil {
		return err
	}
	if err := i.demandUKI(final); err != nil {
		return err
	}
	if err := i.reload(); err != nil {
		return err
	}
	if !i.boot.Has(i.target.Slot) {
		return fmt.Errorf("the boot partition did not keep %s", filepath.Base(final))
	}
	os.Remove(i.downloadPath()) // a leftover is used or replaced next time
	return nil
}

// demandUKI reads a file of the boot partition back.
func (i *installation) demandUKI(path string) error {
	same, err := fileHas(i.FS, path, i.offer.Transport.UKI.FetchFile)
	if err == nil && !same {
		err = fmt.Errorf("the boot partition did not keep %s as it was written", filepath.Base(path))
	}
	return err
}

// hasUKI reports whether the slot's UKI is the offered one.
func (i *installation) hasUKI(slot partitions.Slot) (bool, error) {
	path, err := i.control.KernelPath(slot)
	if err != nil {
		return false, err
	}
	return fileHas(i.FS, path, i.offer.Transport.UKI.FetchFile)
}

// fileHas reports whether a file is there and has the size and digest.
func fileHas(fsys hostfs.FS, name string, want manifests.FetchFile) (bool, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if size, err := f.Size(); err != nil || size != want.Size {
		return false, err
	}
	hash := sha256.New()
	if _, err := io.CopyBuffer(hash, io.NewSectionReader(f, 0, want.Size), make([]byte, 256<<10)); err != nil {
		return false, fmt.Errorf("reading %s: %w", name, err)
	}
	return manifests.Digest(hash.Sum(nil)) == want.Digest, nil
}
