package deb_test

import (
	"slices"
	"testing"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/packages"
)

func TestUsrIsMergedIsWantedWhereItIsOffered(t *testing.T) {
	offered := func(names ...string) []packages.Package {
		var all []packages.Package
		for _, name := range names {
			all = append(all, packages.Package{Name: name, Version: "1", Arch: "amd64", Essential: name == "libc"})
		}
		return all
	}
	for _, test := range []struct {
		offered, items, exclude, want []string
	}{
		{[]string{"libc", "usrmerge", "usr-is-merged"}, []string{"x"}, nil, []string{"libc", "usr-is-merged", "x"}},
		{[]string{"libc", "usrmerge"}, []string{"x"}, nil, []string{"libc", "x"}},
		{[]string{"libc", "usr-is-merged"}, []string{"usrmerge"}, nil, []string{"libc", "usrmerge"}},
		{[]string{"libc", "usr-is-merged"}, []string{"x"}, []string{"usr-is-merged"}, []string{"libc", "x"}},
	} {
		wanted, err := deb.Wanted(offered(test.offered...), test.items, test.exclude)
		var got []string
		for _, w := range wanted {
			got = append(got, w.Relation.Name)
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("offered %q, asked for %q without %q: wanted %q, %v: want %q", test.offered, test.items, test.exclude, got, err, test.want)
		}
	}
}
