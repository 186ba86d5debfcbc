package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/bench/workbench"
)

// outcome is all that was measured on one pair.
type outcome struct {
	pair
	size    int64
	copy    workbench.Sample // of dd, which writes as much
	index   int64            // bytes of our chunk index
	plan    time.Duration    // what our plan takes
	figures []figure
	leftOut []string
	load    float64 // of the machine, at most
}

// add adds what a step measured.
func (o *outcome) add(r result) {
	o.size = r.Size
	o.figures = append(o.figures, r.Figures...)
	o.load = max(o.load, r.Load)
	if r.LeftOut != "" {
		o.leftOut = append(o.leftOut, r.LeftOut)
	}
	if r.Index > 0 {
		o.copy, o.index, o.plan = r.Copy, r.Index, r.Plan
	}
}

// best is the figure with the fewest bytes of some methods.
func (o outcome) best(of ...method) (figure, bool) {
	var best figure
	found := false
	for _, f := range o.figures {
		if slices.Contains(of, f.Method) && (!found || f.Bytes < best.Bytes) {
			best, found = f, true
		}
	}
	return best, found
}

type report []outcome

// table is text in rows; the first is the heading. Columns after the first are
// numbers, but for the last of verdicts.
type table [][]string

func megabytes(n int64) string {
	switch {
	case n == 0:
		return ""
	case n < 10e3:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.2f MB", float64(n)/1e6)
}

func seconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func mebibytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}

// table is what each method costs, the fewest bytes first.
func (o outcome) table() table {
	t := table{{"method", "bytes", "kernel image", "metadata", "to make: CPU", "to apply", "its CPU", "memory", "serves"}}
	figures := slices.Clone(o.figures)
	slices.SortFunc(figures, func(a, b figure) int { return int(a.Bytes - b.Bytes) })
	for _, f := range figures {
		serves := "this pair"
		if f.Method.any {
			serves = "any pair"
		}
		t = append(t, []string{f.Method.name, megabytes(f.Bytes), megabytes(f.Kernel), megabytes(f.Metadata), seconds(f.Making.CPU), seconds(f.Applying.Took), seconds(f.Applying.CPU), mebibytes(f.Applying.Peak), serves})
	}
	return t
}

func (o outcome) title() string {
	return fmt.Sprintf("%s: %s (image of %s, written by dd in %.2f s; load up to %.1f)", o.name, o.what, megabytes(o.size), o.copy.Took.Seconds(), o.load)
}

// print writes what was measured on a pair as text.
func (o outcome) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s\n", o.title())
	o.table().print(out)
	report{o}.verdicts().print(out)
	for _, why := range o.leftOut {
		fmt.Fprintf(out, "  left out: %s\n", why)
	}
}

func (t table) print(out io.Writer) {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range t {
		line := "  "
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				line += cell + pad
			} else {
				line += "  " + pad + cell
			}
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
}

func (t table) markdown() string {
	var b strings.Builder
	for i, row := range t {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---:|", len(row)-1))
		}
	}
	return b.String()
}

const (
	document = "download-little.md"
	drawing  = "download-little.svg"
	begin    = "<!-- written by make bench-updates -->\n"
	end      = "<!-- end of what make bench-updates writes -->\n"
)

// write puts the report into the document, between its marks, and the plot beside it.
func (r report) write(folder string) error {
	path := filepath.Join(folder, document)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s: no lines %q and %q", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	var b strings.Builder
	b.WriteString("\n")
	for _, o := range r {
		fmt.Fprintf(&b, "### %s\n\n%s\n", o.title(), o.table().markdown())
		for _, why := range o.leftOut {
			fmt.Fprintf(&b, "Left out: %s.\n\n", why)
		}
	}
	fmt.Fprintf(&b, "### Figures to reach\n\n%s\n", r.verdicts().markdown())
	for _, m := range r.methods() {
		if m.note != "" {
			fmt.Fprintf(&b, "- %s: %s.\n", m.name, m.note)
		}
	}
	b.WriteString("\n")
	if err := os.WriteFile(path, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, drawing), []byte(r.draw()), 0o644)
}

// methods are those of all pairs, each once.
func (r report) methods() []method {
	var all []method
	for _, o := range r {
		for _, f := range o.figures {
			if !slices.Contains(all, f.Method) {
				all = append(all, f.Method)
			}
		}
	}
	return all
}
