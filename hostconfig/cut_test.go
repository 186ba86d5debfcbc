package hostconfig

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errCut = errors.New("cut")

// everything changes something of each kind, and one thing twice.
const everything = `{"ignition":{"version":"3.4.0"},
 "passwd":{"groups":[{"name":"team"}],"users":[{"name":"core","groups":["team"],"sshAuthorizedKeys":["` + key + `"]},{"name":"old","shouldExist":false}]},
 "storage":{"directories":[{"path":"/var/data","mode":1023},{"path":"/var/lib","mode":509},{"path":"/etc/skel","overwrite":true}],
  "files":[{"path":"/etc/hosts","append":[{"source":"data:,more%0A"}]},{"path":"/etc/motd","overwrite":true,"contents":{"source":"data:,m"}},
   {"path":"/var/data/f","contents":{"source":"data:,f"},"user":{"name":"core"}},{"path":"/etc/skel/new","mode":3565,"contents":{"source":"data:,n"}}],
  "links":[{"path":"/etc/hosts2","target":"/etc/hosts","hard":true},{"path":"/var/l","target":"data"}]},
 "systemd":{"units":[{"name":"ssh.service","enabled":true},{"name":"hello.service","enabled":true,"contents":"[Service]\nExecStart=/bin/sh\n[Install]\nWantedBy=multi-user.target\n"}]}}`

// TestWorkThatIsCutAnywhereIsFinishedByTheNextBoot cuts before each single act,
// and the boot after that again in the middle.
func TestWorkThatIsCutAnywhereIsFinishedByTheNextBoot(t *testing.T) {
	t.Parallel()
	whole := newRoot(t, nil)
	must(t, configure(t, whole, everything))
	want := listing(t, whole)
	untouched := listing(t, newRoot(t, nil))

	cutBefore := func(n int) (act func() error, acts *int) {
		acts = new(int)
		return func() error {
			if *acts++; *acts > n {
				return errCut
			}
			return nil
		}, acts
	}
	done, resumed := false, 0
	for n := 0; !done; n++ {
		dir := newRoot(t, nil)
		root := open(t, dir)
		p, err := Parse("c", []byte(everything))
		must(t, err)
		work, err := Prepare(root, "c", p, nil, today)
		must(t, err)
		act, _ := cutBefore(n)
		err = work.do(root, act)
		done = err == nil
		if !done && !errors.Is(err, errCut) {
			t.Fatalf("cut before act %d: %v", n+1, err)
		}
		// The second boot is cut, too.
		var kept Work
		if readJSON(root, pendingPath, mostWork, &kept) == nil {
			act, _ := cutBefore(n / 2)
			if err := kept.finish(root, act); err != nil && !errors.Is(err, errCut) {
				t.Fatalf("cut before act %d, then %d: %v", n+1, n/2+1, err)
			}
		}
		record, err := Resume(root)
		must(t, err)
		if record != nil {
			resumed++
		}
		after, err := ReadRecord(root)
		must(t, err)
		got := listing(t, dir)
		switch {
		case after == nil && n > 0:
			t.Fatalf("cut before act %d: it is not configured", n+1)
		case after == nil && !maps.Equal(got, untouched):
			t.Fatalf("cut before act %d: something is changed without a record", n+1)
		case after != nil:
			same(t, got, want)
		}
		if _, err := os.Lstat(filepath.Join(dir, pendingPath)); err == nil {
			t.Errorf("cut before act %d: work is left", n+1)
		}
		if t.Failed() {
			t.Fatalf("cut before act %d", n+1)
		}
	}
	if resumed < 50 {
		t.Errorf("resumed %d times", resumed)
	}
	t.Logf("resumed %d times", resumed)
}

func TestTheSameConfigurationTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	dir := newRoot(t, nil)
	must(t, configure(t, dir, everything))
	want := listing(t, dir)
	must(t, configure(t, dir, everything))
	same(t, listing(t, dir), want)
}

func TestAnotherConfigurationReplacesWhatTheOneBeforeWrote(t *testing.T) {
	t.Parallel()
	dir := newRoot(t, nil)
	first := storage(`"files":[{"path":"/etc/a","contents":{"source":"data:,one"}},{"path":"/etc/hosts","append":[{"source":"data:,one%0A"}]}]`)
	must(t, configure(t, dir, first))
	second := strings.ReplaceAll(first, "one", "two")
	must(t, configure(t, dir, second))
	for name, want := range map[string]string{"etc/a": "two", "etc/hosts": image["etc/hosts"] + "two\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	// What somebody has changed since is not ours any more.
	must(t, os.WriteFile(filepath.Join(dir, "etc/a"), []byte("mine"), 0o644))
	if err := configure(t, dir, first); err == nil || !strings.Contains(err.Error(), "/etc/a: it is there already: want overwrite") {
		t.Errorf("over a file that was changed: %v", err)
	}
}
