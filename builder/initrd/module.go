package initrd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"

	"github.com/proa-os/proa/builder/content"
)

// mostModule is the largest module taken, in bytes: a bound for what a small
// compressed file may unpack to.
const mostModule = 64 << 20

// readModule returns a module as the kernel takes it: unpacked (a small init
// has no decoder, and together they compress better) and otherwise unchanged,
// with the signature at its end.
func readModule(files Files, folder, file string) ([]byte, error) {
	packed, err := files.ReadFile(folder + "/" + file)
	if err != nil {
		return nil, fmt.Errorf("reading module %s: %w", file, err)
	}
	module, err := unpack(path.Ext(file), packed)
	if err != nil {
		return nil, fmt.Errorf("unpacking module %s: %w", file, err)
	}
	if !bytes.HasPrefix(module, []byte("\x7fELF")) {
		return nil, fmt.Errorf("module %s starts with %.4q: want an ELF file", file, module)
	}
	return module, nil
}

func unpack(suffix string, packed []byte) ([]byte, error) {
	if suffix == ".ko" {
		return packed, nil
	}
	want, known := map[string]content.Format{".gz": content.Gzip, ".xz": content.XZ, ".zst": content.Zstd}[suffix]
	if !known {
		return nil, fmt.Errorf("suffix %q: want .ko, .ko.gz, .ko.xz or .ko.zst", suffix)
	}
	// Without a context: what is in memory blocks nobody.
	r, err := content.Expand(context.Background(), bytes.NewReader(packed), content.Limits{Expanded: mostModule, Ratio: 200, Free: 32 << 20})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Format != want {
		return nil, fmt.Errorf("it is %s, want %s", r.Format, want)
	}
	return io.ReadAll(r)
}
