package migrations

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// product is a root file system with migrations that write down what they did.
type product struct {
	t    *testing.T
	root string
	v    Var
}

func newProduct(t *testing.T) *product {
	t.Helper()
	root := t.TempDir()
	return &product{t, root, Var{File: filepath.Join(root, "format.json"), Root: root, Timeout: 10 * time.Second}}
}

// release has migrations from and to the formats; the odd ones are reversible.
func (p *product) release(from, to int) manifests.State {
	s := manifests.State{Schema: 1}
	for format := from + 1; format <= to; format++ {
		run := fmt.Sprintf("/migrate-%d", format)
		script := fmt.Sprintf("#!/bin/sh\necho $1 %d $PROA_FROM $PROA_TO >> %s/log\n[ ! -e %s/fail-%d-$1 ] || { echo no room; exit 1; }\n", format, p.root, p.root, format)
		check(p.t, os.WriteFile(filepath.Join(p.root, run), []byte(script), 0o755))
		s.Migrations = append(s.Migrations, manifests.Migration{To: format, Run: run, Reversible: format%2 == 1})
	}
	return s
}

// log is what ran since the last call.
func (p *product) log() string {
	text, err := os.ReadFile(filepath.Join(p.root, "log"))
	if os.IsNotExist(err) {
		return ""
	}
	check(p.t, err)
	check(p.t, os.Remove(filepath.Join(p.root, "log")))
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", ")
}

func (p *product) fail(what string) func() {
	path := filepath.Join(p.root, "fail-"+what)
	check(p.t, os.WriteFile(path, nil, 0o644))
	return func() { check(p.t, os.Remove(path)) }
}

func (p *product) want(format int, log string) {
	p.t.Helper()
	got, err := p.v.Format()
	check(p.t, err)
	if ran := p.log(); got != format || ran != log {
		p.t.Errorf("format %d after %q: want %d after %q", got, ran, format, log)
	}
}

func TestMigrationsRunInOrderAndOnce(t *testing.T) {
	p := newProduct(t)
	p.want(1, "")
	check(t, p.v.Up(t.Context(), p.release(1, 3)))
	p.want(3, "up 2 1 2, up 3 2 3")
	check(t, p.v.Up(t.Context(), p.release(1, 3)))
	p.want(3, "")
	check(t, p.v.Up(t.Context(), p.release(2, 4)))
	p.want(4, "up 4 3 4")
	check(t, p.v.Up(t.Context(), p.release(1, 3))) // an older release leads: nothing to do
	p.want(4, "")
}

func TestTheWayBackIsTakenOrRefusedWhole(t *testing.T) {
	p := newProduct(t)
	three := p.release(1, 3)
	check(t, p.v.Up(t.Context(), three))
	p.log()
	if err := p.v.Down(t.Context(), three, 1); !errors.Is(err, ErrIrreversible) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("down to 1: %v", err)
	}
	p.want(3, "")
	check(t, p.v.Down(t.Context(), three, 2))
	p.want(2, "down 3 3 2")
	check(t, p.v.Up(t.Context(), three))
	p.want(3, "up 3 2 3")
	if err := p.v.Down(t.Context(), p.release(3, 4), 2); err == nil || !strings.Contains(err.Error(), "knows no migration of /var to format 3") {
		t.Errorf("down with another release's migrations: %v", err)
	}
}

func TestAFailedMigrationIsRunAgainOrTakenBack(t *testing.T) {
	p := newProduct(t)
	three := p.release(2, 3)
	check(t, os.WriteFile(p.v.File, []byte(`{"schema":1,"format":2}`), 0o644))
	mend := p.fail("3-up")
	if err := p.v.Up(t.Context(), three); err == nil || !strings.Contains(err.Error(), "from format 2 to 3: no room") {
		t.Errorf("up: %v", err)
	}
	p.want(3, "up 3 2 3") // it may be of either
	check(t, p.v.Down(t.Context(), three, 2))
	p.want(2, "down 3 3 2")
	if err := p.v.Up(t.Context(), three); err == nil {
		t.Error("the migration failed without an error")
	}
	p.log()
	mend()
	check(t, p.v.Up(t.Context(), three))
	p.want(3, "up 3 2 3")

	mend = p.fail("3-down")
	if err := p.v.Down(t.Context(), three, 2); err == nil {
		t.Error("the way back failed without an error")
	}
	p.want(3, "down 3 3 2")
	mend()
	check(t, p.v.Up(t.Context(), three)) // goes the way down to its end first
	p.want(3, "down 3 3 2, up 3 2 3")
}

func TestAGapBetweenReleasesIsSaid(t *testing.T) {
	p := newProduct(t)
	six := p.release(4, 6)
	if err := p.v.Reaches(six); err == nil || !strings.Contains(err.Error(), "/var has format 1: the release starts from 4") {
		t.Errorf("reaches: %v", err)
	}
	if err := p.v.Up(t.Context(), six); err == nil {
		t.Error("up over a gap")
	}
	p.want(1, "")
}

func TestAMigrationThatHangsIsCutOff(t *testing.T) {
	p := newProduct(t)
	two := p.release(1, 2)
	check(t, os.WriteFile(filepath.Join(p.root, "migrate-2"), []byte("#!/bin/sh\necho waiting\nsleep 1000\n"), 0o755))
	p.v.Timeout = 100 * time.Millisecond
	if err := p.v.Up(context.Background(), two); err == nil || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("up: %v", err)
	}
}

func TestARecordThatIsNoneIsRefused(t *testing.T) {
	p := newProduct(t)
	for _, text := range []string{"", "{", "[]", `{"schema":2,"format":1}`, `{"schema":1,"format":0}`, `{"schema":1,"format":1,"toward":-1}`, `{"schema":1,"format":1,"toward":3}`} {
		check(t, os.WriteFile(p.v.File, []byte(text), 0o644))
		if _, err := p.v.Format(); err == nil || !strings.Contains(err.Error(), "format.json") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema":1,"format":3,"toward":2}`))
	f.Add([]byte(`{"schema":1,"format":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := parse(text); err == nil && max(r.Format, r.Toward) < manifests.FirstVarFormat {
			t.Errorf("%q is format %d toward %d", text, r.Format, r.Toward)
		}
	})
}
