package signing_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing/forge"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/testhost"
)

// TestAll44AttacksAreRefused mounts each attack on a host that is content with its
// repository, and asks the agent for an update. It must say why not, in words of
// that attack alone, and leave the host as it was; and when the attack ends the
// host is content again.
func TestAll44AttacksAreRefused(t *testing.T) {
	var said refusals
	t.Run("attack", func(t *testing.T) {
		count := 0
		for _, group := range attacks {
			if len(group.list) != group.count {
				t.Errorf("%s: %d attacks, want %d", group.group, len(group.list), group.count)
			}
			count += len(group.list)
			for _, attack := range group.list {
				for _, mount := range attack.ways {
					t.Run(group.group+"/"+attack.name, func(t *testing.T) {
						t.Parallel()
						said.add(attack.name, newWorld(t).refuses(attack, mount))
					})
				}
			}
		}
		if count != 44 {
			t.Errorf("%d attacks, want 44", count)
		}
	})
	said.wantDistinct(t)
}

// world is a host that runs release 1.0.0 and its repository, which offers 1.1.0.
// They get on, until the repository is in an attacker's hands.
type world struct {
	*forge.Repository
	t        *testing.T
	owner    *testhost.Repository
	host     *testhost.Host
	clock    time.Duration // by which the host's clock is ahead
	patience fetch.Patience
	offers   manifests.Version // by the repository, without an attack

	content map[string]string // the trusted metadata, when the host was last content
	backup  string            // the repository at that time
}

const epoch = 3 // the security epoch that the host demands

func newWorld(t *testing.T) *world {
	t.Helper()
	owner := testhost.NewRepository(t)
	host := testhost.New(t, owner, testhost.NewRelease(t, testhost.Spec{Version: "1.0.0", SecurityEpoch: epoch}))
	w := &world{Repository: forge.Open(t, owner.Dir, owner.Keys), t: t, owner: owner, host: host, offers: "1.1.0"}
	w.publish("1.1.0", nil)
	w.settle()
	return w
}

// settle lets the host take what the repository offers now, to which it must not
// object.
func (w *world) settle() {
	w.t.Helper()
	w.mustOffer()
	w.content = w.trusted()
	w.backup = w.t.TempDir()
	check(w.t, os.CopyFS(w.backup, os.DirFS(w.Dir)))
}

func (w *world) mustOffer() {
	w.t.Helper()
	if offered, err := w.agent().Check(w.t.Context()); err != nil || offered.Version != w.offers {
		w.t.Fatalf("the host is offered %q, %v: want %s", offered.Version, err, w.offers)
	}
}

// refuses mounts an attack on the host, demands that it fails, and ends it. It
// returns what the host said.
func (w *world) refuses(attack attack, mount way) string {
	t := w.t
	bootable := w.host.Bootable(t)
	mount(w)
	_, err := w.agent().Update(t.Context(), updater.UpdateOptions{Now: true})
	if err == nil {
		t.Fatal("the host updates itself")
	}
	t.Log(err)
	var refusal *updater.Refusal
	if kind := errors.As(err, &refusal); kind != (attack.want == nil) || attack.want != nil && !errors.Is(err, attack.want) {
		t.Errorf("error of another kind than %v", attack.want)
	}
	if !strings.Contains(err.Error(), attack.says) || strings.Contains(err.Error(), "\n") {
		t.Errorf("want one line with %q", attack.says)
	}
	if !bytes.Equal(w.host.Bootable(t), bootable) {
		t.Error("what the host boots has changed")
	}
	trusted := w.trusted()
	switch attack.moves {
	case metadata:
		return err.Error()
	case newerRoots:
		if trusted["root.json"] == w.content["root.json"] {
			t.Error("the newer root has not been kept")
		}
		trusted["root.json"] = w.content["root.json"]
	}
	if !maps.Equal(trusted, w.content) {
		t.Error("what the host trusts has changed")
	}
	w.end()
	if attack.moves == newerRoots {
		w.followRoot()
	}
	w.mustOffer()
	return err.Error()
}

// end ends the attack.
func (w *world) end() {
	w.owner.Intercept, w.clock, w.patience = nil, 0, fetch.Patience{}
	check(w.t, os.RemoveAll(w.Dir))
	check(w.t, os.CopyFS(w.Dir, os.DirFS(w.backup)))
}

// followRoot publishes a root after the newest one that the host has taken.
func (w *world) followRoot() {
	root := forge.Up(soon(forge.Signed([]byte(w.trusted()["root.json"]))))
	w.Write(forge.Path(forge.Root, root["version"].(int64)), w.Sign(forge.Root, root))
}

// agent is a new run of the host's agent.
func (w *world) agent() *updater.Updater {
	w.t.Helper()
	settings, err := updater.LoadSettings(w.host.Path("agent.yaml"))
	check(w.t, err)
	u, err := updater.New(updater.Config{
		Host: w.host.Host(), Settings: settings, Patience: w.patience,
		Now: func() time.Time { return time.Now().Add(w.clock) },
	})
	check(w.t, err)
	return u
}

// trusted is the host's trusted metadata, byte for byte, by file.
func (w *world) trusted() map[string]string {
	w.t.Helper()
	folder := w.host.Path("state/metadata")
	files := map[string]string{}
	entries, err := os.ReadDir(folder)
	check(w.t, err)
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		check(w.t, err)
		files[entry.Name()] = string(content)
	}
	if len(files) < 5 { // four roles, and the newest time seen; bins
		w.t.Fatalf("the host trusts %d files", len(files))
	}
	return files
}

// refusals is what hosts said of each attack.
type refusals struct {
	mu    sync.Mutex
	words map[string]string // the attack, by what was said
	twice [][3]string
}

// particulars are what one and the same error says otherwise from run to run.
var particulars = regexp.MustCompile(`http://[0-9.:]+|[0-9a-f]{12,}|"[0-9a-f]{12}"`)

func (r *refusals) add(attack, words string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	words = particulars.ReplaceAllString(words, "")
	if r.words == nil {
		r.words = map[string]string{}
	}
	if other, known := r.words[words]; known && other != attack {
		r.twice = append(r.twice, [3]string{attack, other, words})
	}
	r.words[words] = attack
}

// wantDistinct demands that no two attacks had the same words.
func (r *refusals) wantDistinct(t *testing.T) {
	for _, pair := range r.twice {
		t.Errorf("%s and %s have one error: %s", pair[0], pair[1], pair[2])
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
