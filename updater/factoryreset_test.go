package updater_test

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/factoryreset"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/testhost"
)

// wish is what proa-init would read.
func wish(t *testing.T, h *testhost.Host) (factoryreset.Request, bool) {
	t.Helper()
	disk, err := os.ReadFile(h.Path("disk.raw"))
	check(t, err)
	at := h.Offset(partitions.RoleState) + factoryreset.Offset
	state := append(make([]byte, factoryreset.Offset), disk[at:at+factoryreset.Size]...)
	r, err := factoryreset.Read(bytes.NewReader(state))
	return r, err == nil
}

func TestAFactoryResetIsAskedForShownAndWithdrawn(t *testing.T) {
	f := newFleet(t)
	agent := func() *updater.Updater { return f.host.Updater(t, nil) }
	done, err := agent().RequestFactoryReset(context.Background())
	check(t, err)
	if r, ok := wish(t, f.host); !ok || done.Requested == nil || !r.When.Equal(*done.Requested) {
		t.Fatalf("asked for at %v: proa-init reads %v, %t", done.Requested, r, ok)
	}
	if status := f.status(t); status.FactoryReset == nil || !status.FactoryReset.Equal(*done.Requested) {
		t.Errorf("status: %v", status.FactoryReset)
	}
	// A trial would make /var its own, and leave it to the old release.
	_, err = agent().Update(context.Background(), updater.UpdateOptions{})
	wantRefusal(t, err, "factory reset")
	_, err = agent().Update(context.Background(), updater.UpdateOptions{Stage: true})
	wantRefusal(t, err, "factory reset")

	back, err := agent().CancelFactoryReset(context.Background())
	check(t, err)
	if _, ok := wish(t, f.host); ok || back.Requested == nil || f.status(t).FactoryReset != nil {
		t.Errorf("after it was withdrawn: %t, %+v", ok, back)
	}
	if back, err := agent().CancelFactoryReset(context.Background()); err != nil || back.Requested != nil {
		t.Errorf("withdrawing nothing: %+v, %v", back, err)
	}
	f.update(t)
}

func TestAFactoryResetIsForACommittedReleaseAlone(t *testing.T) {
	f := newFleet(t)
	ask := func() error {
		_, err := f.host.Updater(t, nil).RequestFactoryReset(context.Background())
		if _, ok := wish(t, f.host); ok != (err == nil) {
			t.Errorf("asked for: %t, %v", ok, err)
		}
		return err
	}
	f.update(t)
	wantRefusal(t, ask(), "a trial of slot b is pending")
	f.boot(t, partitions.SlotB)
	wantRefusal(t, ask(), "for the committed slot")
	f.judge(t)
	check(t, ask())
	_, err := f.host.Updater(t, nil).Rollback(context.Background())
	wantRefusal(t, err, "factory reset")
}

// TestAFactoryResetThatIsAskedForIsOnTheDisk cuts the power at each operation: the
// wish is there or not, never half, and there for sure when the agent has said so.
func TestAFactoryResetThatIsAskedForIsOnTheDisk(t *testing.T) {
	f := newFleet(t)
	start := f.host.Copy(t, t.TempDir()+"/start")
	recorder := &powercut.Recorder{Dir: f.host.Dir}
	_, err := f.host.Updater(t, recorder).RequestFactoryReset(context.Background())
	check(t, err)
	ops := recorder.Ops()
	if powercut.Open(ops, len(ops)) {
		t.Error("it is not durable")
	}
	for n := range len(ops) + 1 {
		for _, cut := range powercut.Cuts(ops, n, powercut.Sample{Alone: 10, Torn: 10}, nil) {
			h := start.Copy(t, t.TempDir()+"/cut")
			check(t, cut.Leave(h.Dir))
			_, asked := wish(t, h)
			if n == len(ops) && !asked {
				t.Errorf("%s: nothing is asked for", cut)
			}
			if status, err := h.Updater(t, nil).Status(context.Background(), false); err != nil || (status.FactoryReset != nil) != asked {
				t.Errorf("%s: %+v, %v", cut, status, err)
			}
		}
	}
}
