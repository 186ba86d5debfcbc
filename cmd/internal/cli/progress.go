package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/proa-os/proa/progress"
)

// AddOutputFlags gives root the flags that say how every command reports.
func AddOutputFlags(root *cobra.Command) {
	root.PersistentFlags().Bool("json", false, "print results as JSON")
	root.PersistentFlags().BoolP("quiet", "q", false, "show no progress")
}

// JSON reports whether results are wanted as JSON.
func JSON(cmd *cobra.Command) bool {
	on, err := cmd.Flags().GetBool("json")
	return err == nil && on
}

// Quiet reports whether only results and errors are wanted.
func Quiet(cmd *cobra.Command) bool {
	on, err := cmd.Flags().GetBool("quiet")
	return err == nil && on
}

// Progress is where cmd's work reports to: bars when standard error is a
// terminal, one line for each finished step otherwise, nothing with --quiet.
func Progress(cmd *cobra.Command) progress.Reporter {
	if Quiet(cmd) {
		return progress.Silent()
	}
	if screen, ok := cmd.Context().Value(screenKey{}).(*screen); ok {
		// A serial console is a terminal without a size, where bars do not show.
		if width, height, err := term.GetSize(int(os.Stderr.Fd())); err == nil && width > 0 && height > 0 {
			return screen
		}
	}
	return &lines{w: cmd.ErrOrStderr()}
}

type screenKey struct{}

// screen draws bars on the terminal. It must be closed before anything else is
// written there.
type screen struct {
	mu   sync.Mutex
	bars *mpb.Progress
}

func withScreen(ctx context.Context) (context.Context, *screen) {
	s := &screen{}
	return context.WithValue(ctx, screenKey{}, s), s
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars != nil {
		s.bars.Wait()
		s.bars = nil
	}
}

func (s *screen) Step(name string, total int64) progress.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars == nil {
		s.bars = mpb.New(mpb.WithOutput(os.Stderr), mpb.WithWidth(32))
	}
	label := mpb.PrependDecorators(decor.Name(name, decor.WC{C: decor.DindentRight | decor.DextraSpace, W: 24}))
	if total <= 0 {
		return &barStep{s.bars.AddSpinner(0, label, mpb.AppendDecorators(decor.OnAbort(decor.OnComplete(decor.Elapsed(decor.ET_STYLE_GO), "done"), "failed")))}
	}
	return &barStep{s.bars.AddBar(total, label, mpb.AppendDecorators(
		decor.CountersKibiByte("% .1f / % .1f"),
		decor.OnAbort(decor.OnComplete(decor.Name(""), " done"), " failed"),
	))}
}

type barStep struct{ bar *mpb.Bar }

func (b *barStep) Add(n int64) { b.bar.IncrInt64(n) }

func (b *barStep) Done(err error) {
	if err != nil {
		b.bar.Abort(false)
		return
	}
	b.bar.SetTotal(-1, true)
}

// lines writes one line for each step when it ends.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Step(name string, _ int64) progress.Step {
	return &lineStep{lines: l, name: name, began: time.Now()}
}

type lineStep struct {
	lines *lines
	name  string
	began time.Time
}

func (s *lineStep) Add(int64) {}

func (s *lineStep) Done(err error) {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	if err != nil {
		fmt.Fprintf(s.lines.w, "%s: failed\n", s.name)
		return
	}
	fmt.Fprintf(s.lines.w, "%s: %.1f s\n", s.name, time.Since(s.began).Seconds())
}
