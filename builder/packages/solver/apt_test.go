package solver_test

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/solver"
)

// TestDebiansPackagesAreChosenAsAptDoes takes the archive that this machine has
// the index of.
func TestDebiansPackagesAreChosenAsAptDoes(t *testing.T) {
	t.Parallel()
	lists, err := filepath.Glob("/var/lib/apt/lists/*_Packages*")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no index of packages in /var/lib/apt/lists (%v): run apt-get update", err)
	}
	slices.Sort(lists)
	var all []packages.Package
	for _, list := range lists {
		all = append(all, readIndex(t, list)...)
	}
	arch, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil {
		t.Fatal(err)
	}
	ask := []string{"systemd-sysv", "openssh-server", "linux-image-cloud-" + strings.TrimSpace(string(arch)), "dbus", "e2fsprogs"}
	var wanted []packages.Requirement
	for _, name := range ask {
		wanted = append(wanted, packages.Requirement{Relation: packages.Relation{Name: name}})
	}
	chosen, err := solver.Solve(context.Background(), solver.Config{
		Format: packages.Deb, Arch: strings.TrimSpace(string(arch)), Candidates: all, Wanted: wanted,
	})
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, i := range chosen {
		ours = append(ours, all[i].Name+" "+all[i].Version)
	}
	theirs := apt(t, ask)
	for _, p := range ours {
		if !slices.Contains(theirs, p) {
			t.Errorf("apt would not install %s", p)
		}
	}
	for _, p := range theirs {
		name, _, _ := strings.Cut(p, " ")
		if !slices.Contains(ours, p) && !idle[name] {
			t.Errorf("apt would install %s, too", p)
		}
	}
}

// idle are packages that apt installs though nothing needs them in the end:
// lsb-base is the first alternative to sysvinit-utils, which comes anyway.
var idle = map[string]bool{"lsb-base": true}

var installs = regexp.MustCompile(`(?m)^Inst ([^ ]+) \(([^ ]+) `)

// apt is what apt would install onto nothing.
func apt(t *testing.T, names []string) []string {
	t.Helper()
	args := append([]string{"-s", "--no-install-recommends", "-o", "Dir::State::status=/dev/null", "install"}, names...)
	out, err := exec.Command("apt-get", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("apt-get: %v\n%s", err, out)
	}
	var all []string
	for _, m := range installs.FindAllSubmatch(out, -1) {
		all = append(all, string(m[1])+" "+string(m[2]))
	}
	if len(all) < len(names) {
		t.Fatalf("apt-get says\n%s", out)
	}
	return all
}

// readIndex reads what the test needs of a Packages file (deb-control(5)).
func readIndex(t *testing.T, name string) []packages.Package {
	t.Helper()
	cmd := exec.Command("/usr/lib/apt/apt-helper", "cat-file", name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []packages.Package
	var p packages.Package
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		switch key {
		case "Package":
			p.Name = value
		case "Version":
			p.Version = value
		case "Architecture":
			p.Arch = value
		case "Depends", "Pre-Depends":
			p.Requires = append(p.Requires, relations(value)...)
		case "Conflicts", "Breaks":
			p.Conflicts = append(p.Conflicts, relations(value)...)
		case "Recommends":
			p.Recommends = append(p.Recommends, relations(value)...)
		case "Provides":
			for _, r := range relations(value) {
				p.Provides = append(p.Provides, r.Relation)
			}
		case "":
			if p.Name != "" {
				all = append(all, p)
			}
			p = packages.Package{}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("apt-helper: %v", err)
	}
	return all
}

var debOperators = map[string]packages.Op{
	"<<": packages.Less, "<=": packages.LessEqual, "=": packages.Equal, ">=": packages.GreaterEqual, ">>": packages.Greater,
}

func relations(text string) []packages.Requirement {
	var all []packages.Requirement
	for group := range strings.SplitSeq(text, ",") {
		var any []packages.Requirement
		for one := range strings.SplitSeq(group, "|") {
			fields := strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(one))
			r := packages.Relation{Name: fields[0]}
			if len(fields) == 3 {
				r.Op, r.Version = debOperators[fields[1]], fields[2]
			}
			any = append(any, packages.Requirement{Relation: r})
		}
		if len(any) == 1 {
			all = append(all, any[0])
		} else {
			all = append(all, packages.Requirement{Joined: packages.Or, Args: any})
		}
	}
	return all
}
