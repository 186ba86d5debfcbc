package initrd

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// mostModule is the largest module taken, in bytes: a bound for what a small
// compressed file may unpack to.
const mostModule = 64 << 20

// readModule returns a module as the kernel takes it: unpacked (a small init
// has no decoder, and together they compress better) and otherwise unchanged,
// with the signature at its end.
func readModule(files Files, folder, file string) ([]byte, error) {
	content, err := files.ReadFile(folder + "/" + file)
	if err != nil {
		return nil, fmt.Errorf("reading module %s: %w", file, err)
	}
	if content, err = unpack(path.Ext(file), content); err != nil {
		return nil, fmt.Errorf("unpacking module %s: %w", file, err)
	}
	if !bytes.HasPrefix(content, []byte("\x7fELF")) {
		return nil, fmt.Errorf("module %s starts with %.4q: want an ELF file", file, content)
	}
	return content, nil
}

func unpack(suffix string, content []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch suffix {
	case ".ko":
		return content, nil
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(content))
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(content))
	case ".zst":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(content), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostModule)); err == nil {
			defer d.Close()
			r = d
		}
	default:
		return nil, fmt.Errorf("suffix %q: want .ko, .ko.gz, .ko.xz or .ko.zst", suffix)
	}
	if err != nil {
		return nil, err
	}
	unpacked, err := io.ReadAll(io.LimitReader(r, mostModule+1))
	if err == nil && len(unpacked) > mostModule {
		err = fmt.Errorf("more than %d bytes", mostModule)
	}
	return unpacked, err
}
