// Package lastwords keeps the end of a failed boot's log, so that somebody who asks
// later why a release went back finds more than one line.
//
// Keep is called twice in the life of a trial at the most: by the judge that
// gives it up, before the reset, or by the boot after one that came back without a
// verdict. It writes one file for each trial, and removes the oldest ones.
// It never keeps a machine: its time and its memory are bounded, and a log that
// is not there is said to be missing.
package lastwords

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
)

// Config says where logs come from and go to. The names in its tags are for the file that
// describes a host of plain files.
type Config struct {
	Dir   string        `yaml:"dir"` // required: the folder of the kept logs; made if it is missing
	Files int           // the most that are kept; 8 if 0
	Bytes int64         // the most bytes that all of them have; 1 MiB if 0
	Lines int           // the last lines of a log; 200 if 0
	Time  time.Duration // for one Keep; 10 s if 0

	Journalctl string   `yaml:"journalctl"` // the program; "journalctl" if empty
	Journal    string   `yaml:"journal"`    // the folder of journals that outlive a boot; /var/log/journal if empty
	Kmsg       string   `yaml:"kmsg"`       // the kernel's log; /dev/kmsg if empty
	Pstore     []string `yaml:"pstore"`     // folders of what a panicking kernel wrote; those of the kernel and of systemd-pstore if nil
}

// withDefaults fills in what is not given.
func (c Config) withDefaults() Config {
	c.Files = cmp.Or(c.Files, 8)
	c.Bytes = cmp.Or(c.Bytes, 1<<20)
	c.Lines = cmp.Or(c.Lines, 200)
	c.Time = cmp.Or(c.Time, 10*time.Second)
	c.Journalctl = cmp.Or(c.Journalctl, "journalctl")
	c.Journal = cmp.Or(c.Journal, "/var/log/journal")
	c.Kmsg = cmp.Or(c.Kmsg, "/dev/kmsg")
	if c.Pstore == nil {
		c.Pstore = []string{"/sys/fs/pstore", "/var/lib/systemd/pstore"}
	}
	return c
}

// Trial is the boot whose last words are kept. Boot ids are those of
// /proc/sys/kernel/random/boot_id, with or without hyphens.
type Trial struct {
	Version manifests.Version // of the release on trial; required
	Reason  string            // why the trial ended
	Now     string            // id of the boot that runs; required
	// Boot is the id of the failed boot: that of Now when the judge gives up. Empty means
	// that only its neighbours are known; it is then the one between After and Now.
	Boot  string
	After string    // id of the boot that armed the trial
	Since time.Time // when it was armed: what a kernel wrote before is of another; zero if not known
}

// most is how many bytes of one log are looked at and kept.
func (c Config) most() int64 { return min(c.Bytes, 256<<10) }

// Keep writes what is left of a trial's log into a file of its own and returns
// its path. A log that cannot be had makes a file that says so; an error means that there is none.
func Keep(ctx context.Context, c Config, trial Trial) (string, error) {
	c = c.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, c.Time)
	defer cancel()
	running := trial.Boot != "" && trial.Boot == trial.Now
	trial.Now, trial.Boot, trial.After = plainID(trial.Now), plainID(trial.Boot), plainID(trial.After)
	var log text
	if running {
		log = c.running(ctx, trial)
	} else {
		log = c.earlier(ctx, &trial)
		if path := c.kept(trial); path != "" {
			return path, nil
		}
	}
	content := trial.head(log.source) + log.clean(c.Lines, c.most())
	if err := durable.MakeFolder(c.Dir); err != nil {
		return "", fmt.Errorf("keeping the log of %s: %w", trial.Version, err)
	}
	path := filepath.Join(c.Dir, trial.file())
	if err := c.makeRoom(filepath.Base(path), int64(len(content))); err != nil {
		return "", fmt.Errorf("keeping the log of %s: %w", trial.Version, err)
	}
	if err := durable.WriteFile(path, []byte(content), 0o640); err != nil {
		return "", fmt.Errorf("keeping the log of %s: %w", trial.Version, err)
	}
	return path, nil
}

const extension = ".log"

// file is the same each time that the same trial is kept.
func (t Trial) file() string {
	boot := t.Boot
	if boot == "" {
		boot = "before-" + cmp.Or(t.Now, "unknown")
	}
	return safe(string(t.Version)) + "-" + boot + extension
}

// kept is the log that the boot itself left, if it did: it knew more than is on the disk
// now. Where it is not known which boot it was, the newest log of the release since the arming
// is of it.
func (c Config) kept(trial Trial) string {
	path := filepath.Join(c.Dir, trial.file())
	if trial.Boot != "" {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
		return ""
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil || trial.Since.IsZero() {
		return ""
	}
	found, newest := "", trial.Since
	for _, entry := range entries {
		name, ours := strings.CutPrefix(entry.Name(), safe(string(trial.Version))+"-")
		info, err := entry.Info()
		if err == nil && ours && plainID(strings.TrimSuffix(name, extension)) != "" && !info.ModTime().Before(newest) {
			found, newest = filepath.Join(c.Dir, entry.Name()), info.ModTime()
		}
	}
	return found
}

// head is what stands above the log, up to an empty line.
func (t Trial) head(source string) string {
	boot := cmp.Or(t.Boot, "unknown")
	return fmt.Sprintf("release: %s\nboot: %s\nreason: %s\nlog: %s\n\n",
		clean(string(t.Version)), boot, clean(t.Reason), clean(source))
}

// makeRoom removes the oldest logs until the new one fits.
func (c Config) makeRoom(name string, size int64) error {
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	var kept []fs.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || entry.Name() == name || !info.Mode().IsRegular() || filepath.Ext(entry.Name()) != extension {
			continue
		}
		if err != nil {
			return err
		}
		kept = append(kept, info)
		size += info.Size()
	}
	slices.SortFunc(kept, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for len(kept) > 0 && (len(kept) >= c.Files || size > c.Bytes) {
		if err := os.Remove(filepath.Join(c.Dir, kept[0].Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		size -= kept[0].Size()
		kept = kept[1:]
	}
	return nil
}

// Tail is the last n lines of a kept log, without its head; nil when it cannot
// be read.
func Tail(path string, n int) []string {
	data, err := readEnd(path, 256<<10)
	if err != nil || n <= 0 {
		return nil
	}
	if _, log, found := bytes.Cut(data, []byte("\n\n")); found {
		data = log
	}
	var lines []string
	for line := range bytes.Lines(data) {
		lines = append(lines, clean(strings.TrimSuffix(string(line), "\n")))
	}
	return lines[max(0, len(lines)-n):]
}

// plainID is a boot id without hyphens, or nothing where it is none.
func plainID(id string) string {
	id = strings.ReplaceAll(strings.TrimSpace(id), "-", "")
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}

// safe is a version as a part of a file name, whatever the journal holds.
func safe(version string) string {
	if _, err := manifests.ParseVersion(version); err != nil {
		return "unknown"
	}
	return version
}
