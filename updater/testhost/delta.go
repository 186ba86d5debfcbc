package testhost

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/manifests"
)

// Delta makes the delta from another release, as a publisher does.
func (r *Release) Delta(t testing.TB, from *Release) (content []byte, headerSize int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "delta")
	made, err := deltas.Make(t.Context(), deltas.Making{Old: from.source(), New: r.source(), Path: path})
	check(t, err)
	content, err = os.ReadFile(path)
	check(t, err)
	return content, made.HeaderSize
}

func (r *Release) source() deltas.Source {
	return deltas.Source{Image: bytes.NewReader(r.Image), Root: r.Release.Root}
}

// AddDelta lists a file as the delta from another release, and has it published;
// it may be anything. Its header is said to be right.
func (r *Release) AddDelta(from *Release, content []byte, headerSize int64) {
	r.Transport.Deltas = append(r.Transport.Deltas, manifests.Delta{
		Base: from.Root.Hash[:], Version: from.Release.Version,
		FetchFile: fileOf(content), Header: fileOf(content[:headerSize]),
	})
	r.More = append(r.More, content)
}
