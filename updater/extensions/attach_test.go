package extensions

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// host is a host whose release has a sysext "debug", a confext "site" and a sysext
// "trace", all of which are in its store.
func host(t *testing.T) (Host, manifests.Extensions) {
	t.Helper()
	dir := t.TempDir()
	h := Host{
		List: filepath.Join(dir, "extensions.json"), Store: filepath.Join(dir, "store"), Run: filepath.Join(dir, "run"),
		Record: filepath.Join(dir, "run/proa.json"), Root: filepath.Join(dir, "root"),
	}
	check(t, os.MkdirAll(h.Store, 0o755))
	check(t, os.MkdirAll(h.Run, 0o755))
	list := manifests.Extensions{Schema: 1, Product: "edge", Version: "1", Arch: manifests.AMD64}
	for n, name := range []string{"debug", "site", "trace"} {
		content := []byte("image of " + name)
		x := manifests.Extension{
			Name: name, Kind: manifests.Sysext, Version: "1", Size: int64(len(content)), Digest: manifests.DigestOf(content),
			RootHash: bytes.Repeat([]byte{byte(n + 1)}, 32),
		}
		if name == "site" {
			x.Kind = manifests.Confext
		}
		list.Extensions = append(list.Extensions, x)
		check(t, os.WriteFile(Store{Dir: h.Store}.Path(x.Digest), content, 0o600))
	}
	write(t, h, list)
	return h, list
}

func write(t *testing.T, h Host, list manifests.Extensions) {
	t.Helper()
	text, err := json.Marshal(list)
	check(t, err)
	check(t, os.WriteFile(h.List, text, 0o644))
}

// found are the files that systemd finds, and what the root hashes begin with.
func found(t *testing.T, h Host) string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"confexts/*", "extensions/*"} {
		names, err := filepath.Glob(filepath.Join(h.Run, pattern))
		check(t, err)
		for _, name := range names {
			content, err := os.ReadFile(name)
			check(t, err)
			base := strings.TrimPrefix(name, h.Run+"/")
			if strings.HasSuffix(name, ".roothash") {
				content = content[:2]
			}
			all = append(all, base+"="+string(content))
		}
	}
	return strings.Join(all, ", ")
}

func attach(t *testing.T, h Host, names []string) string {
	t.Helper()
	all, err := h.Attach(names)
	check(t, err)
	return states(all)
}

func states(all []Standing) string {
	var text []string
	for _, x := range all {
		text = append(text, x.Name+" "+string(x.State))
	}
	return strings.Join(text, ", ")
}

func TestSystemdFindsEachExtensionWithItsRootHash(t *testing.T) {
	h, _ := host(t)
	if got := attach(t, h, nil); got != "debug attached, site attached, trace attached" {
		t.Error(got)
	}
	const want = "confexts/site.raw=image of site, confexts/site.roothash=02, extensions/debug.raw=image of debug, extensions/debug.roothash=01, " +
		"extensions/trace.raw=image of trace, extensions/trace.roothash=03"
	if got := found(t, h); got != want {
		t.Errorf("systemd finds %s", got)
	}
	// Again, it is the same.
	attach(t, h, nil)
	if got := found(t, h); got != want {
		t.Errorf("systemd finds %s", got)
	}
}

func TestWhatIsNotWantedAnyMoreIsTakenAway(t *testing.T) {
	h, _ := host(t)
	check(t, os.MkdirAll(filepath.Join(h.Run, "extensions"), 0o755))
	check(t, os.WriteFile(filepath.Join(h.Run, "extensions/theirs.raw"), []byte("x"), 0o644))
	attach(t, h, nil)
	if got := attach(t, h, []string{"debug"}); got != "debug attached, site not wanted, trace not wanted" {
		t.Error(got)
	}
	if got := found(t, h); got != "extensions/debug.raw=image of debug, extensions/debug.roothash=01, extensions/theirs.raw=x" {
		t.Errorf("systemd finds %s", got)
	}
	if got := attach(t, h, []string{}); got != "debug not wanted, site not wanted, trace not wanted" {
		t.Error(got)
	}
}

func TestAnExtensionThatIsNotHereKeepsTheOthersFromNothing(t *testing.T) {
	h, list := host(t)
	check(t, os.Remove(Store{Dir: h.Store}.Path(list.Extensions[0].Digest)))
	check(t, os.Truncate(Store{Dir: h.Store}.Path(list.Extensions[2].Digest), 3))
	if got := attach(t, h, nil); got != "debug missing, site attached, trace missing" {
		t.Error(got)
	}
	err := h.Check(nil, false)
	if err == nil || !strings.Contains(err.Error(), "extension debug 1 is not attached: missing") {
		t.Errorf("check: %v", err)
	}
	if err := h.Check([]string{"site"}, false); err != nil {
		t.Errorf("check of what is there: %v", err)
	}
	// It comes while the machine runs.
	check(t, os.WriteFile(Store{Dir: h.Store}.Path(list.Extensions[0].Digest), []byte("image of debug"), 0o600))
	all, err := h.Standings(nil)
	check(t, err)
	if got := states(all); got != "debug waiting, site attached, trace missing" {
		t.Error(got)
	}
}

func TestAnExtensionCountsWhenSystemdSaysThatItIsMerged(t *testing.T) {
	h, _ := host(t)
	attach(t, h, nil)
	if err := h.Check(nil, true); err == nil || !strings.Contains(err.Error(), "extension debug 1 is not merged") {
		t.Errorf("nothing is merged: %v", err)
	}
	for path, names := range map[string]string{"usr/.systemd-sysext/extensions": "debug\ntrace\n", "etc/.systemd-confext/confexts": "site"} {
		path = filepath.Join(h.Root, path)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(names), 0o644))
	}
	check(t, h.Check(nil, true))
	check(t, os.WriteFile(filepath.Join(h.Root, "usr/.systemd-sysext/extensions"), []byte("debugger\ntrace\n"), 0o644))
	if err := h.Check(nil, true); err == nil || !strings.Contains(err.Error(), "extension debug 1 is not merged") {
		t.Errorf("another is merged: %v", err)
	}
}

func TestAReleaseWithoutExtensionsLeavesNothing(t *testing.T) {
	h, _ := host(t)
	check(t, os.Remove(h.List))
	if all, err := h.Attach(nil); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := os.Stat(h.Record); err == nil {
		t.Error("there is a record of nothing")
	}
	check(t, h.Check(nil, true))
	check(t, os.WriteFile(h.List, []byte("{}"), 0o644))
	if _, err := h.Attach(nil); err == nil || !strings.Contains(err.Error(), h.List) {
		t.Errorf("a list that is none: %v", err)
	}
}
