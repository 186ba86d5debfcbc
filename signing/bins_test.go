package signing

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing/forge"
)

const channelTarget = "channels/demo/amd64/stable.json"

func nthTarget(n int) string { return fmt.Sprintf("releases/demo/amd64/1.%d/release.json", n) }

// newRepositoryOf has a channel and n further targets.
func newRepositoryOf(t *testing.T, n int) *testRepository {
	t.Helper()
	r := newRepository(t)
	r.addTargets(0, n)
	r.publish(channelTarget, "stable")
	return r
}

// addTargets adds targets without signing them. Each holds its name.
func (r *testRepository) addTargets(from, to int) {
	r.t.Helper()
	for n := from; n < to; n++ {
		if err := r.meta.SetTarget(nthTarget(n), []byte(nthTarget(n))); err != nil {
			r.t.Fatal(err)
		}
		digest := manifests.DigestOf([]byte(nthTarget(n)))
		r.write(TargetPath(nthTarget(n), digest[:]), []byte(nthTarget(n)))
	}
}

// asked are the files that hosts ask for from now on.
func (r *testRepository) asked() *[]string {
	var asked []string
	r.answer = func(_ http.ResponseWriter, req *http.Request) bool {
		asked = append(asked, strings.TrimPrefix(req.URL.Path, "/"))
		return false
	}
	return &asked
}

func (r *testRepository) path(role Role) string {
	return forge.Path(string(role), r.meta.Version(role))
}

func TestTargetsGoIntoBinsOnceThereAreMany(t *testing.T) {
	r := newRepositoryOf(t, looseMost)
	h := r.newHost()
	if len(r.meta.bins) > 0 || len(h.mustRefresh(t).trusted.set.Targets) != 1 {
		t.Fatalf("%d targets are in bins", looseMost)
	}
	before := r.meta.Targets()
	r.publish(nthTarget(looseMost), nthTarget(looseMost))
	if listed := r.meta.targets.Signed.Targets; len(listed) != 1 || listed[channelTarget] == nil || len(r.meta.bins) != 64 {
		t.Errorf("targets.json lists %d targets beside %d bins: want the channel alone, and 64", len(listed), len(r.meta.bins))
	}
	want := append(before, nthTarget(looseMost))
	slices.Sort(want)
	if got := r.meta.Targets(); !slices.Equal(got, want) {
		t.Errorf("the owner has %q, want %q", got, want)
	}
	for _, h := range []*host{h, r.newHost()} {
		c := h.mustRefresh(t)
		if got, err := c.Targets(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("a host knows %q, %v", got, err)
		}
		mustFetch(t, c, channelTarget, "stable")
		for n := range looseMost + 1 {
			mustFetch(t, c, nthTarget(n), nthTarget(n))
		}
	}
	// Another owner, who reads the folder, goes on.
	meta, err := OpenMetadata(os.DirFS(filepath.Join(r.folder, "metadata")))
	if err != nil {
		t.Fatal(err)
	}
	r.meta = meta
	r.publish(nthTarget(0), "other")
	mustFetch(t, h.mustRefresh(t), nthTarget(0), "other")
}

// The bins are those that TAP 15 says: forge computes them in another way.
func TestEachTargetIsInTheBinOfItsName(t *testing.T) {
	r := newRepositoryOf(t, 200)
	for n := range 200 {
		bin := forge.Bin(nthTarget(n))
		if _, ok := r.Current(bin)["targets"].(forge.Object)[nthTarget(n)]; !ok {
			t.Errorf("%s is not in %s", nthTarget(n), bin)
		}
	}
}

func TestPublisherSignsOnlyTheBinsThatItChanges(t *testing.T) {
	r := newRepositoryOf(t, 200)
	if err := r.meta.SetTarget(nthTarget(7), []byte("other")); err != nil {
		t.Fatal(err)
	}
	files, err := r.meta.Sign(r.now, nil, r.keys)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if want := []string{fmt.Sprintf("2.%s.json", forge.Bin(nthTarget(7))), "3.snapshot.json", "timestamp.json"}; !slices.Equal(names, want) {
		t.Errorf("signed %q, want %q", names, want)
	}
}

func TestHostFetchesABinWhenItLooksIntoItAndThenNeverAgain(t *testing.T) {
	r := newRepositoryOf(t, 200)
	h := r.newHost()
	c := h.mustRefresh(t)
	asked := r.asked()
	mustFetch(t, c, channelTarget, "stable")
	if len(*asked) != 1 {
		t.Errorf("for a channel the host asked for %q", *asked)
	}
	bin := r.path(Role(forge.Bin(nthTarget(7))))
	*asked = nil
	mustFetch(t, c, nthTarget(7), nthTarget(7))
	if len(*asked) != 2 || (*asked)[0] != bin {
		t.Errorf("for a release the host asked for %q: want %s and the release", *asked, bin)
	}
	r.publish(nthTarget(500), "another") // in another bin
	*asked = nil
	c = h.mustRefresh(t)
	mustFetch(t, c, nthTarget(7), nthTarget(7))
	if slices.Contains(*asked, bin) {
		t.Errorf("in another run the host asked for %q", *asked)
	}
	if got, want := h.trusted(t)[forge.Bin(nthTarget(7))+".json"], string(r.read(bin)); got != want {
		t.Errorf("the host keeps %q, want %q", got, want)
	}
}

func TestHostKeepsNoBinOfEarlierTimes(t *testing.T) {
	r := newRepositoryOf(t, 200)
	h := r.newHost()
	if _, err := h.mustRefresh(t).Targets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(h.trusted(t)); n != 5+64 {
		t.Fatalf("the host keeps %d files", n)
	}
	changed := forge.Bin(nthTarget(7)) + ".json"
	for _, name := range []string{"foreign-00.json", "targets-40.json"} {
		if err := os.WriteFile(filepath.Join(h.config.Dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.publish(nthTarget(7), "other")
	h.mustRefresh(t)
	left := h.trusted(t)
	if len(left) != 5+63 || left[changed] != "" {
		t.Errorf("the host keeps %d files, %q", len(left), slices.Sorted(maps.Keys(left)))
	}
}

func TestAbsenceIsProvenByABinAlone(t *testing.T) {
	r := newRepositoryOf(t, 200)
	missing := "releases/demo/amd64/1.7/notice.json"
	c := r.newHost().mustRefresh(t)
	r.attackAt("/"+r.path(Role(forge.Bin(missing))), http.NotFound)
	_, err := c.Fetch(t.Context(), missing)
	wantError(t, err, ErrUnavailable)
	if errors.Is(err, ErrNotFound) {
		t.Error("what is withheld counts as absent")
	}
	r.answer = nil
	_, err = c.Fetch(t.Context(), missing)
	wantError(t, err, ErrNotFound)
	r.attackAt("/"+r.path(Role(forge.Bin(missing))), http.NotFound)
	_, err = c.Fetch(t.Context(), missing)
	wantError(t, err, ErrNotFound) // it has the bin
}

func TestNewHostIsNotFooledByASnapshotWithoutABin(t *testing.T) {
	r := newRepositoryOf(t, 200)
	bin := forge.Bin(nthTarget(7))
	r.PutSnapshot(func(signed forge.Object) { delete(signed["meta"].(forge.Object), bin+".json") })
	c := r.newHost().mustRefresh(t)
	_, err := c.Fetch(t.Context(), nthTarget(7))
	wantError(t, err, ErrMalformed)
	_, err = c.Targets(t.Context())
	wantError(t, err, ErrMalformed)
	_, err = OpenMetadata(os.DirFS(filepath.Join(r.folder, "metadata")))
	wantError(t, err, ErrMalformed)
}

// Who takes 2 to the power of 32 bins for a list waits for the first that is not there.
func TestBinsWithoutNumberEndNoHost(t *testing.T) {
	r := newRepositoryOf(t, 200)
	r.PutTargets(func(signed forge.Object) {
		signed["delegations"].(forge.Object)["succinct_roles"].(forge.Object)["bit_length"] = 32
	})
	c := r.newHost().mustRefresh(t)
	_, err := c.Targets(t.Context())
	wantError(t, err, ErrMalformed)
}

func TestBinsAreRenewedWhenTheyAreAboutToExpire(t *testing.T) {
	r := newRepositoryOf(t, 200)
	early := r.now.Add(90 * day)
	r.now = r.now.Add(20 * day)
	r.publish(nthTarget(7), "later") // renews its bin alone
	if got := r.meta.Expires(RoleTargets); !got.Equal(early) {
		t.Errorf("targets expire %s, want %s", got, early)
	}
	r.meta.Renew(RoleTargets, early)
	r.sign()
	if got, want := r.meta.Expires(RoleTargets), r.now.Add(90*day); !got.Equal(want) {
		t.Errorf("then targets expire %s, want %s", got, want)
	}
	for role := range r.meta.bins {
		if got := r.meta.Version(role); got != 2 {
			t.Errorf("%s has version %d: want 2", role, got)
		}
	}
	mustFetch(t, r.newHost().mustRefresh(t), nthTarget(7), "later")
}

func TestPublicationMendsBinsThatHaveExpired(t *testing.T) {
	r := newRepositoryOf(t, 200)
	r.now = r.now.Add(91 * day)
	r.publish(nthTarget(7), "later")
	c := r.newHost().mustRefresh(t)
	mustFetch(t, c, nthTarget(7), "later")
	if _, err := c.Targets(t.Context()); err != nil {
		t.Error(err)
	}
}
