package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/units"
)

func TestStatusShowsTheLastLinesOfAFailedBoot(t *testing.T) {
	log := filepath.Join(t.TempDir(), "1.1.0-id.log")
	check(t, os.WriteFile(log, []byte("version: 1.1.0\n\nfirst\n2\n3\n4\n5\n6\nhello: \x1b[31mno message\n"), 0o600))
	var out bytes.Buffer
	check(t, printStatus(&out, updater.Status{
		Running: updater.Running{Version: "1.0.0", Slot: partitions.SlotA, Standing: "committed"},
		Last:    &journal.Result{Version: "1.1.0", Outcome: journal.WentBack, Reason: "no answer", Journal: log},
	}, time.Now()))
	if text := out.String(); !strings.Contains(text, `  hello: \x1b[31mno message`) || strings.Contains(text, "first") || strings.Contains(text, "version: ") {
		t.Errorf("status:\n%s", text)
	}
}

func TestChecksThatOutlastTheDeadlineAreWarnedOf(t *testing.T) {
	if timer := string(units.Files()["proa-deadline.timer"]); !strings.Contains(timer, "\nOnBootSec=15min\n") || deadline != 15*time.Minute {
		t.Errorf("the deadline is taken for %s, and the timer is\n%s", deadline, timer)
	}
	s := config.Defaults()
	if w := warnings(s); len(w) > 0 {
		t.Errorf("the defaults are warned of: %v", w)
	}
	s.HealthLimit = config.Duration(14 * time.Minute)
	if w := warnings(s); len(w) != 1 || !strings.Contains(w[0], "healthLimit 14m: proa-deadline.timer resets a trial 15m") {
		t.Errorf("warnings %q", w)
	}
}
