package fetch

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/cavaliergopher/grab/v3"
)

// ErrContent is wrapped by the error of a file whose content is not the one
// that was asked for, though it came in full.
var ErrContent = errors.New("content differs from its digest")

// transfer is a whole file that grab brings to the target.
type transfer struct {
	url    string
	target string
	size   int64
	check  hash.Hash
	sum    []byte
	anew   bool // nothing that is there is built upon
}

// run is one attempt. The client makes grab's requests.
func (t *transfer) run(ctx context.Context, config Config, client grab.HTTPClient) error {
	plain, err := config.request(ctx, t.url)
	if err != nil {
		return err
	}
	request, err := grab.NewRequest(t.target, t.url)
	if err != nil {
		return permanent(err)
	}
	request = request.WithContext(ctx)
	request.HTTPRequest.Header = plain.Header
	request.NoResume = t.anew
	request.NoCreateDirectories = true
	request.IgnoreRemoteTime = true
	request.Size = t.size
	t.check.Reset()
	request.SetChecksum(t.check, t.sum, true)

	c := grab.NewClient()
	c.HTTPClient = client
	c.UserAgent = config.UserAgent
	c.BufferSize = 128 << 10
	err = c.Do(request).Err()
	var file *fs.PathError
	switch {
	case errors.Is(err, grab.ErrBadChecksum):
		return ErrContent
	case errors.Is(err, grab.ErrBadLength):
		return permanent(fmt.Errorf("server sends another length: want %d bytes", t.size))
	case errors.As(err, &file):
		return permanent(err) // such as a full disk
	}
	return err
}

// exactBody is a body of left bytes: grab itself copies for as long as a server
// without Content-Length sends.
type exactBody struct {
	io.ReadCloser
	left int64
}

func (b *exactBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		return 0, permanent(errors.New("server sends more than was announced"))
	case err == io.EOF && b.left > 0:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
