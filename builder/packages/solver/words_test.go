package solver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/solver"
)

// world reads candidates in words, one a line:
//
//	name version; needs a >= 1, b | c, (d if e); conflicts f; provides g = 2;
//	obsoletes h; recommends i; supplements j; files /k; priority 5; repo 1; arch noarch
func world(t testing.TB, text string) []packages.Package {
	t.Helper()
	var all []packages.Package
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		head, rest, _ := strings.Cut(line, ";")
		p := packages.Package{Arch: "x86_64", Priority: 99}
		if n, _ := fmt.Sscan(head, &p.Name, &p.Version); n != 2 {
			t.Fatalf("no name and version: %q", line)
		}
		p.Provides = []packages.Relation{{Name: p.Name, Op: packages.Equal, Version: p.Version}}
		for part := range strings.SplitSeq(rest, ";") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			key, values, _ := strings.Cut(part, " ")
			describe(t, &p, key, values)
		}
		all = append(all, p)
	}
	return all
}

func describe(t testing.TB, p *packages.Package, key, values string) {
	t.Helper()
	if key == "files" {
		p.Files = strings.Fields(values)
		return
	}
	rs := requirements(t, values)
	switch key {
	case "needs":
		p.Requires = append(p.Requires, rs...)
	case "conflicts":
		p.Conflicts = append(p.Conflicts, rs...)
	case "recommends":
		p.Recommends = append(p.Recommends, rs...)
	case "supplements":
		p.Supplements = append(p.Supplements, rs...)
	case "provides", "obsoletes":
		for _, r := range rs {
			if key == "provides" {
				p.Provides = append(p.Provides, r.Relation)
			} else {
				p.Obsoletes = append(p.Obsoletes, r.Relation)
			}
		}
	case "priority":
		fmt.Sscan(values, &p.Priority)
	case "repo":
		fmt.Sscan(values, &p.Repository)
	case "arch":
		p.Arch = values
	default:
		t.Fatalf("unknown word %q", key)
	}
}

func requirements(t testing.TB, text string) []packages.Requirement {
	t.Helper()
	var rs []packages.Requirement
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) != "" {
			tokens := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ", "\\", "").Replace(part))
			if strings.Contains(part, "\\") { // a name with parentheses
				tokens = strings.Fields(strings.ReplaceAll(part, "\\", ""))
			}
			r, rest := parse(t, tokens)
			if len(rest) > 0 {
				t.Fatalf("%q: what is %q?", text, rest)
			}
			rs = append(rs, r)
		}
	}
	return rs
}

var connectives = map[string]packages.Connective{
	"|": packages.Or, "or": packages.Or, "and": packages.And, "if": packages.If, "unless": packages.Unless, "with": packages.With, "without": packages.Without,
}

var operators = map[string]packages.Op{
	"<": packages.Less, "<=": packages.LessEqual, "=": packages.Equal, ">=": packages.GreaterEqual, ">": packages.Greater,
}

func parse(t testing.TB, tokens []string) (packages.Requirement, []string) {
	t.Helper()
	var r packages.Requirement
	if tokens[0] == "(" {
		r, tokens = parse(t, tokens[1:])
		tokens = tokens[1:]
	} else {
		r.Relation.Name, tokens = tokens[0], tokens[1:]
		if len(tokens) > 1 && operators[tokens[0]] != packages.Any {
			r.Relation.Op, r.Relation.Version, tokens = operators[tokens[0]], tokens[1], tokens[2:]
		}
	}
	joined, args := packages.Plain, []packages.Requirement{r}
	for len(tokens) > 0 && tokens[0] != ")" {
		if tokens[0] != "else" {
			joined = connectives[tokens[0]]
		}
		if joined == packages.Plain {
			t.Fatalf("what is %q?", tokens[0])
		}
		var a packages.Requirement
		if tokens[1] == "(" {
			a, tokens = parse(t, tokens[2:])
			tokens = tokens[1:]
		} else {
			a.Relation.Name, tokens = tokens[1], tokens[2:]
			if len(tokens) > 1 && operators[tokens[0]] != packages.Any {
				a.Relation.Op, a.Relation.Version, tokens = operators[tokens[0]], tokens[1], tokens[2:]
			}
		}
		args = append(args, a)
	}
	if joined == packages.Plain {
		return r, tokens
	}
	return packages.Requirement{Joined: joined, Args: args}, tokens
}

func config(t testing.TB, format packages.Format, text, wanted string) solver.Config {
	t.Helper()
	return solver.Config{
		Format: format, Arch: "x86_64", Candidates: world(t, text), Wanted: requirements(t, wanted),
		Repositories: []string{"base", "extra"},
	}
}

// names is what was chosen: "a-1 b-2", or the error.
func names(t testing.TB, c solver.Config) string {
	t.Helper()
	chosen, err := solver.Solve(context.Background(), c)
	var unsolvable *solver.Unsolvable
	if err != nil && !errors.As(err, &unsolvable) {
		t.Fatal(err)
	}
	if err != nil {
		return "error: " + err.Error()
	}
	var all []string
	for _, i := range chosen {
		all = append(all, c.Candidates[i].Name+"-"+c.Candidates[i].Version)
	}
	return strings.Join(all, " ")
}
