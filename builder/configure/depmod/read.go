package depmod

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
)

// maxModule is the size of one module, expanded, in bytes.
const maxModule = 256 << 20

// maxKept is what all modules say of themselves, in bytes: a kernel's say some
// 20 MiB.
const maxKept = 512 << 20

// read reads all modules, several at a time.
func read(ctx context.Context, modules []*module) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	errs := make([]error, len(modules)) // so that the first module's is returned, not the first one found
	first := map[*tree.Node]*module{}
	for i, m := range modules {
		if first[m.node] != nil {
			continue
		}
		first[m.node] = m
		group.Go(func() error {
			errs[i] = m.read(ctx)
			return nil
		})
	}
	group.Wait()
	kept := 0
	for i, m := range modules {
		if errs[i] != nil {
			return fmt.Errorf("module %s: %w", m.path, errs[i])
		}
		if same := first[m.node]; same != m { // a hard link
			m.info, m.exports, m.needs = same.info, same.exports, same.needs
		} else if kept += m.size(); kept > maxKept {
			return fmt.Errorf("module %s: with it, modules say more than %d bytes", m.path, maxKept)
		}
	}
	return nil
}

// size is about how many bytes are kept of what the module says.
func (m *module) size() int {
	n := 0
	for _, f := range m.info {
		n += 32 + len(f.key) + len(f.value)
	}
	for _, list := range [][]string{m.exports, m.needs} {
		for _, name := range list {
			n += 16 + len(name)
		}
	}
	return n
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
