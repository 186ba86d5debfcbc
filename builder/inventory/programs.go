package inventory

import (
	"context"
	"debug/buildinfo"
	"io"
	"runtime"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
)

// goProgramLeast is a size in bytes that no program made with Go stays below.
const goProgramLeast = 256 << 10

// readPrograms finds the executables that Go made, by what its linker leaves
// in them.
func (r *reader) readPrograms(ctx context.Context) error {
	found := make([]*Program, len(r.executables))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i, e := range r.executables {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			found[i] = readProgram(e)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, p := range found {
		if p != nil {
			r.found.Programs = append(r.found.Programs, *p)
		}
	}
	return nil
}

// readProgram is nil for what is not made with Go.
func readProgram(e executable) (p *Program) {
	defer func() {
		if recover() != nil { // debug/elf is not made for hostile files
			p = nil
		}
	}()
	content := e.node.Content.Open()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(content, magic); err != nil || string(magic) != "\x7fELF" {
		return nil
	}
	info, err := buildinfo.Read(content)
	if err != nil {
		return nil
	}
	p = &Program{Path: e.path, Package: info.Path, Go: info.GoVersion, Main: module(&info.Main)}
	for _, dep := range info.Deps {
		p.Deps = append(p.Deps, module(dep))
	}
	return p
}

func module(m *debug.Module) Module {
	for m.Replace != nil {
		m = m.Replace
	}
	return Module{m.Path, m.Version, m.Sum}
}
