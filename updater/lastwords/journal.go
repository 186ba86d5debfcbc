package lastwords

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/proa-os/proa/updater/program"
)

// running is the log of the boot that runs: its journal or, without one, the
// kernel's log.
func (c Config) running(ctx context.Context, trial Trial) text {
	raw, err := c.journalctl(ctx, "--boot="+cmp.Or(trial.Boot, "0"))
	if err == nil && len(raw) > 0 {
		return text{"journal of this boot", raw}
	}
	if err == nil {
		err = errors.New("the journal is empty")
	}
	raw, kmsgErr := readKmsg(c.Kmsg, c.most())
	if kmsgErr == nil {
		return text{fmt.Sprintf("kernel log (%v)", err), raw}
	}
	return text{source: fmt.Sprintf("none: %v; %v", err, kmsgErr)}
}

// earlier is the log of a boot that is over: the last words of its kernel, when it had time
// for some, come after its journal. It finds out which boot it was.
func (c Config) earlier(ctx context.Context, trial *Trial) text {
	journal, err := c.earlierJournal(ctx, trial)
	source := "journal of the failed boot"
	if err != nil {
		source = fmt.Sprintf("no journal: %v", err)
	}
	panics := c.pstore(trial.Since)
	if len(panics) > 0 {
		source += "; what its kernel left in pstore"
	}
	return text{source, append(journal, panics...)}
}

func (c Config) earlierJournal(ctx context.Context, trial *Trial) ([]byte, error) {
	if _, err := os.Stat(c.Journal); err != nil {
		return nil, fmt.Errorf("the journal does not outlive a boot: %w", err)
	}
	if trial.Boot == "" {
		list, err := c.run(ctx, "--directory="+c.Journal, "--list-boots")
		if err != nil {
			return nil, err
		}
		if trial.Boot, err = failedBoot(parseBoots(list), *trial); err != nil {
			return nil, err
		}
	}
	// The folder and not the machine's own: where /etc is lost at a reboot, each
	// boot is another machine to the journal.
	raw, err := c.journalctl(ctx, "--directory="+c.Journal, "_BOOT_ID="+trial.Boot)
	if err == nil && len(raw) == 0 {
		err = errors.New("nothing of the failed boot is in it")
	}
	return raw, err
}

// failedBoot is the last boot before the one that runs, unless that is the one
// that armed the trial.
func failedBoot(boots []boot, trial Trial) (string, error) {
	now := slices.IndexFunc(boots, func(b boot) bool { return b.id == trial.Now })
	if now < 0 {
		return "", errors.New("this boot is not in it")
	}
	armed := slices.IndexFunc(boots[:now], func(b boot) bool { return b.id == trial.After })
	switch {
	case now == 0, armed == now-1, armed < 0 && !trial.Since.IsZero() && boots[now-1].began.Before(trial.Since):
		return "", errors.New("nothing of the failed boot is in it")
	case armed < 0 && trial.Since.IsZero():
		return "", errors.New("the boot that armed the trial is not in it")
	}
	return boots[now-1].id, nil
}

// boot is one of those that the journal knows.
type boot struct {
	id    string
	began time.Time // when its first entry was written; with UTC to the second
}

var bootLine = regexp.MustCompile(`^ *-?[0-9]+ ([0-9a-f]{32}) [A-Z][a-z]{2} ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}) UTC`)

// parseBoots reads what journalctl --list-boots --utc prints: an offset, an id and
// times, oldest first.
func parseBoots(list []byte) []boot {
	var boots []boot
	for line := range bytes.Lines(list) {
		found := bootLine.FindSubmatch(line)
		if found == nil {
			continue
		}
		if began, err := time.Parse(time.DateTime, string(found[2])); err == nil {
			boots = append(boots, boot{string(found[1]), began})
		}
	}
	return boots
}

// journalctl prints the last lines of a boot's journal.
func (c Config) journalctl(ctx context.Context, args ...string) ([]byte, error) {
	return c.run(ctx, append(args, "--lines="+strconv.Itoa(c.Lines), "--output=short-precise", "--all")...)
}

func (c Config) run(ctx context.Context, args ...string) ([]byte, error) {
	answer, err := program.Answer(ctx, program.Program{
		Path: c.Journalctl,
		Args: append(args, "--quiet", "--utc", "--no-pager"),
		Env:  []string{"LC_ALL=C", "SYSTEMD_COLORS=0"},
	}, c.most())
	if err != nil {
		return nil, fmt.Errorf("journalctl: %w", err)
	}
	return answer, nil
}
