package torture

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// command is a command of the agent that is hurt.
type command struct {
	name    string
	prepare func(*testing.T, *fleet)
	args    []string
	// done checks what must be so when the command has ended well.
	done func(*testing.T, *fleet) error
}

func onTrial(t *testing.T, f *fleet) {
	t.Helper()
	f.must(t, "update")
	if err := f.boots(t, partitions.SlotB, f.next); err != nil {
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

var commands = []command{
	{"update", func(*testing.T, *fleet) {}, []string{"update"}, triesBThenA},
	{"commit", onTrial, []string{"commit"}, leadsB},
	{"judge", onTrial, []string{"judge"}, leadsB},
	{"rollback", onTrial, []string{"rollback"}, leadsA},
}

// TestAKilledAgentIsRunAgainAndConverges kills the real program wherever it
// touches the disk, the boot partition or a variable, and runs it once more.
//
// The rule for what is fetched again: a chunk that was whole in the slot when
// the program was killed is not; one that was under way is.
func TestAKilledAgentIsRunAgainAndConverges(t *testing.T) {
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) {
			ready := newFleet(t)
			c.prepare(t, ready)
			for _, p := range sample(ready.copy(t).places(t, c.args...), size(12, 1<<30)) {
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
	f.server.sent(f.rootFile())
	missing := f.missing(t)
	if r := f.run(t, c.args...); r.code != 0 {
		t.Errorf("killed at %s: the second run: exit code %d\n%s", p, r.code, r.output)
		return
	}
	again := f.server.sent(f.rootFile())
	if again > missing {
		report.add("kills: bytes fetched twice", again-missing)
		t.Errorf("killed at %s: %d bytes were missing, %d were fetched", p, missing, again)
	}
	if err := f.untouched(t); err != nil {
		t.Errorf("killed at %s: %v", p, err)
	}
	if err := c.done(t, f); err != nil {
		t.Errorf("killed at %s: %v", p, err)
		return
	}
	report.add("kills: converged in one rerun", 1)
}
