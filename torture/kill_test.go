package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// command is a command of the agent that is hurt.
type command struct {
	name    string
	prepare func(*testing.T, *fleet)
	args    []string
	// safe checks the committed slot, at any time.
	safe func(*testing.T, *fleet) error
	// done checks what must be so when the command has ended well.
	done func(*testing.T, *fleet) error
}

func armed(t *testing.T, f *fleet) {
	t.Helper()
	f.must(t, "update")
}

func cancelled(t *testing.T, f *fleet) error {
	if _, err := os.Stat(f.host.Path("esp/EFI/Linux/proa-b.efi")); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the kernel image of slot b is still there: %v", err)
	}
	return leadsA(t, f)
}

func onTrial(t *testing.T, f *fleet) {
	t.Helper()
	f.must(t, "update")
	if err := f.boots(t, partitions.SlotB, f.next); err != nil {
		t.Fatal(err)
	}
}

// inOtherSlot makes the host run 1.1.0 from slot b, with 1.0.0 whole in slot a.
func inOtherSlot(t *testing.T, f *fleet) {
	t.Helper()
	onTrial(t, f)
	f.must(t, "commit")
	if err := leadsB(t, f); err != nil {
		t.Fatal(err)
	}
}

// damagedOther is that, with slot a damaged.
func damagedOther(t *testing.T, f *fleet) {
	t.Helper()
	inOtherSlot(t, f)
	for _, block := range []int64{3, 4, 70, 130} {
		flip(t, f, f.host.Offset(partitions.RoleRootA)+block*4096+17, 0x10)
	}
	flip(t, f, f.host.Offset(partitions.RoleVerityA)+4096+100, 0x10)
	if err := os.Truncate(f.host.Path("esp/EFI/Linux/proa-a.efi"), 5000); err != nil {
		t.Fatal(err)
	}
}

func leadsB(t *testing.T, f *fleet) error { return f.boots(t, partitions.SlotB, f.next) }
func leadsA(t *testing.T, f *fleet) error { return f.boots(t, partitions.SlotA, f.old) }

// triesBThenA is what an armed trial does that nobody judges.
func triesBThenA(t *testing.T, f *fleet) error {
	if err := f.boots(t, partitions.SlotB, f.next); err != nil {
		return fmt.Errorf("the trial: %w", err)
	}
	if err := leadsA(t, f); err != nil {
		return fmt.Errorf("after the trial: %w", err)
	}
	return nil
}

func mended(t *testing.T, f *fleet) error { return errors.Join(oldWhole(t, f), leadsB(t, f)) }

var commands = []command{
	{"update", func(*testing.T, *fleet) {}, []string{"update"}, oldWhole, triesBThenA},
	{"commit", onTrial, []string{"commit"}, oldWhole, leadsB},
	{"judge", onTrial, []string{"judge"}, oldWhole, leadsB},
	{"rollback", onTrial, []string{"rollback"}, oldWhole, leadsA},
	{"cancel", armed, []string{"cancel"}, oldWhole, cancelled},
	{"repair", damagedOther, []string{"repair"}, newWhole, mended},
}

// TestAKilledAgentIsRunAgainAndConverges kills the real program wherever it
// touches the disk, the boot partition or a variable, and runs it once more.
//
// The rule for what is fetched again: no byte of a chunk that is whole in the slot
// when the agent is gone. A chunk that was on its way is not: it was not written,
// or not all of it.
func TestAKilledAgentIsRunAgainAndConverges(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) {
			ready := newFleet(t)
			c.prepare(t, ready)
			for _, p := range sample(ready.copy(t).places(t, c.args...), sizeOf(12, 1<<30)) {
				killedAt(t, ready, c, p)
			}
		})
	}
}

func killedAt(t *testing.T, ready *fleet, c command, p place) {
	f := ready.copy(t)
	trace := filepath.Join(t.TempDir(), "trace")
	r := f.runUnder(t, strace(trace, fmt.Sprintf("%s:signal=SIGKILL:when=%d", p.call, p.n)), c.args...)
	if r.code >= 0 {
		if r.code != 0 {
			t.Errorf("%s: not killed, exit code %d\n%s", p, r.code, r.output)
		}
		return // this time no thread came so often to that call
	}
	report.add("kills", 1)
	diverged := int64(1)
	defer func() { report.add("kills: not converged", diverged) }()
	f.server.sent(f.rootFile())
	missing := f.missing(t)
	if r := f.run(t, c.args...); r.code != 0 {
		t.Errorf("killed at %s: the second run: exit code %d\n%s", p, r.code, r.output)
		return
	}
	again := f.server.sent(f.rootFile())
	report.add("kills: bytes fetched after them", again)
	if again > missing {
		report.add("kills: bytes fetched twice", again-missing)
		t.Errorf("killed at %s: %d bytes were missing, %d were fetched", p, missing, again)
	}
	if err := c.safe(t, f); err != nil {
		t.Errorf("killed at %s: %v", p, err)
	}
	if err := c.done(t, f); err != nil {
		t.Errorf("killed at %s: %v", p, err)
		return
	}
	diverged = 0
	report.add("kills: converged in one rerun", 1)
}
