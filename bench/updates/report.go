package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// outcome is all that was measured on one pair.
type outcome struct {
	pair
	size    int64
	copy    time.Duration
	index   int64
	plan    time.Duration
	figures []figure
	load    float64 // of the machine, when it was done
}

// best is the figure with the fewest bytes of some methods.
func (o outcome) best(of ...method) (figure, bool) {
	var best figure
	found := false
	for _, f := range o.figures {
		if slices.Contains(of, f.method) && (!found || f.bytes < best.bytes) {
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
	t := table{{"method", "bytes", "kernel image", "metadata", "to make", "to apply", "memory", "serves"}}
	figures := slices.Clone(o.figures)
	slices.SortFunc(figures, func(a, b figure) int { return int(a.bytes - b.bytes) })
	for _, f := range figures {
		serves := "this pair"
		if f.method.any {
			serves = "any pair"
		}
		t = append(t, []string{f.method.name, megabytes(f.bytes), megabytes(f.kernel), megabytes(f.metadata), seconds(f.making), seconds(f.applying), mebibytes(f.peak), serves})
	}
	return t
}

func (o outcome) title() string {
	return fmt.Sprintf("%s: %s (image of %s, written by dd in %.2f s; load %.1f)", o.name, o.what, megabytes(o.size), o.copy.Seconds(), o.load)
}

// print writes what was measured on a pair as text.
func (o outcome) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s\n", o.title())
	o.table().print(out)
	report{o}.verdicts().print(out)
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
			if !slices.Contains(all, f.method) {
				all = append(all, f.method)
			}
		}
	}
	return all
}
