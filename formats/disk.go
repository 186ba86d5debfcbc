package formats

import (
	"context"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/progress"
)

func (c *conversion) disk() string { return c.release.path(manifests.DiskFile) }

// writeRaw copies the disk, holes as holes.
func (c *conversion) writeRaw(ctx context.Context) error {
	return c.copySparse(ctx, c.disk(), c.made)
}

// copySparse copies a file to a new one, holes as holes.
func (c *conversion) copySparse(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	step := c.Progress.Step("write "+string(c.Format), info.Size())
	err = sparse.Copy(ctx, out, in, step.Add)
	step.Done(err)
	if err != nil {
		return err
	}
	return out.Close()
}

// writeZstd compresses the disk.
func (c *conversion) writeZstd(ctx context.Context) error {
	return c.stream(ctx, func(w io.Writer) (io.WriteCloser, error) { return newCompressor(w) })
}

// newCompressor compresses with one thread: the bytes must not depend on the
// number of cores.
func newCompressor(w io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(8<<20))
}

// stream writes the disk through a writer.
func (c *conversion) stream(ctx context.Context, open func(io.Writer) (io.WriteCloser, error)) error {
	out, err := os.OpenFile(c.made, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	w, err := open(out)
	if err != nil {
		return err
	}
	if err := c.copyDisk(ctx, w, c.disk()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Close()
}

// copyDisk writes the whole of a disk, with zeros for its holes.
func (c *conversion) copyDisk(ctx context.Context, w io.Writer, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	reader, err := sparse.NewReader(in)
	if err != nil {
		return err
	}
	step := c.Progress.Step("write "+string(c.Format), reader.Size())
	_, err = io.Copy(w, progress.Reader(untilDone{ctx, reader}, step))
	step.Done(err)
	return err
}

// untilDone reads until the context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// writeQCOW2 compresses, too: what a guest writes is written to new clusters.
func (c *conversion) writeQCOW2(ctx context.Context) error {
	return c.qemuImg(ctx, c.made, "-c", "-O", "qcow2")
}

// qemuImg converts the disk to a file in the working folder. With one coroutine,
// clusters are in the order of the disk, and not in that in which they happened
// to be compressed.
func (c *conversion) qemuImg(ctx context.Context, to string, options ...string) error {
	args := append([]string{"convert", "-p", "-m", "1", "-f", "raw"}, options...)
	return c.runProgram(ctx, qemuImg, append(args, c.disk(), to)...)
}
