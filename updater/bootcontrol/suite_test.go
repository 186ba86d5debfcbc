package bootcontrol

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/proa-os/proa/updater/hostfs/powercut"
)

// The crash suite: what every backend does is cut after every operation, in
// every way that a disk may lose what was not synced, and an independent loader
// then says what boots.

// bench is a scenario on a backend.
type bench struct {
	backend
	scenario
	before string // the machine's folder as it was before the work
	seen   map[string]error
}

func newBench(t testing.TB, b backend, s scenario) *bench {
	t.Helper()
	dir := newMachine(t, b)
	if s.before != nil {
		boot := func() error { _, err := b.boot(dir); return err }
		check(t, s.before(b.control(&powercut.Recorder{Dir: dir}, dir), boot))
	}
	return &bench{b, s, dir, map[string]error{}}
}

// copyOf is a new folder with what is in dir.
func copyOf(dir string) (string, error) {
	to, err := os.MkdirTemp(filepath.Dir(dir), "copy")
	if err != nil {
		return "", err
	}
	return to, os.CopyFS(to, os.DirFS(dir))
}

// record is the work's operations on a machine to which nothing happens.
func (b *bench) record(t testing.TB) []powercut.Op {
	t.Helper()
	dir, err := copyOf(b.before)
	check(t, err)
	defer os.RemoveAll(dir)
	recorder := &powercut.Recorder{Dir: dir}
	check(t, b.work(b.control(recorder, dir), recorder))
	return recorder.Ops()
}

// everyCut hands over every state that a cut during ops could have left,
// until visit returns an error, which it returns. Seeds is how often each cut
// loses another part.
func (b *bench) everyCut(ops []powercut.Op, seeds uint64, visit func(dir string, whole bool) error) (states int, err error) {
	for n := len(ops); n >= 0; n-- { // what is missing shows at the end most often
		for _, way := range []struct {
			loss  powercut.Loss
			seeds uint64
		}{{powercut.Nothing, 1}, {powercut.Everything, 1}, {powercut.Part, seeds}} {
			for seed := range way.seeds {
				if err := b.cut(ops, n, way.loss, seed, visit); err != nil {
					return states, fmt.Errorf("after %d of %d operations %v, %s, seed %d: %w", n, len(ops), ops[:n], way.loss, seed, err)
				}
				states++
			}
		}
	}
	return states, nil
}

func (b *bench) cut(ops []powercut.Op, n int, loss powercut.Loss, seed uint64, visit func(dir string, whole bool) error) error {
	dir, err := copyOf(b.before)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := powercut.Leave(dir, ops, n, loss, seed); err != nil {
		return err
	}
	return visit(dir, n == len(ops))
}

// judge looks at a machine after a cut, boots it twice, and does the work
// again. The work is done when whole is true, and then has to have come to stay.
func (b *bench) judge(dir string, whole bool) error {
	key := fmt.Sprint(whole, digest(dir))
	err, known := b.seen[key]
	if !known {
		err = b.look(dir, whole)
		b.seen[key] = err
	}
	return err
}

// digest tells states apart.
func digest(dir string) string {
	hash := sha256.New()
	filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			content, err := os.ReadFile(path)
			fmt.Fprintf(hash, "%s %d %v\n%s", path[len(dir):], len(content), err, content)
		}
		return err
	})
	return string(hash.Sum(nil))
}

func (b *bench) look(dir string, whole bool) error {
	again, err := copyOf(dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(again)
	if err := b.bootTwice(dir, whole); err != nil {
		return err
	}
	machines := map[string]string{"at once": again, "after the boots": dir}
	if b.stays {
		delete(machines, "after the boots") // the trial is over by then
	}
	for name, machine := range machines {
		fs := &powercut.Recorder{Dir: machine}
		err := b.work(b.control(fs, machine), fs)
		if errors.Is(err, ErrUncounted) && name == "after the boots" {
			continue // it has gone back, and so is on trial no more
		}
		if err != nil {
			return fmt.Errorf("again %s: %w", name, err)
		}
		if err := b.bootTwice(machine, true); err != nil {
			return fmt.Errorf("again %s: %w", name, err)
		}
	}
	return nil
}

// bootTwice checks the two promises: the committed slot boots unless a trial
// was armed, and a trial is followed by the committed slot.
func (b *bench) bootTwice(dir string, whole bool) error {
	c := b.control(&powercut.Recorder{Dir: dir}, dir)
	if err := b.checkFiles(c, dir, whole); err != nil {
		return err
	}
	said, err := c.State()
	if err != nil {
		return err
	}
	first, err := b.boot(dir)
	if err != nil {
		return fmt.Errorf("the first boot: %w", err)
	}
	then, err := c.State()
	if err != nil {
		return err
	}
	second, err := b.boot(dir)
	if err != nil {
		return fmt.Errorf("the second boot: %w", err)
	}
	stood := standing{committed: second.slot}
	if first.trial {
		stood.armed = first.slot
	}
	switch {
	case second.trial:
		return fmt.Errorf("%s, then %s", first, second)
	case !first.trial && first != second:
		return fmt.Errorf("%s, and then %s", first, second)
	case whole && stood != b.to:
		return fmt.Errorf("the work was done, and the machine stands %+v: want %+v", stood, b.to)
	case !b.allows(stood):
		return fmt.Errorf("the machine stands %+v, on the way from %+v to %+v", stood, b.from, b.to)
	case standingOf(said) != stood:
		return fmt.Errorf("the state is %+v, but the machine stands %+v", said, stood)
	case then.Booted.String() != first.slot:
		return fmt.Errorf("the state says that %s was booted, which is %s", then.Booted, first)
	}
	return nil
}

func standingOf(s State) standing {
	stood := standing{committed: s.Committed.String()}
	if s.Armed != 0 {
		stood.armed = s.Armed.String()
	}
	return stood
}

// allows reports whether the machine may stand so in the middle of the work.
func (b *bench) allows(s standing) bool {
	return slices.Contains([]string{b.from.committed, b.to.committed}, s.committed) &&
		(slices.Contains([]string{b.from.armed, b.to.armed}, s.armed) || s.armed == "" && !b.stays)
}

// checkFiles looks at the kernel images: those of slots that lead before or
// after are as they were, any that is there is whole, and the one that is to go is gone.
func (b *bench) checkFiles(c Control, dir string, whole bool) error {
	for _, slot := range []string{b.from.committed, b.to.committed} {
		raw, err := os.ReadFile(filepath.Join(dir, "esp/EFI/Linux/proa-"+slot+".efi"))
		if err != nil || string(raw) != string(kernelOf(slot, "1")) {
			return fmt.Errorf("what slot %s boots from has changed (%v)", slot, err)
		}
	}
	said, err := c.State()
	if err != nil {
		return err
	}
	for _, slot := range said.Installed {
		if err := wholeKernel(dir, slot.String()); err != nil {
			return err
		}
	}
	if whole && b.gone != "" && wholeKernel(dir, b.gone) == nil {
		return fmt.Errorf("slot %s can still be booted", b.gone)
	}
	return nil
}

// onEveryBench runs a test for each scenario on each backend.
func onEveryBench(t *testing.T, run func(t *testing.T, b *bench)) {
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			t.Parallel()
			for _, s := range scenarios {
				t.Run(s.name, func(t *testing.T) {
					b := newBench(t, backend, s)
					if refused := backend.refused[s.name]; refused == nil {
						run(t, b)
					} else if fs := (&powercut.Recorder{Dir: b.before}); !errors.Is(b.work(b.control(fs, b.before), fs), refused) {
						t.Errorf("not refused with %q", refused)
					}
				})
			}
		})
	}
}

func TestPowerCutAnywhereKeepsBothPromises(t *testing.T) {
	onEveryBench(t, func(t *testing.T, b *bench) {
		ops := b.record(t)
		states, err := b.everyCut(ops, 8, b.judge)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d operations, %d states, %d different ones", len(ops), states, len(b.seen))
	})
}
