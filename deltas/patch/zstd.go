package patch

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

type zstdApplier struct {
	decoder *zstd.Decoder
}

func (a *zstdApplier) apply(out, reference, payload []byte) error {
	if a.decoder == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(WindowMost), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return fmt.Errorf("zstd decoder: %w", err)
		}
		a.decoder = d
	}
	if err := a.decoder.ResetWithOptions(nil, zstd.WithDecoderDictDelete(), zstd.WithDecoderDictRaw(DictionaryID, reference)); err != nil {
		return fmt.Errorf("zstd dictionary: %w", err)
	}
	if len(reference) > keptMost { // a decoder holds on to its dictionary
		defer a.close()
	}
	made, err := a.decoder.DecodeAll(payload, out[:0:len(out)])
	if err != nil {
		return fmt.Errorf("zstd payload: %w", err)
	}
	if len(made) != len(out) {
		return fmt.Errorf("zstd payload makes %d bytes: want %d", len(made), len(out))
	}
	return nil
}

func (a *zstdApplier) close() {
	a.decoder.Close()
	a.decoder = nil
}
