package updater

import (
	"context"
	"fmt"
	"io"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
)

// fetchIndex gets the chunks of the offer's root image, and returns the bytes
// that it fetched.
func (s *session) fetchIndex(ctx context.Context, o *offer) (int64, error) {
	file := o.Transport.Index
	stream := s.fetch.Range(ctx, manifests.ArtifactPath(file.Digest), file.Size, 0, file.Size)
	defer stream.Close()
	data := make([]byte, file.Size) // manifests.IndexSizeMost bounds it
	if _, err := io.ReadFull(stream, data); err != nil {
		return 0, contentError(err)
	}
	if got := manifests.DigestOf(data); got != file.Digest {
		return file.Size, &UntrustedError{fmt.Errorf("chunk index is %s: want %s", got, file.Digest)}
	}
	index, err := chunkindex.Parse(data, o.Release.Root)
	if err != nil {
		return file.Size, refuse(o.Release.Version, "%v", err)
	}
	if last := index.Chunks[len(index.Chunks)-1]; last.Frame+last.Encoded > o.Transport.Root.Size {
		return file.Size, refuse(o.Release.Version, "its chunk index has frames of %d bytes: its root image has %d", last.Frame+last.Encoded, o.Transport.Root.Size)
	}
	o.Chunks = index.Chunks
	return file.Size, nil
}
