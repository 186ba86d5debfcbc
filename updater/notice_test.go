package updater_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/testhost"
)

const lostVar = "loses /var on NVMe"

// say publishes a notice of a release.
func (f *fleet) say(t testing.TB, release *testhost.Release, change func(*manifests.Notice)) {
	t.Helper()
	notice := manifests.Notice{
		Schema: 1, Product: testhost.Product, Arch: manifests.AMD64, Version: release.Release.Version,
		Release: manifests.DigestOf(release.Text(t)),
	}
	change(&notice)
	text, err := json.Marshal(notice)
	check(t, err)
	f.repository.SetTarget(t, manifests.NoticeTarget(testhost.Product, manifests.AMD64, release.Release.Version), text)
}

func retracted(n *manifests.Notice) {
	n.Retracted = &manifests.Retraction{When: time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC), Reason: lostVar}
}

func requires(t testing.TB, stone *testhost.Release) func(*manifests.Notice) {
	return func(n *manifests.Notice) {
		n.Requires = &manifests.SteppingStone{Version: stone.Release.Version, Release: manifests.DigestOf(stone.Text(t))}
	}
}

// more publishes one more release.
func (f *fleet) more(t testing.TB, version manifests.Version) *testhost.Release {
	t.Helper()
	release := testhost.NewRelease(t, testhost.Spec{Version: version})
	f.host.Know(release)
	f.repository.Publish(t, release)
	return release
}

func TestRetractedReleaseIsRefusedWithItsReason(t *testing.T) {
	f := newFleet(t)
	f.say(t, f.next, retracted)
	before := f.host.Bootable(t)
	for _, options := range []updater.UpdateOptions{{}, {Stage: true}, {Now: true, RetryBlocked: true}} {
		_, err := f.host.Updater(t, nil).Update(context.Background(), options)
		wantRefusal(t, err, "retracted by its publisher on 2026-11-26 06:00 UTC: "+lostVar)
	}
	found, err := f.host.Updater(t, nil).Check(context.Background())
	wantRefusal(t, err, lostVar)
	if found.News || !strings.Contains(found.Refused, lostVar) {
		t.Errorf("found %+v", found)
	}
	status, err := f.host.Updater(t, nil).Status(context.Background(), true)
	check(t, err)
	if status.Available == nil || !strings.Contains(status.Available.Refused, lostVar) || len(status.Problems) != 0 {
		t.Errorf("available %+v, problems %q", status.Available, status.Problems)
	}
	if !bytes.Equal(f.host.Bootable(t), before) {
		t.Error("the host was changed")
	}
	f.say(t, f.next, func(n *manifests.Notice) { n.Notes = "It was not that bad." })
	if done := f.update(t); done.ReleaseNotes != "It was not that bad." {
		t.Errorf("release notes %q", done.ReleaseNotes)
	}
}

func TestReleaseThatIsRetractedBeforeItsTrialIsGivenUp(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *fleet){
		"staged": func(t *testing.T, f *fleet) { f.stage(t) },
		"armed":  func(t *testing.T, f *fleet) { f.update(t) },
		"cut at a chunk": func(t *testing.T, f *fleet) {
			fails := failOnce(f.host.Dir, 20, errors.New("cut"))
			if _, err := f.host.Updater(t, fails).Update(t.Context(), updater.UpdateOptions{}); err == nil {
				t.Fatal("the update was not cut")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			begin(t, f)
			f.say(t, f.next, retracted)
			found, err := f.host.Updater(t, nil).Check(t.Context())
			wantRefusal(t, err, lostVar)
			if len(found.Notes) == 0 || !strings.Contains(found.Notes[len(found.Notes)-1], "gave up 1.1.0: it was retracted") {
				t.Errorf("notes %q", found.Notes)
			}
			wantCancelled(t, f.host)
			f.boot(t, partitions.SlotA)
		})
	}
	t.Run("and the channel points elsewhere", func(t *testing.T) {
		f := newFleet(t)
		f.update(t)
		f.repository.Publish(t, f.old)
		f.say(t, f.next, retracted)
		done, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
		check(t, err)
		if done.Result != updater.ResultUpToDate || len(done.Notes) == 0 || !strings.Contains(done.Notes[0], lostVar) {
			t.Errorf("update did %+v", done)
		}
		wantCancelled(t, f.host)
		f.boot(t, partitions.SlotA)
	})
}

func TestHostThatRunsWhatIsRetractedSaysSoAndGoesOn(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.say(t, f.next, retracted)
	if v := f.judge(t); v.Outcome != "committed" {
		t.Fatalf("verdict %+v: it was taken", v)
	}
	status, err := f.host.Updater(t, nil).Status(t.Context(), true)
	check(t, err)
	if len(status.Problems) != 1 || status.Problems[0] != "the running 1.1.0 was retracted by its publisher on 2026-11-26 06:00 UTC: "+lostVar {
		t.Errorf("problems %q", status.Problems)
	}
	f.more(t, "1.2.0")
	f.update(t)
	f.boot(t, partitions.SlotA)
	f.judge(t)
	if status, err = f.host.Updater(t, nil).Status(t.Context(), true); err != nil || len(status.Problems) != 0 {
		t.Errorf("problems %q, %v", status.Problems, err)
	}
}

func TestHostGoesOverEverySteppingStone(t *testing.T) {
	f := newFleet(t)
	second, third := f.more(t, "2.0.0"), f.more(t, "3.0.0")
	f.say(t, second, requires(t, f.next))
	f.say(t, third, requires(t, second))
	slot := partitions.SlotB
	for _, stop := range []struct{ version, toward manifests.Version }{{"1.1.0", "3.0.0"}, {"2.0.0", "3.0.0"}, {"3.0.0", ""}} {
		p, err := f.host.Updater(t, nil).Plan(t.Context())
		if err != nil || p.Version != stop.version || p.Toward != stop.toward {
			t.Fatalf("plan %s toward %q, %v: want %s toward %q", p.Version, p.Toward, err, stop.version, stop.toward)
		}
		if done := f.update(t); done.Version != stop.version || done.Toward != stop.toward {
			t.Fatalf("update to %s toward %q: want %s toward %q", done.Version, done.Toward, stop.version, stop.toward)
		}
		f.boot(t, slot)
		f.judge(t)
		slot = slot.Other()
	}
}

func TestSteppingStoneThatCannotBeTakenHoldsTheHostUp(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*testing.T, *fleet, *testhost.Release)
		want  string
	}{
		"retracted": {func(t *testing.T, f *fleet, _ *testhost.Release) { f.say(t, f.next, retracted) },
			"release 1.1.0: it comes before 2.0.0, and was retracted"},
		"not published": {func(t *testing.T, f *fleet, second *testhost.Release) {
			f.say(t, second, requires(t, testhost.NewRelease(t, testhost.Spec{Version: "1.5.0"})))
		}, "1.5.0/release.json: no such target"},
		"with other content": {func(t *testing.T, f *fleet, second *testhost.Release) {
			f.say(t, second, func(n *manifests.Notice) {
				n.Requires = &manifests.SteppingStone{Version: "1.1.0", Release: manifests.DigestOf(second.Text(t))}
			})
		}, "the channel names"},
		"and a notice of another release": {func(t *testing.T, f *fleet, second *testhost.Release) {
			f.say(t, second, func(n *manifests.Notice) { n.Release = manifests.DigestOf(nil) })
		}, "release 2.0.0: its notice is of release.json"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			second := f.more(t, "2.0.0")
			f.say(t, second, requires(t, f.next))
			test.spoil(t, f, second)
			_, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
			wantRefusal(t, err, test.want)
			f.boot(t, partitions.SlotA)
		})
	}
}

// Who holds a notice back holds the update back, not the retraction.
func TestNoticeThatIsHeldBackIsNotPassedOver(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"not found": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"changed":   func(w http.ResponseWriter) { w.Write([]byte("{}")) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.say(t, f.next, retracted)
			f.repository.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, ".notice.json") {
					return false
				}
				answer(w)
				return true
			}
			_, err := f.host.Updater(t, quick(f.host)).Update(t.Context(), updater.UpdateOptions{})
			var network *updater.NetworkError
			var untrusted *updater.UntrustedError
			if !errors.As(err, &network) && !errors.As(err, &untrusted) {
				t.Errorf("error %v, want one of the network or of trust", err)
			}
			f.boot(t, partitions.SlotA)
		})
	}
}
