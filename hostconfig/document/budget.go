package document

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/proa-os/proa/hostconfig/plan"
)

// Budget bounds what the contents of a configuration may hold altogether: a
// small file can unpack to a large one.
type Budget struct{ used int64 }

// Take counts contents.
func (b *Budget) Take(n int) error {
	if b.used += int64(n); b.used > plan.MostContents {
		return fmt.Errorf("the contents of all files are over %d bytes", plan.MostContents)
	}
	return nil
}

// Gunzip unpacks contents, up to the first byte that Take will refuse.
func (b *Budget) Gunzip(data []byte) ([]byte, error) {
	in, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("not gzip: %w", err)
	}
	left := plan.MostContents - b.used
	out, err := io.ReadAll(io.LimitReader(in, left+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	if err != nil {
		return nil, fmt.Errorf("not gzip: %w", err)
	}
	return out, nil
}
