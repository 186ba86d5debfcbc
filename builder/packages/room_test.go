package packages_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

// known is a package that is recorded: "name version arch", where an arch
// that starts with + can be there beside others.
func known(words string, change ...func(*packages.Recorded)) packages.Recorded {
	f := strings.Fields(words)
	arch, beside := strings.CutPrefix(f[2], "+")
	r := packages.Recorded{Package: packages.Package{Name: f[0], Version: f[1], Arch: arch}, Beside: beside}
	for _, c := range change {
		c(&r)
	}
	return r
}

func relation(text string) packages.Relation {
	f := strings.Fields(text)
	if len(f) == 1 {
		return packages.Relation{Name: f[0]}
	}
	ops := []packages.Op{packages.Less, packages.LessEqual, packages.Equal, packages.GreaterEqual, packages.Greater}
	return packages.Relation{Name: f[0], Op: ops[slices.Index([]string{"<", "<=", "=", ">=", ">"}, f[1])], Version: f[2]}
}

func plain(text string) packages.Requirement { return packages.Requirement{Relation: relation(text)} }

func joined(how packages.Connective, texts ...string) packages.Requirement {
	r := packages.Requirement{Joined: how}
	for _, text := range texts {
		r.Args = append(r.Args, plain(text))
	}
	return r
}

func conflicts(with ...packages.Requirement) func(*packages.Recorded) {
	return func(r *packages.Recorded) { r.Conflicts = with }
}

func obsoletes(text string) func(*packages.Recorded) {
	return func(r *packages.Recorded) { r.Obsoletes = []packages.Relation{relation(text)} }
}

func offers(text string) func(*packages.Recorded) {
	return func(r *packages.Recorded) { r.Provides = []packages.Relation{relation(text)} }
}

func TestWhichRecordedPackagesGo(t *testing.T) {
	const rpm, deb = packages.RPM, packages.Deb
	type list = []packages.Recorded
	for name, c := range map[string]struct {
		format          packages.Format
		recorded, added list
		want            string // the names that go; or
		refused         string
	}{
		"nothing recorded":                 {rpm, nil, list{known("a 1 x")}, "", ""},
		"newer":                            {rpm, list{known("a 1 +x"), known("b 1 +x")}, list{known("a 2 +x")}, "a", ""},
		"older":                            {deb, list{known("a 2 x")}, list{known("a 1 x")}, "a", ""},
		"the same":                         {deb, list{known("a 1 x")}, list{known("a 1 x")}, "a", ""},
		"another architecture beside":      {rpm, list{known("a 1 +i686")}, list{known("a 2 +x")}, "", ""},
		"another architecture not beside":  {deb, list{known("a 1 i386")}, list{known("a 2 x")}, "a", ""},
		"no architecture, then one":        {rpm, list{known("a 1 noarch")}, list{known("a 2 +x")}, "a", ""},
		"obsoleted":                        {rpm, list{known("old 1 x")}, list{known("a 2 x", obsoletes("old < 2"))}, "old", ""},
		"obsoleted in another version":     {rpm, list{known("old 2 x")}, list{known("a 2 x", obsoletes("old < 2"))}, "", ""},
		"obsoleted by what it provides":    {rpm, list{known("old 1 x", offers("virtual"))}, list{known("a 2 x", obsoletes("virtual"))}, "", ""},
		"replaced by what it provides":     {deb, list{known("old 1 x", offers("mta"))}, list{known("a 2 x", obsoletes("mta"), offers("mta"), conflicts(plain("mta")))}, "old", ""},
		"replaced in another version":      {deb, list{known("old 2 x")}, list{known("a 1 x", obsoletes("old < 2"), conflicts(plain("old < 2")))}, "", ""},
		"obsoletes itself":                 {rpm, list{known("a 1 +i686")}, list{known("a 2 +x", obsoletes("a"))}, "", ""},
		"conflict":                         {rpm, list{known("b 1 x")}, list{known("a 1 x", conflicts(plain("b")))}, "", "the former conflicts with b"},
		"conflict with a version":          {rpm, list{known("b 1 x")}, list{known("a 1 x", conflicts(plain("b < 2")))}, "", "the former conflicts with b < 2"},
		"conflict with another version":    {rpm, list{known("b 2 x")}, list{known("a 1 x", conflicts(plain("b < 2")))}, "", ""},
		"conflict of what stays":           {deb, list{known("b 1 x", conflicts(plain("a")))}, list{known("a 1 x")}, "", "the latter conflicts with a"},
		"conflict with what goes":          {deb, list{known("b 1 x")}, list{known("a 1 x", conflicts(plain("b < 2"))), known("b 2 x")}, "b", ""},
		"conflict of what goes":            {deb, list{known("b 1 x", conflicts(plain("a")))}, list{known("a 1 x"), known("b 2 x")}, "b", ""},
		"conflict with what one provides":  {deb, list{known("b 1 x", offers("mta"))}, list{known("a 1 x", offers("mta"), conflicts(plain("mta")))}, "", "the former conflicts with mta"},
		"conflict with oneself":            {rpm, list{known("c 1 x")}, list{known("a 1 x", offers("v"), conflicts(plain("v")))}, "", ""},
		"conflict with its like":           {rpm, list{known("a 1 +i686", offers("v"))}, list{known("a 1 +x", offers("v"), conflicts(plain("v")))}, "", ""},
		"conflict between those that stay": {rpm, list{known("b 1 x", conflicts(plain("c"))), known("c 1 x")}, list{known("a 1 x")}, "", ""},
		"conflict between added ones":      {rpm, list{known("b 1 x")}, list{known("c 1 x", conflicts(plain("a"))), known("a 1 x")}, "", ""},
		"conflict with an architecture":    {deb, list{known("b 1 i386")}, list{known("a 1 x", conflicts(plain("b:i386")))}, "", "conflicts with b:i386"},
		"conflict with another one's":      {deb, list{known("b 1 x")}, list{known("a 1 x", conflicts(plain("b:i386")))}, "", ""},
		"conflict with a file":             {rpm, list{known("b 1 x", func(r *packages.Recorded) { r.Files = []string{"/f"} })}, list{known("a 1 x", conflicts(plain("/f")))}, "", "conflicts with /f"},
		"obsoleted by what stays":          {rpm, list{known("b 1 x", obsoletes("a < 2"))}, list{known("a 1 x")}, "", "the latter obsoletes a < 2"},
		"both there":                       {rpm, list{known("b 1 x"), known("c 1 x")}, list{known("a 1 x", conflicts(joined(packages.And, "b", "c")))}, "", "conflicts with (b and c)"},
		"one of both":                      {rpm, list{known("b 1 x")}, list{known("a 1 x", conflicts(joined(packages.And, "b", "c")))}, "", ""},
		"either there":                     {rpm, list{known("c 1 x")}, list{known("a 1 x", conflicts(joined(packages.Or, "b", "c")))}, "", "conflicts with (b or c)"},
		"unless the other is there":        {rpm, list{known("b 1 x"), known("c 1 x")}, list{known("a 1 x", conflicts(joined(packages.Unless, "b", "c")))}, "", ""},
		"unless, and it is not":            {rpm, list{known("b 1 x")}, list{known("a 1 x", conflicts(joined(packages.Unless, "b", "c")))}, "", "conflicts with (b unless c)"},
		"unless with else":                 {rpm, list{known("c 1 x"), known("d 1 x")}, list{known("a 1 x", conflicts(joined(packages.Unless, "b", "c", "d")))}, "", "(b unless c else d)"},
		"if the other is there":            {rpm, list{known("b 1 x"), known("c 1 x")}, list{known("a 1 x", conflicts(joined(packages.If, "b", "c")))}, "", "conflicts with (b if c)"},
		"if, and it is not":                {rpm, list{known("b 1 x")}, list{known("a 1 x", conflicts(joined(packages.If, "b", "c")))}, "", ""},
		"one that is both":                 {rpm, list{known("b 1 x", offers("v"))}, list{known("a 1 x", conflicts(joined(packages.With, "b", "v")))}, "", "conflicts with (b with v)"},
		"two that are both":                {rpm, list{known("b 1 x"), known("c 1 x", offers("v"))}, list{known("a 1 x", conflicts(joined(packages.With, "b", "v")))}, "", ""},
		"one that is not the other":        {rpm, list{known("b 1 x")}, list{known("a 1 x", conflicts(joined(packages.Without, "b", "v")))}, "", "conflicts with (b without v)"},
		"one that is the other, too":       {rpm, list{known("b 1 x", offers("v"))}, list{known("a 1 x", conflicts(joined(packages.Without, "b", "v")))}, "", ""},
	} {
		gone, err := packages.Replaced(c.format, c.recorded, c.added)
		var conflict *packages.ConflictError
		if c.refused != "" {
			if !errors.As(err, &conflict) || !strings.Contains(err.Error(), c.refused) || !strings.HasPrefix(conflict.Added, "a ") {
				t.Errorf("%s: error %v: want %q", name, err, c.refused)
			}
			continue
		}
		var names []string
		for i, g := range gone {
			if g {
				names = append(names, c.recorded[i].Name)
			}
		}
		if err != nil || strings.Join(names, " ") != c.want || len(gone) != len(c.recorded) {
			t.Errorf("%s: %q go, %v: want %q", name, names, err, c.want)
		}
	}
}

// files gives a recorded package its files.
func files(paths ...string) func(*packages.Recorded) {
	return func(r *packages.Recorded) { r.Files = paths }
}

func TestRoomIsMadeForTheNextVersion(t *testing.T) {
	for _, c := range []struct {
		name             string
		was              []tree.Entry
		goes, stays, has []string // files of the recorded packages, and what the added one names besides its entries
		comes            []tree.Entry
		want             []string // without what is in base; or
		conflict         string
	}{
		{"a file that the next version has not", []tree.Entry{file("d/f", "1")}, []string{"/d", "/d/f"}, nil, nil, nil, nil, ""},
		{"a file in a directory with others", []tree.Entry{file("d/f", "1"), file("d/g", "1")}, []string{"/d", "/d/f"}, nil, nil, nil,
			[]string{"d directory 0755 0:0", `d/g file 0644 0:0 "1"`}, ""},
		{"a file that another has, too", []tree.Entry{file("d/f", "1")}, []string{"/d", "/d/f"}, []string{"/d/f"}, nil, nil,
			[]string{"d directory 0755 0:0", `d/f file 0644 0:0 "1"`}, ""},
		{"the same by a link", []tree.Entry{file("usr/lib/f", "1")}, []string{"/lib/f"}, []string{"/usr/lib/f"}, nil, nil, []string{`usr/lib/f file 0644 0:0 "1"`}, ""},
		{"an empty directory of another", []tree.Entry{dir("d", 0o755)}, []string{"/d"}, []string{"/d"}, nil, nil, []string{"d directory 0755 0:0"}, ""},
		{"a file that has moved by a link", []tree.Entry{file("lib/f", "1")}, []string{"/lib/f"}, nil, nil, []tree.Entry{file("usr/lib/f", "2")},
			[]string{`usr/lib/f file 0644 0:0 "2"`}, ""},
		{"a link that stays a link", nil, []string{"/lib"}, nil, nil, []tree.Entry{file("lib/f", "2"), link("lib", "usr/lib")}, []string{`usr/lib/f file 0644 0:0 "2"`}, ""},
		{"a link that is a directory now", nil, []string{"/lib"}, nil, nil, []tree.Entry{dir("lib", 0o755)}, nil, ""},
		{"a directory that is a link now", []tree.Entry{file("d/f", "1")}, []string{"/d", "/d/f"}, nil, nil, []tree.Entry{link("d", "usr")}, []string{"d symbolic link 0777 0:0 -> usr"}, ""},
		{"a directory with others that is a link now", []tree.Entry{file("d/f", "1"), file("d/g", "1")}, []string{"/d", "/d/f"}, nil, nil,
			[]tree.Entry{link("d", "usr")}, nil, `path "d": a directory in "base", but a symbolic link`},
		{"a file that is a directory now", []tree.Entry{file("d", "1")}, []string{"/d"}, nil, nil, []tree.Entry{file("d/f", "2")},
			[]string{"d directory 0755 0:0", `d/f file 0644 0:0 "2"`}, ""},
		{"a file that is a directory of the package now", []tree.Entry{file("d", "1")}, []string{"/d"}, nil, nil, []tree.Entry{dir("d", 0o700), file("d/f", "2")},
			[]string{"d directory 0700 0:0", `d/f file 0644 0:0 "2"`}, ""},
		{"a file that is only claimed now", []tree.Entry{file("d/f", "1")}, []string{"/d/f"}, nil, []string{"/d/f"}, nil, []string{"d directory 0755 0:0", `d/f file 0644 0:0 "1"`}, ""},
		{"a file that is not there", nil, []string{"/d/f", "/usr/f", "/etc/issue/x", "/."}, nil, nil, nil, nil, ""},
		{"the database", []tree.Entry{file("db/status", "1"), file("db2", "1")}, []string{"/db", "/db/status", "/db2"}, nil, nil, nil, []string{"db directory 0755 0:0", `db/status file 0644 0:0 "1"`}, ""},
		{"what stays has the same file", []tree.Entry{file("f", "1")}, nil, []string{"/f"}, nil, []tree.Entry{with(file("f", "1"), func(n *tree.Node) { n.Mode = 0o600 })},
			[]string{`f file 0600 0:0 "1"`}, ""},
		{"what stays has another file", []tree.Entry{file("f", "1")}, nil, []string{"/f"}, nil, []tree.Entry{file("f", "2")}, nil, `path "f" is in package stays 1 and in package a 1: the contents differ`},
		{"what stays has another file, by a hard link", []tree.Entry{file("f", "1")}, nil, []string{"/f"}, nil, []tree.Entry{file("g", "2"), hard("f", "g")}, nil, "the contents differ"},
		{"what stays had a file", nil, nil, []string{"/f"}, nil, []tree.Entry{file("f", "2")}, []string{`f file 0644 0:0 "2"`}, ""},
	} {
		into := base(t)
		for _, e := range c.was {
			e.Node.Source = "base"
			if err := into.Apply(e); err != nil {
				t.Fatal(err)
			}
		}
		payloads := []packages.Payload{rpm("a", c.comes...)}
		room := packages.Room{
			Recorded: []packages.Recorded{known("a 0 x", files(c.goes...)), known("stays 1 x", files(c.stays...))},
			Gone:     []bool{true, false}, Added: []packages.Recorded{known("a 1 x", files(c.has...))}, Keep: []string{"db"},
		}
		err := room.Make(into, payloads)
		if err == nil {
			err = packages.Lay(t.Context(), into, "rpm", payloads, nil)
		}
		if c.conflict != "" {
			if err == nil || !strings.Contains(err.Error(), c.conflict) {
				t.Errorf("%s: error %v: want %q", c.name, err, c.conflict)
			}
			continue
		}
		got, listErr := treetest.List(into)
		if err != nil || listErr != nil {
			t.Errorf("%s: %v, %v", c.name, err, listErr)
			continue
		}
		ours, _ := treetest.List(base(t))
		got = slices.DeleteFunc(got, func(line string) bool { return slices.Contains(ours, line) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestAFileOfWhatStaysCanBeReplaced(t *testing.T) {
	into := base(t)
	payloads := []packages.Payload{deb("a", file("etc/issue", "new"))}
	room := packages.Room{Recorded: []packages.Recorded{known("stays 1 x", files("/etc/issue"))}, Gone: []bool{false},
		Replaces: func(added *packages.About, stays *packages.Recorded) bool {
			return added.Name == "a" && stays.Name == "stays"
		}}
	if err := room.Make(into, payloads); err != nil {
		t.Error(err)
	}
}
