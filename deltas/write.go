package deltas

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
)

func folderOf(path string) string { return filepath.Dir(path) }

// keep puts the payload of segment i into the spool.
func (k *maker) keep(i int, payload []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at[i] = k.end
	n, err := k.spool.Write(payload)
	k.end += int64(n)
	return err
}

func (k *maker) discard() {
	if k.spool != nil {
		k.spool.Discard()
	}
}

// write puts the header before the payloads, in the order of their segments.
func (k *maker) write(ctx context.Context) error {
	header := k.delta.AppendHeader(nil)
	k.made.Segments = len(k.delta.Segments)
	k.made.HeaderSize = int64(len(header))
	k.made.HeaderDigest = sha256.Sum256(header)
	k.made.Size = k.made.HeaderSize + k.end
	if _, err := ParseHeader(header, k.delta.From, k.delta.To, k.made.Size); err != nil {
		return fmt.Errorf("%w: %w", ErrTooManyParts, err)
	}
	file, err := durable.Create(folderOf(k.Path))
	if err != nil {
		return err
	}
	defer file.Discard()
	sum := sha256.New()
	to := bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<20)
	to.Write(header) // an error stays until Flush
	for i, s := range k.delta.Segments {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if s.Copy >= 0 {
			continue
		}
		if _, err := io.Copy(to, io.NewSectionReader(k.spool, k.at[i], s.Payload.Size)); err != nil {
			return err
		}
	}
	if err := to.Flush(); err != nil {
		return err
	}
	k.made.Digest = manifests.Digest(sum.Sum(nil))
	return file.Commit(k.Path, 0o644)
}

// appendRanges appends more to ranges, as few as can be.
func appendRanges(ranges, more []Range) []Range {
	for _, r := range more {
		if n := len(ranges); n > 0 && ranges[n-1].Offset+ranges[n-1].Size == r.Offset {
			ranges[n-1].Size += r.Size
		} else {
			ranges = append(ranges, r)
		}
	}
	return ranges
}
