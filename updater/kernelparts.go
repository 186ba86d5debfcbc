package updater

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/ukifile"
)

// kernelPart is a part of the offered kernel image.
type kernelPart struct {
	manifests.UKIPart
	at int64 // in the kernel image, bytes

	path string // of a kernel image of this host that has it too; "" if there is none
	from int64  // where
}

// inRoot reports whether the part is to be taken from the new root image. Small
// parts are not: the command line, which must be known before, is one of them.
func (p kernelPart) inRoot(image int64) bool {
	const least = 64 << 10
	return p.path == "" && p.Root >= 0 && p.Size >= least && p.Root <= image-p.Size
}

// kernelParts are the parts of the offered kernel image, and which of them the
// kernel images on the boot partition have.
func (s *session) kernelParts(o offer) []kernelPart {
	known := map[manifests.FetchFile]kernelPart{}
	for _, slot := range []partitions.Slot{partitions.SlotA, partitions.SlotB} {
		if path, err := s.control.KernelPath(slot); err == nil {
			_ = s.knowParts(path, known) // one that cannot be read has no parts
		}
	}
	var parts []kernelPart
	at := int64(0)
	for _, part := range o.Transport.UKI.Parts {
		found := known[manifests.FetchFile{Size: part.Size, Digest: part.Digest}]
		parts = append(parts, kernelPart{UKIPart: part, at: at, path: found.path, from: found.from})
		at += part.Size
	}
	return parts
}

// knowParts notes the parts of a kernel image of this host.
func (s *session) knowParts(path string, known map[manifests.FetchFile]kernelPart) error {
	f, err := s.FS.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	cuts, err := ukifile.Cuts(f, size)
	if err != nil {
		return err
	}
	for n, from := range cuts[:len(cuts)-1] {
		size := cuts[n+1] - from
		digest, err := digestOf(f, from, size)
		if err != nil {
			return err
		}
		known[manifests.FetchFile{Size: size, Digest: digest}] = kernelPart{path: path, from: from}
	}
	return nil
}

func digestOf(r io.ReaderAt, from, size int64) (manifests.Digest, error) {
	hash := sha256.New()
	n, err := io.CopyBuffer(hash, io.NewSectionReader(r, from, size), make([]byte, 256<<10))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return manifests.Digest(hash.Sum(nil)), err
}

// assembleUKI makes the download of the parts that are at hand and of those that are
// fetched. Those that the new root image has are left for completeUKI.
func (i *installation) assembleUKI(ctx context.Context, step interface{ Add(int64) }) error {
	file, err := os.OpenFile(i.downloadPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(i.offer.Transport.UKI.Size); err != nil {
		return err
	}
	i.holes = nil
	var missing []kernelPart
	for _, part := range i.kernelParts(i.offer) {
		switch digest, err := digestOf(file, part.at, part.Size); {
		case err == nil && digest == part.Digest: // of an attempt that was cut
		case part.inRoot(i.offer.Root.Size()):
			i.holes = append(i.holes, part)
			continue
		case part.path == "" || i.copyPart(file, part) != nil:
			missing = append(missing, part)
			continue
		}
		step.Add(part.Size)
	}
	return i.fetchParts(ctx, file, missing, step)
}

// copyPart copies a part from a kernel image on the boot partition.
func (i *installation) copyPart(to io.WriterAt, part kernelPart) error {
	from, err := i.FS.Open(part.path)
	if err != nil {
		return err
	}
	defer from.Close()
	return takePart(to, from, part.from, part)
}

// takePart copies a part, and is nil when it is the right one.
func takePart(to io.WriterAt, from io.ReaderAt, offset int64, part kernelPart) error {
	digest, err := copyHashed(io.NewOffsetWriter(to, part.at), io.NewSectionReader(from, offset, part.Size), part.Size)
	if err == nil && digest != part.Digest {
		err = fmt.Errorf("%d bytes at %d are %s: want %s", part.Size, offset, digest, part.Digest)
	}
	return err
}

// fetchParts fetches parts from the first source that gives them.
func (i *installation) fetchParts(ctx context.Context, to io.WriterAt, parts []kernelPart, step interface{ Add(int64) }) error {
	var why error
	for _, file := range i.quarters.sources.Files(i.offer.Transport.UKI.FetchFile) {
		if len(parts) == 0 {
			return nil
		}
		if !file.Usable() {
			continue
		}
		done := make([]bool, len(parts))
		var spans []fetch.Span
		for _, part := range parts {
			spans = append(spans, fetch.Span{From: part.at, To: part.at + part.Size})
		}
		err := file.Each(ctx, spans, 1, func(n int, r io.Reader) error {
			part := parts[n]
			hash := sha256.New()
			if _, err := io.CopyBuffer(io.MultiWriter(io.NewOffsetWriter(to, part.at), hash), r, make([]byte, 256<<10)); err != nil {
				return err
			}
			if digest := manifests.Digest(hash.Sum(nil)); digest != part.Digest {
				return fmt.Errorf("kernel image: %d bytes at %d are %s: want %s", part.Size, part.at, digest, part.Digest)
			}
			done[n] = true
			step.Add(part.Size)
			return nil
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			why = err
			file.Failed(err)
		}
		var rest []kernelPart
		for n, part := range parts {
			if !done[n] {
				rest = append(rest, part)
			}
		}
		parts = rest
	}
	if len(parts) > 0 {
		return fmt.Errorf("not all of its parts are to be had: %w", cause(why))
	}
	return nil
}

// completeUKI fills in what the root image has of the kernel image, now that it is
// written. Should anything of that not be so, the kernel image is fetched whole.
func (i *installation) completeUKI(ctx context.Context) error {
	want := i.offer.Transport.UKI.FetchFile
	why := errors.New("its parts do not make it")
	if len(i.holes) > 0 {
		if err := i.fillHoles(ctx); ctx.Err() != nil {
			return context.Cause(ctx)
		} else if err != nil {
			why = err
		}
	}
	same, err := fileHas(i.FS, i.downloadPath(), want)
	if err != nil || same {
		return err
	}
	return i.fetchWholeUKI(ctx, why)
}

func (i *installation) fillHoles(ctx context.Context) error {
	file, err := os.OpenFile(i.downloadPath(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	var missing []kernelPart
	for _, part := range i.holes {
		if takePart(file, i.slot.Root, part.Root, part) != nil {
			missing = append(missing, part)
		}
	}
	return i.metered(func() error { return i.fetchParts(ctx, file, missing, nowhere{}) })
}

// nowhere is a step that nobody is told of.
type nowhere struct{}

func (nowhere) Add(int64) {}
