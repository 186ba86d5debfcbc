package sandbox

import (
	"bufio"
	"encoding/gob"
	"io"
	"time"

	"github.com/proa-os/proa/builder/tree"
)

// request comes first on the way in; then an item for each name of the tree,
// with the bytes of files behind it, and one that is Last.
type request struct {
	Jobs  []job
	Epoch int64
	Limit time.Duration
}

// item is one name of a tree. On the way out it says what became of it.
type item struct {
	Path     string
	Kind     tree.Kind
	Mode     uint32
	UID, GID uint32
	Xattrs   map[string]string
	Target   string
	Link     string // the first name of the same file, in the order of a walk
	Size     int64

	Removed bool
	Kept    bool // the content is as it was: there are no bytes behind it
	Last    bool
}

// answer comes first on the way out; then the items that changed.
type answer struct {
	Fault   string // why nothing ran
	Results []Result
}

// stream is gob and raw bytes on one way.
type stream struct {
	r *bufio.Reader
	d *gob.Decoder
	w *bufio.Writer
	e *gob.Encoder
}

func newStream(r io.Reader, w io.Writer) *stream {
	s := &stream{r: bufio.NewReaderSize(r, 256<<10), w: bufio.NewWriterSize(w, 256<<10)}
	// A gob.Decoder reads no further than it must from what has ReadByte.
	s.d, s.e = gob.NewDecoder(s.r), gob.NewEncoder(s.w)
	return s
}
