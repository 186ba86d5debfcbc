package extensions

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/hostfs"
)

// TestNothingIsRemovedWhileAListIsDamaged has a list of a release whose images nothing
// else names, and an image that nobody needs.
func TestNothingIsRemovedWhileAListIsDamaged(t *testing.T) {
	h, list := host(t)
	s := Store{FS: hostfs.OS{}, Dir: h.Store}
	check(t, os.WriteFile(s.Path(manifests.DigestOf(nil)), nil, 0o600))
	release := manifests.HexBytes{1, 2, 3}
	check(t, s.Note(release, list))
	names := func() (names []string) {
		t.Helper()
		entries, err := os.ReadDir(h.Store)
		check(t, err)
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return names
	}
	all := names()
	keep := func() {
		t.Helper()
		_, err := s.Keep([]manifests.HexBytes{release, {4, 5, 6}}, false)
		check(t, err)
	}
	check(t, os.Truncate(s.list(release), 20))
	if _, err := s.Noted(release); err == nil {
		t.Error("a damaged list is read")
	}
	if keep(); !slices.Equal(names(), all) {
		t.Errorf("with a damaged list there is %v: want %v", names(), all)
	}
	check(t, s.Note(release, list))
	useless := filepath.Base(s.Path(manifests.DigestOf(nil)))
	if keep(); !slices.Equal(names(), slices.DeleteFunc(all, func(name string) bool { return name == useless })) {
		t.Errorf("with the list anew there is %v", names())
	}
}
