// Package diff makes the payloads that package patch applies. It is for
// publishers.
package diff

import (
	"errors"
	"fmt"

	"github.com/proa-os/proa/deltas/patch"
)

// Pair is what becomes what: a file, or a piece of one, and its old self. Old may
// be empty.
type Pair struct{ Old, New []byte }

// Make returns a payload that makes all News, one after the other, out of all
// Olds, one after the other. The same pairs make the same payload. Together they
// are within patch.OutputMost and patch.ReferenceMost, and there is some New.
func Make(pairs []Pair) (patch.Method, []byte, error) {
	var reference, out []byte
	for _, p := range pairs {
		reference = append(reference, p.Old...)
		out = append(out, p.New...)
	}
	switch {
	case len(out) == 0:
		return 0, nil, errors.New("difference without output")
	case len(out) > patch.OutputMost:
		return 0, nil, fmt.Errorf("difference of %d bytes: at most %d", len(out), patch.OutputMost)
	case len(reference) > patch.ReferenceMost:
		return 0, nil, fmt.Errorf("difference with a reference of %d bytes: at most %d", len(reference), patch.ReferenceMost)
	}
	payload, err := compress(reference, out)
	return patch.Zstd, payload, err
}
