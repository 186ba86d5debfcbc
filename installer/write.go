package installer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/esp/fat"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/hostfs"
)

const (
	pieceSize = 1 << 20
	mib       = 1 << 20

	// edge is the part at either end of a disk where tables and the marks of file
	// systems are, in bytes; before the first partition and behind the last one.
	edge = partitions.Alignment
)

// mark stands on a disk from when it was given to us until its table is whole.
const (
	mark   = "proa install has begun on this disk, and has not ended\n"
	markAt = edge / 2 // behind all tables, before all partitions
)

// eraseTable takes off the disk what makes it anything: first the table, by one
// sector, then the marks of file systems, raid and the like at both ends.
func (j *job) eraseTable(ctx context.Context) error {
	if err := gpt.Erase(j.disk, j.info.Size); err != nil {
		return err
	}
	head := make([]byte, edge)
	copy(head[markAt:], mark)
	if err := j.put(ctx, j.disk, 0, diskimage.InMemory(head), nil); err != nil {
		return err
	}
	if err := j.disk.Sync(); err != nil {
		return err
	}
	return j.zero(ctx, j.disk, j.info.Size-edge, edge)
}

// clear takes away what an older system may have left where the new one expects
// nothing: the other slot, the state, /var. LUKS keeps a second header within the
// first 4 MiB; ext4 that proa-init was making has a mark near its end.
func (j *job) clear(ctx context.Context) error {
	const head, tail = 16 * mib, mib
	for _, role := range []partitions.Role{partitions.RoleRootB, partitions.RoleVerityB, partitions.RoleState, partitions.RoleVar} {
		p, _ := j.layout.Find(role)
		if err := j.zero(ctx, j.disk, p.Start, min(head, p.Size)); err != nil {
			return err
		}
		if p.Size > head {
			if err := j.zero(ctx, j.disk, p.Start+p.Size-tail, tail); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *job) zero(ctx context.Context, to hostfs.File, at, size int64) error {
	if err := j.put(ctx, to, at, diskimage.Source{Reader: zeros{}, Size: size}, nil); err != nil {
		return err
	}
	return to.Sync()
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// writeRoot fills slot a and proves it.
func (j *job) writeRoot(ctx context.Context) error {
	slot := j.slot()
	if err := slot.Fits(j.root()); err != nil {
		return err
	}
	return j.Source.Fill(ctx, filling{job: j, slot: slot, root: j.root(), resume: j.content.unfinished})
}

// piece is a part of the boot partition that must be there.
type piece = diskimage.Piece

func (j *job) pieces() error {
	p, _ := j.layout.Find(partitions.RoleESP)
	var err error
	j.readBack, err = diskimage.ESP(diskimage.ESPConfig{
		Size: p.Size, SectorSize: j.info.SectorSize, Seed: j.Source.Layout().Seed, Epoch: j.release.Epoch, Files: j.files,
	})
	return err
}

func (j *job) writeESP(ctx context.Context) error {
	if err := j.pieces(); err != nil {
		return err
	}
	total := int64(0)
	for _, piece := range j.readBack {
		total += piece.Size
	}
	step := j.Progress.Step("write boot partition", total)
	to := j.partition(partitions.RoleESP)
	var err error
	for _, piece := range j.readBack {
		if err = j.put(ctx, to, piece.Offset, piece.Source, step); err != nil {
			break
		}
	}
	if err == nil {
		err = to.Sync()
	}
	step.Done(err)
	return err
}

// readESPBack reads the boot partition from the medium, every byte that counts, and
// checks it as a reader of FAT would.
func (j *job) readESPBack(ctx context.Context) error {
	from := j.partition(partitions.RoleESP)
	size, err := from.Size()
	if err != nil {
		return err
	}
	if err := from.Drop(0, size); err != nil {
		return err
	}
	want, got := make([]byte, pieceSize), make([]byte, pieceSize)
	for _, piece := range j.readBack {
		for at := int64(0); at < piece.Size; at += pieceSize {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(pieceSize, piece.Size-at)
			if err := readFull(piece.Reader, want[:n], at); err != nil {
				return err
			}
			if err := readFull(from, got[:n], piece.Offset+at); err != nil {
				return err
			}
			if !bytes.Equal(want[:n], got[:n]) {
				return fmt.Errorf("the medium does not hold what was written within %d bytes from byte %d", n, piece.Offset+at)
			}
		}
	}
	volume, err := fat.Open(from, size)
	if err != nil {
		return err
	}
	if err := volume.Check(); err != nil {
		return err
	}
	conf, err := volume.ReadFile(esp.LoaderConfPath, 4096)
	if err != nil {
		return err
	}
	_, err = esp.ParseCommitted(conf)
	return err
}

// writeTable makes it a disk that boots.
func (j *job) writeTable(context.Context) error {
	if err := gpt.Write(j.disk, j.layout, j.info.SectorSize); err != nil {
		return err
	}
	table, err := gpt.ReadSectors(j.disk, j.info.Size, j.info.SectorSize)
	if err == nil && (table.Damaged != "" || !sameLayout(table, j.layout)) {
		err = fmt.Errorf("another table is read back: %s", table.Damaged)
	}
	return err
}

func (j *job) unmark(ctx context.Context) error {
	return j.zero(ctx, j.disk, markAt, 4096)
}

// put makes a part of dst what source is. What is so already is not written.
func (j *job) put(ctx context.Context, dst hostfs.File, at int64, source diskimage.Source, step progress.Step) error {
	if step == nil {
		step = progress.Silent().Step("", 0)
	}
	want, have := make([]byte, pieceSize), make([]byte, pieceSize)
	for done := int64(0); done < source.Size; done += pieceSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(pieceSize, source.Size-done)
		if err := readFull(source.Reader, want[:n], done); err != nil {
			return err
		}
		// A part that cannot be read may be one that can be written.
		if err := readFull(dst, have[:n], at+done); err != nil || !bytes.Equal(want[:n], have[:n]) {
			if _, err := dst.WriteAt(want[:n], at+done); err != nil {
				return fmt.Errorf("writing %d bytes at %d: %w", n, at+done, err)
			}
			dst.Push(at+done, n)
			j.written += n
		}
		step.Add(n)
	}
	return nil
}

// readFull reads all of p from off on.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %d: %w", len(p), off, err)
}
