package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"
)

const (
	blockSize = 4096
	hashSize  = 32 // of a block in an index: that of RAUC has SHA-256 in full
)

var (
	blocks9  = method{name: "4 KiB blocks, zstd -9", any: true, note: "computed: blocks that the old image has not, each once, in order, in one stream, and 32 bytes of index for each block of the image"}
	blocks19 = method{name: "4 KiB blocks, zstd -19", any: true}
	rauc     = method{name: "RAUC adaptive, raw", any: true, note: "computed as RAUC 1.8 has `block-hash-index`: 32 bytes for each block, and every block that the old image has not. " +
		"To install, RAUC wants a service, slots and a network block device"}
	raucSquashed = method{name: "RAUC adaptive, squashfs", any: true, note: "the same when the bundle's file system compresses (zstd, blocks of 64 KiB, as RAUC advises): " +
		"every such block with a missing one in it travels"}
)

// blocks computes what de-duplication in blocks of 4 KiB costs.
func (t *trial) blocks(ctx context.Context) ([]figure, error) {
	missing, err := os.Create(t.bench.Path("missing"))
	if err != nil {
		return nil, err
	}
	defer missing.Close()
	raw, squashed, err := t.writeMissing(missing)
	if err != nil {
		return nil, err
	}
	index := t.size / blockSize * hashSize
	figures := []figure{{Method: rauc, Bytes: index + raw}, {Method: raucSquashed, Bytes: index + squashed}}
	for _, level := range []struct {
		method
		option string
	}{{blocks9, "-9"}, {blocks19, "-19"}} {
		if _, err := t.bench.Command(ctx, "zstd -q -f -T0 "+level.option+" missing -o packed"); err != nil {
			return nil, err
		}
		size, err := fileSize(t.bench.Path("packed"))
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{Method: level.method, Bytes: index + size})
	}
	return figures, nil
}

// squashBlock is the size of the blocks that a bundle is compressed in.
const squashBlock = 64 << 10

// writeMissing writes the blocks of the new image that the old one has not, each
// once. It says how many bytes such blocks are, however often they come, and how
// many they are in compressed pieces.
func (t *trial) writeMissing(out io.Writer) (raw, squashed int64, err error) {
	had := map[[sha256.Size]byte]bool{sha256.Sum256(make([]byte, blockSize)): true}
	err = t.eachPiece("old", func(piece []byte) error {
		for block := range slices.Chunk(piece, blockSize) {
			had[sha256.Sum256(block)] = true
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, 0, err
	}
	defer encoder.Close()
	written := map[[sha256.Size]byte]bool{}
	buffered := bufio.NewWriterSize(out, 1<<20)
	var packed []byte
	err = t.eachPiece("new", func(piece []byte) error {
		whole := true
		for block := range slices.Chunk(piece, blockSize) {
			digest := sha256.Sum256(block)
			if had[digest] {
				continue
			}
			whole = false
			raw += blockSize
			if !written[digest] {
				written[digest] = true
				if _, err := buffered.Write(block); err != nil {
					return err
				}
			}
		}
		if !whole {
			packed = encoder.EncodeAll(piece, packed[:0])
			squashed += int64(min(len(packed), len(piece)))
		}
		return nil
	})
	return raw, squashed, errors.Join(err, buffered.Flush())
}

// eachPiece reads a root image in pieces of squashBlock; the last may be shorter.
func (t *trial) eachPiece(release string, do func([]byte) error) error {
	file, err := os.Open(t.bench.Path(release, "root.erofs"))
	if err != nil {
		return err
	}
	defer file.Close()
	piece := make([]byte, squashBlock)
	for {
		n, err := io.ReadFull(file, piece)
		if err == io.EOF {
			return nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		if n%blockSize != 0 {
			return fmt.Errorf("%s is not of whole blocks", file.Name())
		}
		if err := do(piece[:n]); err != nil {
			return err
		}
	}
}
