package sparse

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
)

// zeros are what holes are digested as: a piece that stays in the processor's
// cache.
var zeros [32 << 10]byte

// Digest reads the file at path and returns its size in bytes and the SHA-256
// of its content. After each piece it calls done, unless that is nil, with the
// bytes just read.
func Digest(ctx context.Context, path string, done func(n int64)) (size int64, sum [sha256.Size]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, sum, err
	}
	defer file.Close()
	reader, err := NewReader(file)
	if err != nil {
		return 0, sum, err
	}
	hash := sha256.New()
	buffer := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return size, sum, err
		}
		if n := reader.skip(int64(len(zeros))); n > 0 {
			hash.Write(zeros[:n])
			size += n
			if done != nil {
				done(n)
			}
			continue
		}
		n, err := reader.Read(buffer)
		hash.Write(buffer[:n])
		size += int64(n)
		if done != nil {
			done(int64(n))
		}
		if err == io.EOF {
			hash.Sum(sum[:0])
			return size, sum, nil
		}
		if err != nil {
			return size, sum, err
		}
	}
}
