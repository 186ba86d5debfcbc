package debian

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// profile is one file of /usr/share/pam-configs.
type profile struct {
	name     string
	priority int
	byField  map[string]string
}

// stack is one of the files that are made: its name, and how the profiles'
// fields for it begin.
type stack struct{ name, kind, field string }

var stacks = []stack{
	{"auth", "auth", "Auth"}, {"account", "account", "Account"}, {"password", "password", "Password"},
	{"session", "session", "Session"}, {"session-noninteractive", "session", "Session-noninteractive"},
}

// pam is pam-auth-update(8): etc/pam.d/common-* of the profiles that are on by
// default.
func pam(t *tree.Tree, source string) error {
	profiles, err := readProfiles(t)
	if err != nil || len(profiles) == 0 {
		return err
	}
	seen := ""
	var enabled []profile
	for _, p := range profiles {
		seen += p.name + "\n"
		if p.byField["Default"] == "yes" && !conflicts(p, enabled) {
			enabled = append(enabled, p)
		}
	}
	for _, s := range stacks {
		template, err := t.ReadFile("usr/share/pam/common-"+s.name, maxText)
		if err != nil {
			return err
		}
		if err := putNew(t, "etc/pam.d/common-"+s.name, s.fill(string(template), enabled), source); err != nil {
			return err
		}
		if err := put(t, "var/lib/pam/"+s.name, s.state(enabled), source); err != nil {
			return err
		}
	}
	return put(t, "var/lib/pam/seen", seen, source)
}

func readProfiles(t *tree.Tree) ([]profile, error) {
	const folder = "usr/share/pam-configs"
	names, err := t.Children(folder)
	if err != nil {
		return nil, nil
	}
	var all []profile
	for _, name := range names {
		data, err := t.ReadFile(path.Join(folder, name), maxText)
		if err != nil {
			return nil, err
		}
		p, err := parseProfile(string(data))
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", folder, name, err)
		}
		p.name = name
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b profile) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(b.name, a.name))
	})
	return all, nil
}

// fieldLine is a field; what follows it without one is more of its value.
var fieldLine = regexp.MustCompile(`^(\S+):\s+(.*?)\s*$`)

func parseProfile(text string) (profile, error) {
	p := profile{byField: map[string]string{}}
	field := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := fieldLine.FindStringSubmatch(line + "\n"); m != nil {
			field = strings.TrimSuffix(m[1], "-Final")
			p.byField[field] = m[2]
			continue
		}
		line = strings.TrimSpace(line)
		if name, ok := strings.CutSuffix(line, ":"); ok && !strings.ContainsAny(name, " \t") && field != "" {
			field = strings.TrimSuffix(name, "-Final")
			p.byField[field] = ""
			continue
		}
		if line != "" {
			if field == "" {
				return p, errors.New("a line before the first field")
			}
			p.byField[field] = strings.TrimLeft(p.byField[field]+"\n"+line, "\n ")
		}
	}
	if _, only := p.byField["Session-Interactive-Only"]; !only {
		for _, suffix := range []string{"", "-Type", "-Initial"} {
			if v, ok := p.byField["Session"+suffix]; ok {
				p.byField["Session-noninteractive"+suffix] = v
			}
		}
	}
	var err error
	if v := p.byField["Priority"]; v != "" {
		if p.priority, err = strconv.Atoi(v); err != nil {
			err = fmt.Errorf("priority %q: want a number", v)
		}
	}
	return p, err
}

func conflicts(p profile, enabled []profile) bool {
	for _, other := range enabled {
		if slices.Contains(strings.Split(p.byField["Conflicts"], ", "), other.name) || slices.Contains(strings.Split(other.byField["Conflicts"], ", "), p.name) {
			return true
		}
	}
	return false
}

// block is the lines of the profiles for one block of a stack.
func (s stack) block(enabled []profile, kind string) []string {
	var lines []string
	first := true
	for _, p := range enabled {
		if p.byField[s.field+"-Type"] != kind {
			continue
		}
		text := p.byField[s.field]
		if initial := p.byField[s.field+"-Initial"]; first && initial != "" {
			text = initial
		}
		first = false
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

const (
	primaryStart    = `# here are the per-package modules (the "Primary" block)`
	primaryEnd      = `# here's the fallback if no module succeeds`
	additionalStart = `# and here are more per-package modules (the "Additional" block)`
	additionalEnd   = `# end of pam-auth-update config`
	stock           = "[default=1]\t\t\tpam_permit.so"
)

// fill puts the blocks into a template.
func (s stack) fill(template string, enabled []profile) string {
	var out strings.Builder
	skipping := ""
	for line := range strings.Lines(template) {
		if skipping != "" && !strings.HasPrefix(line, skipping) {
			continue
		}
		skipping = ""
		out.WriteString(line)
		switch {
		case strings.HasPrefix(line, primaryStart):
			skipping = primaryEnd
			lines := s.block(enabled, "Primary")
			if len(lines) == 0 {
				out.WriteString(s.kind + "\t" + stock + "\n")
			}
			s.write(&out, lines, len(lines))
		case strings.HasPrefix(line, additionalStart):
			skipping = additionalEnd
			lines := s.block(enabled, "Additional")
			s.write(&out, lines, len(lines)-1)
		}
	}
	return out.String()
}

var moduleLine = regexp.MustCompile(`^((\[[^]]+\]|\w+)\s+\S+)\s*(.*)`)

// write writes the lines of a block; end in their controls becomes the number
// of lines to jump over.
func (s stack) write(out *strings.Builder, lines []string, jump int) {
	for i, line := range lines {
		m := moduleLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		module := strings.ReplaceAll(m[1], "end", strconv.Itoa(jump-i))
		fmt.Fprintf(out, "%s\t%s %s\n", s.kind, module, strings.Join(strings.Fields(m[3]), " "))
	}
}

// state is what pam-auth-update remembers of a stack.
func (s stack) state(enabled []profile) string {
	out := ""
	wrote := false
	for _, kind := range []string{"Primary", "Additional"} {
		first := true
		for _, p := range enabled {
			if p.byField[s.field+"-Type"] != kind {
				continue
			}
			text := p.byField[s.field]
			if initial := p.byField[s.field+"-Initial"]; first && initial != "" {
				text = initial
			}
			first = false
			wrote = wrote || kind == "Primary"
			if text != "" {
				out += "Module: " + p.name + "\n" + text + "\n"
			}
		}
		if kind == "Primary" && !wrote {
			out += "Module: null\n" + stock + "\n"
		}
	}
	return out
}
