package solver_test

import (
	"math/rand/v2"
	"testing"

	"github.com/proa-os/proa/builder/packages"
)

type choice struct{ rule, world, wanted, want string }

func tryAll(t *testing.T, format packages.Format, recommends bool, cases []choice) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			conf := config(t, format, c.world, c.wanted)
			conf.Recommends = recommends
			if got := names(t, conf); got != c.want {
				t.Errorf("chosen: %s\n  want: %s", got, c.want)
			}
			random := rand.New(rand.NewPCG(1, 2))
			for range 5 {
				random.Shuffle(len(conf.Candidates), func(i, j int) {
					conf.Candidates[i], conf.Candidates[j] = conf.Candidates[j], conf.Candidates[i]
				})
				if got := names(t, conf); got != c.want {
					t.Errorf("in another order: %s\n            want: %s", got, c.want)
				}
			}
		})
	}
}

func TestRPMPackagesAreChosenByTheirRules(t *testing.T) {
	t.Parallel()
	tryAll(t, packages.RPM, false, []choice{
		{"newest", "a 1\n a 1.10\n a 1.9", "a", "a-1.10"},
		{"tilde is older", "a 1~rc1\n a 0.9", "a", "a-1~rc1"},
		{"epoch counts", "a 1:1\n a 2", "a", "a-1:1"},
		{"priority beats version", "a 1; priority 10\n a 2; priority 20", "a", "a-1"},
		{"exact version", "a 1-1\n a 2-1", "a = 1", "a-1-1"},
		{"one release", "a 1-1\n a 1-2\n a 1-3", "a = 1-2", "a-1-2"},
		{"a dependency", "a 1; needs b\n b 1\n c 1", "a", "a-1 b-1"},
		{"a capability", "a 1; needs cap >= 2\n b 1; provides cap = 3\n c 1; provides cap = 1", "a", "a-1 b-1"},
		{"a provide without version satisfies any", "a 1; needs cap >= 2\n b 1; provides cap", "a", "a-1 b-1"},
		{"ranges overlap", "a 1; needs cap < 2\n b 1; provides cap >= 1", "a", "a-1 b-1"},
		{"ranges do not overlap", "a 1; needs cap < 1 | c\n b 1; provides cap >= 1\n c 1", "a", "a-1 c-1"},
		{"releases count where both have one", "a 1; needs b > 1-1\n b 1-1\n b 1-2", "a", "a-1 b-1-2"},
		{"a file", "a 1; needs /bin/sh\n dash 1; files /bin/sh /bin/dash\n zsh 1; files /bin/zsh", "a", "a-1 dash-1"},
		{"a file by provides", "a 1; needs /bin/sh\n bash 1; provides /bin/sh", "a", "a-1 bash-1"},
		{"asked for by file", "dash 1; files /bin/sh", "/bin/sh", "dash-1"},
		{"asked for by capability", "x 1; provides cap", "cap", "x-1"},
		{"the package, not who provides its name", "b 9; provides a = 9\n a 1", "a", "a-1"},
		{"itself", "a 1; needs a, cap; provides cap", "a", "a-1"},
		{"a cycle", "a 1; needs b\n b 1; needs c\n c 1; needs a", "a", "a-1 b-1 c-1"},
		{"already chosen before others", "a 1; needs cap\n b 1; provides cap\n z 1; provides cap", "a, z", "a-1 z-1"},
		{"needed anyway before others", "a 1; needs cap, y\n b 1; provides cap\n y 1; needs z\n z 1; provides cap", "a", "a-1 y-1 z-1"},
		{"later need makes a choice idle", "a 1; needs cap, dap\n b 1; provides cap\n d 1; provides dap; needs zz\n zz 1; provides cap", "a", "a-1 d-1 zz-1"},
		{"of providers the one of that name", "a 1; needs cap\n bb 9; provides cap\n cap 1", "a", "a-1 cap-1"},
		{"then the shortest", "a 1; needs x\n bbb 1; provides x\n cc 1; provides x\n dd 1; provides x", "a", "a-1 cc-1"},
		{"priority before the name", "a 1; needs cap\n cap 1; priority 20\n zz 1; provides cap; priority 10", "a", "a-1 zz-1"},
		{"a conflict is avoided", "a 1; needs cap\n b 1; provides cap; conflicts a\n c 1; provides cap", "a", "a-1 c-1"},
		{"a conflict with a range", "a 1; needs b; conflicts b >= 2\n b 1\n b 2", "a", "a-1 b-1"},
		{"no conflict with oneself", "a 1; conflicts cap; provides cap", "a", "a-1"},
		{"obsoletes are by name", "a 1; needs cap, x; obsoletes x\n b 1; provides x, cap", "a", "a-1 b-1"},
		{"obsoletes keep a package out", "a 1; needs cap; obsoletes b < 2\n b 1; provides cap\n zzz 1; provides cap", "a", "a-1 zzz-1"},
		{"the successor is preferred", "a 1; needs old\n old 1\n successor 1; provides old = 2; obsoletes old < 2", "a", "a-1 successor-1"},
		{"an older version where the newest cannot be", "a 2; needs missing\n a 1", "a", "a-1"},
		{"an older version deep down", "a 1; needs b, c\n b 2; needs d = 2\n b 1; needs d\n c 1; needs d = 1\n d 1\n d 2", "a", "a-1 b-1 c-1 d-1"},
		{"what was asked first keeps its newest", "a 2; conflicts b = 2\n a 1\n b 2\n b 1", "a, b", "a-2 b-1"},
		{"noarch fits", "a 1; needs b\n b 1; arch noarch", "a", "a-1 b-1"},
		{"other architectures do not", "a 2; arch i686\n a 1", "a", "a-1"},
		{"rpmlib is ours", "a 1; needs rpmlib(PayloadIsZstd)\\ <= 5.4.18-1", "a", "a-1"},
	})
}

func TestRichDependenciesHold(t *testing.T) {
	t.Parallel()
	tryAll(t, packages.RPM, false, []choice{
		{"and", "a 1; needs (b and c)\n b 1\n c 1", "a", "a-1 b-1 c-1"},
		{"or", "a 1; needs (b or c)\n b 1\n c 1", "a", "a-1 b-1"},
		{"and in or", "a 1; needs ((b and c) or d)\n b 1\n d 1", "a", "a-1 d-1"},
		{"if not", "a 1; needs (b if c)\n b 1\n c 1", "a", "a-1"},
		{"if", "a 1; needs (b if c)\n b 1\n c 1", "a, c", "a-1 b-1 c-1"},
		{"if, later", "a 1; needs (b if c), d\n b 1\n c 1\n d 1; needs e\n e 1; needs c", "a", "a-1 b-1 c-1 d-1 e-1"},
		{"else", "a 1; needs (b if c else d)\n b 1\n c 1\n d 1", "a", "a-1 d-1"},
		{"not else", "a 1; needs (b if c else d)\n b 1\n c 1\n d 1", "a, c", "a-1 b-1 c-1"},
		{"if that cannot be", "a 1; needs (b if c), (c or d)\n c 1\n d 1", "a", "a-1 d-1"},
		{"with", "a 1; needs (p with q)\n b 1; provides p\n c 1; provides q\n dd 1; provides p, q", "a", "a-1 dd-1"},
		{"with a range", "a 1; needs (b >= 2 with b < 3)\n b 1\n b 2\n b 3", "a", "a-1 b-2"},
		{"without", "a 1; needs (p without q)\n b 1; provides p, q\n cc 1; provides p", "a", "a-1 cc-1"},
		{"conflict of both", "a 1; conflicts (b and c); needs (b or c), c\n b 1\n c 1", "a", "a-1 c-1"},
		{"conflict unless", "a 1; conflicts (b unless c)\n b 1\n c 1", "a, b", "a-1 b-1 c-1"},
		{"conflict unless, not there", "a 1; conflicts (b unless c)\n b 1\n c 1", "a", "a-1"},
		{"unless", "a 1; needs (b unless c)\n b 1\n c 1", "a", "a-1 b-1"},
	})
}

func TestDebianPackagesAreChosenByTheirRules(t *testing.T) {
	t.Parallel()
	tryAll(t, packages.Deb, false, []choice{
		{"newest", "a 1-1\n a 1-1+b1\n a 1-1~bpo", "a", "a-1-1+b1"},
		{"the first alternative", "a 1; needs z | b\n b 1\n z 1", "a", "a-1 z-1"},
		{"the first alternative that there is", "a 1; needs x | b\n b 1", "a", "a-1 b-1"},
		{"an alternative that is there", "a 1; needs z | b\n b 1\n z 1", "a, b", "a-1 b-1"},
		{"the real package before virtual ones", "a 1; needs mta\n x 1; provides mta\n mta 1; priority 500", "a", "a-1 mta-1"},
		{"a virtual package", "a 1; needs mta\n exim 1; provides mta", "a", "a-1 exim-1"},
		{"a virtual package has no version", "a 1; needs mta >= 1 | b\n exim 1; provides mta\n b 1", "a", "a-1 b-1"},
		{"unless it says so", "a 1; needs mta >= 1 | b\n exim 1; provides mta = 2\n b 1", "a", "a-1 exim-1"},
		{"any", "a 1; needs perl:any\n perl 5", "a", "a-1 perl-5"},
		{"an architecture", "a 1; needs perl:i386 | b:x86_64\n perl 5\n b 1", "a", "a-1 b-1"},
		{"own virtual package", "exim 1; provides mta; conflicts mta\n postfix 1; provides mta; conflicts mta", "exim", "exim-1"},
		{"all fits", "a 1; arch all", "a", "a-1"},
		{"asked for with a version", "a 1\n a 2", "a = 1", "a-1"},
		{"recommends are not asked for", "a 1; recommends b\n b 1", "a", "a-1"},
	})
}

func TestRecommendationsAreFollowedWherePossible(t *testing.T) {
	t.Parallel()
	tryAll(t, packages.Deb, true, []choice{
		{"followed", "a 1; recommends b\n b 1; needs c\n c 1; recommends d\n d 1", "a", "a-1 b-1 c-1 d-1"},
		{"missing", "a 1; recommends b", "a", "a-1"},
		{"impossible", "a 1; recommends b\n b 1; needs c\n c 1; needs d\n d 1; conflicts a", "a", "a-1"},
		{"never at the cost of what is needed", "a 1; needs x | y; recommends b\n x 1\n y 1\n b 1; conflicts x", "a", "a-1 x-1"},
		{"the second alternative", "a 1; recommends b | c\n b 1; conflicts a\n c 1", "a", "a-1 c-1"},
		{"supplements", "a 1\n b 1; supplements a\n c 1; supplements z", "a", "a-1 b-1"},
		{"supplements of several", "a 1\n b 1; supplements (a and x)\n x 1\n c 1; supplements (a and y)", "a, x", "a-1 b-1 x-1"},
	})
}

func TestExcludedPackagesAreNeverChosen(t *testing.T) {
	t.Parallel()
	c := config(t, packages.Deb, "a 1; needs b | c\n b 1\n c 1", "a")
	c.Exclude = []string{"b"}
	if got := names(t, c); got != "a-1 c-1" {
		t.Error(got)
	}
}
