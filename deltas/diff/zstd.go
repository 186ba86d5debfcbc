package diff

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/deltas/patch"
)

func compress(reference, out []byte) ([]byte, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(patch.WindowMost), zstd.WithEncoderCRC(false),
		zstd.WithEncoderDictRaw(patch.DictionaryID, reference))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	return e.EncodeAll(out, nil), nil
}
