package version_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages/version"
)

// versions are what people write, and what is at the edges of the rules.
var versions = []string{
	"0", "1", "01", "001", "1.0", "1.00", "1..0", "1.0.", "1.1", "1.10", "1.9", "10", "2", "1a", "1.a", "1.0a", "a", "b", "A", "Z", "a1", "1.a1",
	"1.0~", "1.0~~", "1.0~rc1", "1.0~rc1~git123", "1.0~rc2", "~", "1.0+", "1.0+b1", "1.0.1", "1.0+dfsg", "1.0a~", "1.0.~",
	"1-1", "1-2", "1-10", "1.0-1", "1.0-1~deb12u1", "1.0-1+b2", "1.0-1.1", "1.0-0", "1.0-0.1", "1-1-1", "1-a-1",
	"0:1", "1:1", "1:0.1-1", "2:0", "10:0", "01:1", "1:1.0-1", "0:1.0-1",
	"20230101", "2.36-9+deb12u10", "5.10.0-33", "6.1.0-44", "1.2.3.4.5", "1.2.3.4.10", "1.0.0-alpha", "20160101git5f4d1a", "1.0aa", "1.0ab", "1.0z",
}

var rpmOnly = []string{"99999999999999999999", "100000000000000000000", "1.0^", "1.0^git1", "1.0^git2", "1.0^git1~pre", "1.0~rc1^git1", "1.0^20210501", "1.0^.1", "^", "1.0_1", "1_0", "1_", "xyz10", "xyz10.1", "10xyz", "1.fc4", "1.el9_2.3", "1-1^", "1-1~", "00:1-1", "1.0-1.fc40", "1.0-1.fc41", "1.0~rc1-1"}

// pairs are all pairs of the texts, and some generated ones of the alphabet.
func pairs(texts []string, alphabet string, fit func(string) bool) [][2]string {
	var all [][2]string
	for _, a := range texts {
		for _, b := range texts {
			all = append(all, [2]string{a, b})
		}
	}
	random := rand.New(rand.NewPCG(3, 1))
	word := func() string {
		for {
			var s strings.Builder
			for range 1 + random.IntN(8) {
				s.WriteByte(alphabet[random.IntN(len(alphabet))])
			}
			if fit(s.String()) {
				return s.String()
			}
		}
	}
	for range 20_000 {
		a := word()
		b := word()
		if random.IntN(2) == 0 { // similar ones: the interesting ones
			b = a + word()
		}
		if fit(b) {
			all = append(all, [2]string{a, b})
		}
	}
	return all
}

func compareAll(t *testing.T, all [][2]string, ours func(a, b string) int, theirs []byte) {
	t.Helper()
	answers := strings.Fields(string(theirs))
	if len(answers) != len(all) {
		t.Fatalf("%d answers to %d questions", len(answers), len(all))
	}
	for i, p := range all {
		want, err := strconv.Atoi(answers[i])
		if err != nil {
			t.Fatal(err)
		}
		if got := ours(p[0], p[1]); got != want {
			t.Errorf("%q and %q compare %d: want %d", p[0], p[1], got, want)
		}
	}
}

func TestRPMVersionsAreOrderedAsRpmDoes(t *testing.T) {
	t.Parallel()
	asked := pairs(append(versions[:len(versions):len(versions)], rpmOnly...), "01029.~^-aB_+", func(s string) bool {
		return s != "" && !strings.HasSuffix(s, "-") && !strings.HasPrefix(s, "-")
	})
	var program strings.Builder
	program.WriteString("local function c(a, b) print(rpm.vercmp(a, b) .. ' ') end\n")
	for _, p := range asked {
		fmt.Fprintf(&program, "c(%q, %q)\n", p[0], p[1])
	}
	compareAll(t, asked, version.RPM, lua(t, program.String()))
}

// lua runs a program of rpm's own language.
func lua(t *testing.T, program string) []byte {
	t.Helper()
	file := t.TempDir() + "/questions.lua"
	writeFile(t, file, program)
	out, err := exec.Command("rpm", "--eval", "%{lua: dofile('"+file+"')}").Output()
	if err != nil {
		t.Fatalf("rpm: %v", err)
	}
	return out
}

func TestDebianVersionsAreOrderedAsDpkgDoes(t *testing.T) {
	t.Parallel()
	fit := func(s string) bool {
		return s[0] >= '0' && s[0] <= '9' && !strings.HasSuffix(s, "-") && !strings.Contains(s, ":")
	}
	var plain []string
	for _, v := range versions {
		if v[0] >= '0' && v[0] <= '9' {
			plain = append(plain, v)
		}
	}
	asked := pairs(plain, "01029.~-+aB", fit)
	var in strings.Builder
	for _, p := range asked {
		fmt.Fprintln(&in, p[0], p[1])
	}
	perl := exec.Command("perl", "-MDpkg::Version", "-lane", "print version_compare($F[0], $F[1])")
	perl.Stdin = strings.NewReader(in.String())
	out, err := perl.Output()
	if err != nil {
		t.Fatalf("perl with Dpkg::Version: %v", err)
	}
	compareAll(t, asked, version.Debian, out)
	for _, p := range [][2]string{{"1.0~rc1-1", "1.0-1"}, {"2-1", "1:0-1"}, {"1.0-1", "1.0-1+b1"}, {"1.9", "1.10"}, {"999999999999999999", "1000000000000000000"}} {
		if err := exec.Command("dpkg", "--compare-versions", p[0], "lt", p[1]).Run(); err != nil || version.Debian(p[0], p[1]) != -1 {
			t.Errorf("%s is not older than %s: dpkg says %v", p[0], p[1], err)
		}
	}
}

func TestRangesOfRPMsNeedNoRelease(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b  string
		order int
		vague bool
	}{
		{"1.0-3", "1.0", 0, true}, {"1.0", "1.0-3", 0, true}, {"1.0", "1.0", 0, false}, {"1.0-1", "1.0-2", -1, false},
		{"1:1.0", "1.0-2", 1, false}, {"1.1", "1.0-2", 1, false}, {"0:1.0-2", "1.0-2", 0, false},
	} {
		if order, vague := version.RPMRange(c.a, c.b); order != c.order || vague != c.vague {
			t.Errorf("%s and %s: %d %v, want %d %v", c.a, c.b, order, vague, c.order, c.vague)
		}
	}
}

func FuzzOrder(f *testing.F) {
	for i, v := range versions {
		f.Add(v, versions[(i+7)%len(versions)], versions[(i+13)%len(versions)])
	}
	f.Add("1^", "1~^", "^1-")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for name, order := range map[string]func(a, b string) int{"RPM": version.RPM, "Debian": version.Debian} {
			if order(a, a) != 0 {
				t.Errorf("%s: %q is not equal to itself", name, a)
			}
			if order(a, b) != -order(b, a) {
				t.Errorf("%s: %q and %q depend on their order", name, a, b)
			}
			if order(a, b) <= 0 && order(b, c) <= 0 && order(a, c) > 0 {
				t.Errorf("%s: %q <= %q <= %q, but the last is older than the first", name, a, b, c)
			}
		}
	})
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
