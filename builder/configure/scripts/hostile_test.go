package scripts_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/scripts"
)

// counter counts what it is handed.
type counter struct {
	recorder
	commands, words, bytes int
	run                    func()
}

func (c *counter) Run(command scripts.Command) scripts.Status {
	c.commands++
	for _, w := range command.Words {
		c.words++
		c.bytes += len(w.Text)
	}
	if c.run != nil {
		c.run()
	}
	return scripts.Success
}

// Scripts that would take minutes, or gigabytes.
var endless = map[string]string{
	"fields of a variable": "a='" + strings.Repeat("x ", 30_000) + "'\nfoo " + strings.Repeat("$a ", 10_000),
	"quoted words":         "a='" + strings.Repeat("x", 60_000) + "'\nfoo " + strings.Repeat(`"$a" `, 60_000),
	"arguments":            "f() { foo " + strings.Repeat(`"$@" `, 20_000) + "; }\nf " + strings.Repeat("x ", 4000),
	"joined arguments":     "a='" + strings.Repeat("x", 60_000) + "'\nf() { " + strings.Repeat("b=$*; ", 15_000) + "}\nf " + strings.Repeat("$a ", 500),
	"suffixes":             "a='" + strings.Repeat("x", 60_000) + "'\nb=${a%%*y}",
	"many suffixes":        "a='" + strings.Repeat("x", 60_000) + "'\nfoo " + strings.Repeat("${a%%*y}", 20_000),
	"a pattern":            "a='" + strings.Repeat("*y", 30_000) + "'\ncase x in " + strings.Repeat("$a", 100_000) + ") foo;; esac",
	"many arms":            "a='" + strings.Repeat("x", 60_000) + "'\ncase $a in " + strings.Repeat("*y) foo;; ", 90_000) + "esac",
	"classes":              "a='" + strings.Repeat("x", 60_000) + "'\ncase $a in *[" + strings.Repeat("y", 4000) + "]z) foo;; esac",
	"substitutions":        strings.Repeat("$(a", 200_000) + strings.Repeat(")", 200_000),
	"echoes":               "a='" + strings.Repeat("x", 60_000) + "'\n" + strings.Repeat("b=$(echo $a $a $a $a $a)\n", 19_000),
	"subshells":            variables(60_000) + "\n" + strings.Repeat("(:)\n", 19_000),
	"loops":                "f() { for a in " + strings.Repeat("x ", 4000) + "; do; done; }\n" + strings.Repeat("f\n", 19_000),
	"commands":             "f() { foo; }\ng() { " + strings.Repeat("f; ", 1000) + "}\n" + strings.Repeat("g\n", 19_000),
}

func variables(n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(" a" + strings.Repeat("b", 1+i%5) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + "=1")
	}
	return out.String()
}

func TestAScriptThatMakesTooMuchEndsAsOne(t *testing.T) {
	t.Parallel()
	for name, text := range endless {
		t.Run(name, func(t *testing.T) {
			s, err := scripts.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			var c counter
			if err := s.Follow(t.Context(), &c, nil, nil); err == nil || !strings.Contains(err.Error(), "goes on for too long") {
				t.Errorf("error %v", err)
			}
			if c.commands > 20_000 || c.words > 100_000 || c.bytes > 16<<20 {
				t.Errorf("%d commands of %d words and %d bytes", c.commands, c.words, c.bytes)
			}
		})
	}
}

func TestACommandThatBecomesTooLongIsNotHandedOver(t *testing.T) {
	t.Parallel()
	s, err := scripts.Parse("first\na='" + strings.Repeat("x ", 3000) + "'\nrm $a $a\nlast")
	if err != nil {
		t.Fatal(err)
	}
	var c counter
	if err := s.Follow(t.Context(), &c, nil, nil); err == nil || c.commands != 1 {
		t.Errorf("%d commands, error %v", c.commands, err)
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	s, err := scripts.Parse("first\nsecond\nthird")
	if err != nil {
		t.Fatal(err)
	}
	var c counter
	c.run = func() {
		if c.commands == 2 {
			cancel(cause)
		}
	}
	if err := s.Follow(ctx, &c, nil, nil); !errors.Is(err, cause) || c.commands != 2 {
		t.Errorf("%d commands, error %v", c.commands, err)
	}
}

func TestTheEndOfATextIsNotEndless(t *testing.T) {
	t.Parallel()
	if _, err := scripts.Parse("cat <<" + strings.Repeat("'aa'", 1000) + "\n"); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("error %v", err)
	}
}
