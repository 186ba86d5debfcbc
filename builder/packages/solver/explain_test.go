package solver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
)

func TestWhatCannotBeIsExplainedInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		world, wanted, want string
	}{
		{"a 1", "x", "nothing provides x, which is asked for"},
		{"a 1.9", "a >= 2", "a >= 2 is asked for: the newest is 1.9, in base"},
		{"a 1; needs b >= 2\n b 1.9", "a", "a needs b >= 2: the newest is 1.9, in base"},
		{"a 1; needs b >= 2\n b 1.9; repo 1\n b 1.8", "a", "a needs b >= 2: the newest is 1.9, in extra"},
		{"a 1; needs cap >= 2\n b 7; provides cap = 1.5", "a", "a needs cap >= 2: the newest is 1.5, of b, in base"},
		{"a 1.2-3; needs libfoo.so.1()(64bit)\\", "a", "nothing provides libfoo.so.1()(64bit), which a needs"},
		{"a 2; needs x\n a 1; needs x", "a", "nothing provides x, which a 2 needs"},
		{"a 2; needs x\n a 1; needs y", "a", "nothing provides x, which a 2 needs; nothing provides y, which a 1 needs"},
		{"a 1; needs b\n b 1; needs c\n c 1; needs d", "a", "nothing provides d, which c needs (a needs b, b needs c)"},
		{"a 1; needs b\n b 1; needs cap\n c 1; provides cap; needs d >= 3\n d 1", "a", "c needs d >= 3: the newest is 1, in base (a needs b, b needs cap from c)"},
		{"a 1; needs b\n b 1; needs c\n c 1; needs d\n d 1; needs e\n e 1; needs f\n f 1; needs g\n g 1; needs h", "a",
			"nothing provides h, which g needs (a needs b, b needs c, …, e needs f, f needs g)"},
		{"a 1; needs b\n b 1; arch i686", "a", "nothing provides b for x86_64, which a needs"},
		{"a 1; arch i686", "a", "nothing provides a for x86_64, which is asked for"},
		{"a 1; conflicts b\n b 1", "a, b", "a conflicts with b, which is asked for"},
		{"x 1; conflicts y\n y 1\n z 1; needs y", "x, z", "x conflicts with y, which z needs"},
		{"a 1; needs x\n x 1; conflicts y\n y 1\n z 1; needs y", "a, z", "x conflicts with y, which z needs (a needs x)"},
		{"x 1; conflicts y < 3\n y 2\n z 1; needs y", "x, z", "x conflicts with y < 3, which z needs"},
		{"a 1; conflicts b\n b 1\n c 1; needs b\n d 1\n e 1; needs d", "d, e, a, c, d", "a conflicts with b, which c needs"},
		{"x 1; obsoletes y\n y 1\n z 1; needs y", "x, z", "x replaces y, which z needs"},
		{"a 1; needs b = 1\n c 1; needs b = 2\n b 1\n b 2", "a, c", "a needs b = 1, but c needs b = 2: only one b can be installed"},
		{"c 1; needs b = 2\n b 1\n b 2", "b = 1, c", "b = 1 is asked for, but c needs b = 2: only one b can be installed"},
		{"a 1; needs (b or c)", "a", "nothing provides (b or c), which a needs"},
		{"a 1; needs (b or c)\n b 1; needs x\n c 1; needs y", "a", "nothing provides x, which b needs (a needs (b or c)); nothing provides y, which c needs (a needs (b or c))"},
		{"a 1; needs (b with c)\n b 1\n c 1", "a", "nothing provides (b with c), which a needs"},
		{"a 1; needs (x if b)\n b 1", "a, b", "a is asked for; b is asked for; a needs (x if b)"},
		{"a 1; needs /bin/sh\n sh 1; files /usr/bin/sh", "a", "nothing provides /bin/sh, which a needs"},
		{"a 1; needs rpmlib(Unheard)\\ <= 1-1", "a", "nothing provides rpmlib(Unheard) <= 1-1, which a needs"},
	} {
		got := names(t, config(t, packages.RPM, c.world, c.wanted))
		if got != "error: "+c.want {
			t.Errorf("%s, wanted %s:\n     %s\nwant error: %s", c.world, c.wanted, got, c.want)
		}
	}
}

func TestWhatDebianPackagesCannotIsExplainedInTheirWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ world, wanted, want string }{
		{"a 1; needs b | c", "a", "nothing provides b | c, which a needs"},
		{"a 1; needs mta >= 1\n x 1; provides mta", "a", "nothing provides mta >= 1, which a needs"},
		{"a 1; needs mta\n x 1; provides mta; conflicts y\n y 1", "a, y", "x conflicts with y, which is asked for (a needs mta from x)"},
		{"a 1; needs b:i386\n b 1", "a", "nothing provides b:i386, which a needs"},
	} {
		if got := names(t, config(t, packages.Deb, c.world, c.wanted)); got != "error: "+c.want {
			t.Errorf("%s, wanted %s:\n     %s\nwant error: %s", c.world, c.wanted, got, c.want)
		}
	}
}

func TestAnExclusionThatStandsInTheWayIsNamed(t *testing.T) {
	t.Parallel()
	c := config(t, packages.Deb, "a 1; needs b\n b 1", "a")
	c.Exclude = []string{"b"}
	if got := names(t, c); got != "error: excluded: b, which a needs" {
		t.Error(got)
	}
}

func TestManyReasonsAreCounted(t *testing.T) {
	t.Parallel()
	var world strings.Builder
	world.WriteString("a 1; needs cap\n")
	for i := range 9 {
		fmt.Fprintf(&world, "b%d 1; provides cap; needs x%d\n", i, i)
	}
	got := names(t, config(t, packages.RPM, world.String(), "a"))
	if !strings.HasSuffix(got, "x3, which b3 needs (a needs cap from b3); and 5 more reasons") {
		t.Error(got)
	}
}
