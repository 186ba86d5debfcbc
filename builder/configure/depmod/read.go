package depmod

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/content"
)

// maxModule is the size of one module, expanded, in bytes.
const maxModule = 256 << 20

// read reads all modules, several at a time.
func read(ctx context.Context, modules []*module) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	errs := make([]error, len(modules)) // so that the first module's is returned, not the first one found
	for i, m := range modules {
		group.Go(func() error {
			errs[i] = m.read(ctx)
			return nil
		})
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("module %s: %w", modules[i].path, err)
		}
	}
	return nil
}

func (m *module) read(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.node.Content.Size > maxModule {
		return fmt.Errorf("%d bytes: want at most %d", m.node.Content.Size, maxModule)
	}
	data, err := m.expanded(ctx)
	if err != nil {
		return err
	}
	o, err := parseObject(data)
	if err != nil {
		return err
	}
	return o.read(m)
}

// expanded is the module without its compression, which its first bytes tell.
func (m *module) expanded(ctx context.Context) ([]byte, error) {
	c := m.node.Content
	if c.Size == 0 {
		return nil, nil
	}
	head := make([]byte, min(c.Size, content.SniffLen))
	if _, err := io.ReadFull(c.Open(), head); err != nil {
		return nil, err
	}
	format, err := content.Sniff(head)
	if err != nil {
		return nil, err
	}
	if format == content.Plain {
		data := make([]byte, c.Size)
		_, err := io.ReadFull(c.Open(), data)
		return data, err
	}
	r, err := content.Expand(ctx, c.Open(), content.Limits{Expanded: maxModule, Ratio: 200, Free: 32 << 20})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
