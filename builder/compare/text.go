package compare

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// shown is how many lines of one list people get to see.
const shown = 40

// section is one list as people read it: a title, and lines that begin with a
// sign.
type section struct {
	title string
	lines []string
	alert bool // more rights than before
}

// sections are what differs, the most telling first.
func (d Difference) sections() []section {
	var packages []string
	for _, p := range d.Packages {
		name := p.Name
		if p.Arch != "" {
			name += " (" + p.Arch + ")"
		}
		switch p.Change {
		case Added:
			packages = append(packages, "+ "+name+" "+p.New)
		case Removed:
			packages = append(packages, "- "+name+" "+p.Old)
		case Downgraded:
			packages = append(packages, "! "+name+" "+p.Old+" → "+p.New+" (downgraded)")
		default:
			packages = append(packages, "~ "+name+" "+p.Old+" → "+p.New)
		}
	}
	return []section{
		{"Rights gained or lost by set-user-ID and set-group-ID files", named(d.SetID), gained(d.SetID)},
		{"Capabilities gained or lost", named(d.Capabilities), gained(d.Capabilities)},
		{"Packages", packages, false},
		{"Kernel", named(d.Kernels), false},
		{"Kernel configuration", named(d.Options), false},
		{"Units that start", named(d.Units), false},
		{"Masked units", named(d.Masked), false},
		{"Users", named(d.Users), false},
		{"Groups", named(d.Groups), false},
		{"Go programs and their modules", named(d.Programs), false},
		{d.filesTitle(), d.fileLines(), false},
	}
}

func (d Difference) filesTitle() string {
	c := d.Counts
	return fmt.Sprintf("Files: %d added (%s), %d removed (%s), %d changed (%s)",
		c.Added, bytesText(c.AddedBytes), c.Removed, bytesText(c.RemovedBytes), c.Changed, bytesText(c.ChangedBytes))
}

func (d Difference) fileLines() []string {
	var lines []string
	for _, f := range d.Files {
		path := printable(f.Path)
		switch f.Change {
		case Added:
			lines = append(lines, "+ "+path+size(f.Kind, f.NewSize))
		case Removed:
			lines = append(lines, "- "+path+size(f.Kind, f.OldSize))
		default:
			what := append([]string{}, f.What...)
			if what[0] == contentChanged {
				what[0] = fmt.Sprintf("content, %d → %d bytes", f.OldSize, f.NewSize)
			}
			lines = append(lines, "~ "+path+": "+strings.Join(what, ", "))
		}
	}
	return lines
}

func size(kind string, bytes int64) string {
	if kind == "file" {
		return fmt.Sprintf(" (%s)", bytesText(bytes))
	}
	return " (" + kind + ")"
}

func named(changes []Named) []string {
	var lines []string
	for _, c := range changes {
		name, old, new := printable(c.Name), printable(c.Old), printable(c.New)
		switch {
		case c.Change == Added && new != "":
			lines = append(lines, "+ "+name+" "+new)
		case c.Change == Added:
			lines = append(lines, "+ "+name)
		case c.Change == Removed && old != "":
			lines = append(lines, "- "+name+" "+old)
		case c.Change == Removed:
			lines = append(lines, "- "+name)
		default:
			lines = append(lines, "~ "+name+" "+old+" → "+new)
		}
	}
	return lines
}

func gained(changes []Named) bool {
	for _, c := range changes {
		if c.Change != Removed {
			return true
		}
	}
	return false
}

// printable keeps what a system calls its files from steering a terminal.
func printable(s string) string {
	clean := strings.ToValidUTF8(s, "\uFFFD")
	for _, r := range clean {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200e && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return fmt.Sprintf("%q", s)
		}
	}
	return clean
}

func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
}

func signed(n int64) string {
	if n < 0 {
		return "-" + bytesText(-n)
	}
	return "+" + bytesText(n)
}

func (s Side) title() string {
	title := s.Name
	if s.Version != "" {
		title += " (" + strings.TrimSpace(s.Product+" "+s.Version) + ")"
	}
	return printable(title)
}

// Text writes the difference for a terminal; long lists are cut, with a count
// of what is not shown.
func (d Difference) Text(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "old  %s: image %s, %d files, %d packages\n", d.Old.title(), bytesText(d.Old.Image), d.Old.Files, d.Old.Packages)
	fmt.Fprintf(out, "new  %s: image %s, %d files, %d packages\n", d.New.title(), bytesText(d.New.Image), d.New.Files, d.New.Packages)
	fmt.Fprintf(out, "size %s\n", signed(d.New.Image-d.Old.Image))
	if d.Equal() {
		fmt.Fprintf(out, "\nnothing differs\n")
		return out.Flush()
	}
	for _, s := range d.sections() {
		if len(s.lines) == 0 {
			continue
		}
		mark := ""
		if s.alert {
			mark = "!! "
		}
		fmt.Fprintf(out, "\n%s%s\n", mark, s.title)
		for _, line := range s.lines[:min(shown, len(s.lines))] {
			fmt.Fprintf(out, "  %s\n", printable(line))
		}
		if more := len(s.lines) - shown; more > 0 {
			fmt.Fprintf(out, "  … and %d more (all of them: --json)\n", more)
		}
	}
	return out.Flush()
}

// Markdown writes the difference for a pull request.
func (d Difference) Markdown(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "## %s → %s\n\n", cell(d.Old.title()), cell(d.New.title()))
	fmt.Fprintf(out, "| | old | new | change |\n|---|---:|---:|---:|\n")
	fmt.Fprintf(out, "| root image | %s | %s | %s |\n", bytesText(d.Old.Image), bytesText(d.New.Image), signed(d.New.Image-d.Old.Image))
	fmt.Fprintf(out, "| contents | %s | %s | %s |\n", bytesText(d.Old.Bytes), bytesText(d.New.Bytes), signed(d.New.Bytes-d.Old.Bytes))
	fmt.Fprintf(out, "| files | %d | %d | %+d |\n", d.Old.Files, d.New.Files, d.New.Files-d.Old.Files)
	fmt.Fprintf(out, "| packages | %d | %d | %+d |\n", d.Old.Packages, d.New.Packages, d.New.Packages-d.Old.Packages)
	if d.Equal() {
		fmt.Fprintf(out, "\nNothing differs.\n")
		return out.Flush()
	}
	for _, s := range d.sections() {
		if len(s.lines) == 0 {
			continue
		}
		mark := ""
		if s.alert {
			mark = "⚠️ "
		}
		fmt.Fprintf(out, "\n<details%s><summary>%s%s</summary>\n\n```diff\n", open(s), mark, html(s.title))
		for _, line := range s.lines[:min(shown, len(s.lines))] {
			// In a diff block "!" is shown as a change.
			if strings.HasPrefix(line, "~ ") {
				line = "!" + line[1:]
			}
			fmt.Fprintf(out, "%s\n", strings.ReplaceAll(printable(line), "```", "'''"))
		}
		if more := len(s.lines) - shown; more > 0 {
			fmt.Fprintf(out, "# … and %d more\n", more)
		}
		fmt.Fprintf(out, "```\n\n</details>\n")
	}
	return out.Flush()
}

// open unfolds what should be read at once.
func open(s section) string {
	if s.alert || len(s.lines) <= 10 {
		return " open"
	}
	return ""
}

func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "`", "'", "*", `\*`, "_", `\_`, "[", `\[`).Replace(s)
}

func html(s string) string { return strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(s) }
