package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// verifier passes on what it reads and, at the end, an error unless that had
// the wanted size and digest.
type verifier struct {
	r    io.Reader
	want v1.Hash
	size int64 // -1 when it is not known
	sum  hash.Hash
	n    int64
}

func newVerifier(r io.Reader, want v1.Hash, size int64) *verifier {
	return &verifier{r: r, want: want, size: size, sum: sha256.New()}
}

// Read implements io.Reader.
func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.n += int64(n)
	if v.size >= 0 && v.n > v.size {
		return 0, fmt.Errorf("more than the %d bytes that its descriptor says", v.size)
	}
	v.sum.Write(p[:n])
	if err == io.EOF {
		if bad := v.check(); bad != nil {
			return 0, bad
		}
	}
	return n, err
}

func (v *verifier) check() error {
	if v.size >= 0 && v.n != v.size {
		return fmt.Errorf("%d bytes: its descriptor says %d", v.n, v.size)
	}
	if got := hex.EncodeToString(v.sum.Sum(nil)); v.want.Algorithm != "sha256" || got != v.want.Hex {
		return fmt.Errorf("digest sha256:%s: want %s", got, v.want)
	}
	return nil
}

// finish reads and checks what a decoder has left unread.
func (v *verifier) finish() error {
	_, err := io.Copy(io.Discard, v)
	return err
}

// blobPath is where a layout keeps a blob (OCI Image Layout Specification
// 1.1, "Blobs").
func blobPath(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// readJSON reads a blob that is small enough to parse, and checks it before.
func readJSON(ctx context.Context, from source, d v1.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > maxJSON {
		return nil, fmt.Errorf("%s of %d bytes: want at most %d", d.Digest, d.Size, maxJSON)
	}
	f, err := from.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(newVerifier(f, d.Digest, d.Size))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.Digest, err)
	}
	return data, nil
}

// readSmall reads a file that nothing vouches for.
func readSmall(from files, name string) ([]byte, error) {
	f, size, err := from.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxJSON {
		return nil, fmt.Errorf("%s of %d bytes: want at most %d", name, size, maxJSON)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxJSON))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}
