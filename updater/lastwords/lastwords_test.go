package lastwords

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// The boots of testdata/three-boots.journal.gz, which systemd-journal-remote wrote: the
// first one armed 2.0.0, the second was its trial and panicked, the third came after it.
const (
	arming = "aaaaaaaa-0000-4000-8000-000000000001"
	trying = "bbbbbbbb-0000-4000-8000-000000000002"
	after  = "cccccccc-0000-4000-8000-000000000003"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(content), mode))
}

// host is a Config of a machine with that journal, and with nothing else.
func host(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	packed, err := os.Open("testdata/three-boots.journal.gz")
	check(t, err)
	defer packed.Close()
	journal, err := gzip.NewReader(packed)
	check(t, err)
	content, err := io.ReadAll(journal)
	check(t, err)
	// Of a machine id that this machine does not have.
	write(t, filepath.Join(dir, "journal/fedcba9876543210fedcba9876543210/system.journal"), string(content), 0o600)
	return Config{
		Dir:     filepath.Join(dir, "agent/failed"),
		Journal: filepath.Join(dir, "journal"),
		Kmsg:    filepath.Join(dir, "kmsg"),
		Pstore:  []string{filepath.Join(dir, "pstore"), filepath.Join(dir, "kept")},
	}
}

func keep(t *testing.T, c Config, trial Trial) (path, content string) {
	t.Helper()
	path, err := Keep(t.Context(), c, trial)
	check(t, err)
	data, err := os.ReadFile(path)
	check(t, err)
	return path, string(data)
}

func TestTheJournalOfATrialWithoutAVerdictIsKeptByTheNextBoot(t *testing.T) {
	for name, trial := range map[string]Trial{
		"boot known":   {Version: "2.0.0", Reason: "no verdict", Boot: trying, Now: after},
		"boot unknown": {Version: "2.0.0", Reason: "no verdict", After: arming, Now: after},
		// The first boot began at 10:00:01.
		"arming unknown": {Version: "2.0.0", Reason: "no verdict", Now: after, Since: time.Date(2025, 11, 25, 10, 0, 2, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			c := host(t)
			c.Lines = 4
			path, content := keep(t, c, trial)
			if filepath.Base(path) != "2.0.0-bbbbbbbb000040008000000000000002.log" {
				t.Errorf("kept as %s", path)
			}
			want := `release: 2.0.0
boot: bbbbbbbb000040008000000000000002
reason: no verdict
log: journal of the failed boot

Nov 25 10:00:06.000000 edge gateway: attempt 4: connection refused
Nov 25 10:00:07.000000 edge gateway: attempt 5: connection refused
Nov 25 10:00:08.000000 edge gateway: \x1b[31mgiving up\x1b[0m\x07
Nov 25 10:00:09.000000 edge kernel: Kernel panic - not syncing: no gateway
`
			if content != want {
				t.Errorf("got:\n%s\nwant:\n%s", content, want)
			}
			if tail := Tail(path, 1); !slices.Equal(tail, []string{"Nov 25 10:00:09.000000 edge kernel: Kernel panic - not syncing: no gateway"}) {
				t.Errorf("the tail is %q", tail)
			}
		})
	}
}

func TestAMissingLogIsSaidToBeMissing(t *testing.T) {
	other := "dddddddd-0000-4000-8000-000000000004"
	for _, test := range []struct {
		name   string
		change func(*Config)
		trial  Trial
		want   string
	}{
		{"not on disk", func(c *Config) { c.Journal = "/nowhere" }, Trial{After: arming, Now: after},
			"no journal: the journal does not outlive a boot: stat /nowhere: no such file or directory"},
		{"never written", nil, Trial{After: trying, Now: after}, "no journal: nothing of the failed boot is in it"},
		{"never written, by its time", nil, Trial{Since: time.Date(2025, 11, 25, 10, 0, 7, 0, time.UTC), Now: after}, "no journal: nothing of the failed boot is in it"},
		{"first of all", nil, Trial{After: other, Now: arming}, "no journal: nothing of the failed boot is in it"},
		{"armed long ago", nil, Trial{After: other, Now: after}, "no journal: the boot that armed the trial is not in it"},
		{"this boot not written", nil, Trial{After: arming, Now: other}, "no journal: this boot is not in it"},
		{"no program", func(c *Config) { c.Journalctl = "/nowhere" }, Trial{After: arming, Now: after},
			"no journal: journalctl: fork/exec /nowhere: no such file or directory"},
		{"running, no program", func(c *Config) { c.Journalctl = "/nowhere"; c.Kmsg = "/no/kmsg" }, Trial{Boot: after, Now: after},
			"none: journalctl: fork/exec /nowhere: no such file or directory; /no/kmsg: no such file or directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := host(t)
			if test.change != nil {
				test.change(&c)
			}
			test.trial.Version = "2.0.0"
			path, content := keep(t, c, test.trial)
			if !strings.Contains(content, "\nlog: "+test.want+"\n") {
				t.Errorf("got:\n%s\nwant: %s", content, test.want)
			}
			if tail := Tail(path, 5); len(tail) != 0 {
				t.Errorf("the tail is %q", tail)
			}
		})
	}
}

// journalctl is one that says what its script says.
func journalctl(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journalctl")
	write(t, path, "#!/bin/sh\n"+script, 0o755)
	return path
}

func TestTheJudgeKeepsTheJournalOfItsOwnBoot(t *testing.T) {
	c := host(t)
	c.Journalctl = journalctl(t, `echo "$@"`)
	_, content := keep(t, c, Trial{Version: "2.0.0", Reason: "health check x: down", Boot: trying, Now: trying})
	want := "log: journal of this boot\n\n--boot=bbbbbbbb000040008000000000000002 --lines=200 --output=short-precise --all --quiet --utc --no-pager\n"
	if !strings.HasSuffix(content, want) {
		t.Errorf("got:\n%s", content)
	}
	// The real one knows all these options.
	c.Journalctl = ""
	c = c.withDefaults()
	out, err := c.journalctl(t.Context(), "--directory="+c.Journal, "--boot="+plainID(trying))
	check(t, err)
	if n := strings.Count(string(out), "\n"); n != 8 {
		t.Errorf("%d lines of 8:\n%s", n, out)
	}
}

func TestTheKernelsLogStandsInForAJournal(t *testing.T) {
	for name, script := range map[string]string{"silent": "", "failing": "echo no journal files >&2; exit 1"} {
		t.Run(name, func(t *testing.T) {
			c := host(t)
			c.Journalctl = journalctl(t, script)
			write(t, c.Kmsg, "6,1,1500000,-;usb 1-1: new device\n SUBSYSTEM=usb\n3,2,61000042,-;I/O error\n", 0o600)
			_, content := keep(t, c, Trial{Version: "2.0.0", Boot: trying, Now: trying})
			if !strings.HasSuffix(content, "\n\n[    1.500000] kernel: usb 1-1: new device\n[   61.000042] kernel: I/O error\n") {
				t.Errorf("got:\n%s", content)
			}
		})
	}
}

func TestTheKernelsOwnLogIsReadWithoutWaiting(t *testing.T) {
	raw, err := readKmsg("/dev/kmsg", 64<<10)
	if os.IsNotExist(err) || os.IsPermission(err) {
		t.Logf("this machine shows nobody its kernel's log: %v", err)
		return
	}
	check(t, err)
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, "[") {
			t.Fatalf("got line %q", line)
		}
	}
}

func TestAJournalctlThatHangsOrNeverEndsCostsABoundedTime(t *testing.T) {
	for name, script := range map[string]string{"hangs": "sleep 1000 & sleep 1000", "floods": "yes this goes on"} {
		t.Run(name, func(t *testing.T) {
			c := host(t)
			c.Journalctl, c.Time = journalctl(t, script), 300*time.Millisecond
			_, content := keep(t, c, Trial{Version: "2.0.0", Boot: trying, Now: trying})
			if !strings.Contains(content, "journalctl: no answer in time") {
				t.Errorf("got:\n%.300s", content)
			}
		})
	}
}

func TestWhatAPanickingKernelWroteIsKeptInItsOrder(t *testing.T) {
	c := host(t)
	c.Journal = "/nowhere"
	armed := time.Unix(1764064800, 0)
	put := func(name, content string, when time.Time) {
		path := filepath.Join(c.Pstore[0], name)
		write(t, path, content, 0o600)
		check(t, os.Chtimes(path, when, when))
	}
	put("dmesg-efi_pstore-176406490001001", "Panic#1 Part1\n<0>the end\n", armed.Add(time.Minute))
	put("dmesg-efi_pstore-176406490002001", "Panic#1 Part2\n<4>the middle\n", armed.Add(time.Minute))
	put("dmesg-efi_pstore-176406490003001", "Panic#1 Part3\n<4>the beginning\n", armed.Add(time.Minute))
	put("dmesg-efi_pstore-170000000001001", "Panic#1 Part1\nof another trial\n", armed.Add(-time.Hour))
	put("console-ramoops-0", "no panic\n", armed.Add(time.Minute))
	_, content := keep(t, c, Trial{Version: "2.0.0", Now: after, After: arming, Since: armed})
	want := `; what its kernel left in pstore

-- dmesg-efi_pstore-176406490003001
Panic#1 Part3
<4>the beginning
-- dmesg-efi_pstore-176406490002001
Panic#1 Part2
<4>the middle
-- dmesg-efi_pstore-176406490001001
Panic#1 Part1
<0>the end
`
	if !strings.HasSuffix(content, want) {
		t.Errorf("got:\n%s\nwant the end:\n%s", content, want)
	}
}

// Somebody who was there has kept more than a later boot finds on the disk.
func TestALogThatTheFailedBootKeptItselfStays(t *testing.T) {
	c := host(t)
	c.Journalctl = journalctl(t, "echo what I saw")
	own, content := keep(t, c, Trial{Version: "2.0.0", Reason: "down", Boot: trying, Now: trying})
	c.Journalctl = ""
	for name, trial := range map[string]Trial{
		"boot known":       {Version: "2.0.0", Boot: trying, Now: after},
		"boot found":       {Version: "2.0.0", After: arming, Now: after},
		"boot not found":   {Version: "2.0.0", Now: trying, After: arming, Since: time.Now().Add(-time.Hour)},
		"boot not on disk": {Version: "2.0.0", Now: "dddddddd-0000-4000-8000-000000000004", Since: time.Now().Add(-time.Hour)},
	} {
		if path, again := keep(t, c, trial); path != own || again != content {
			t.Errorf("%s: got %s:\n%s", name, path, again)
		}
	}
	for name, trial := range map[string]Trial{
		"another release": {Version: "2.0.1", Now: "dddddddd-0000-4000-8000-000000000004", Since: time.Now().Add(-time.Hour)},
		"a later trial":   {Version: "2.0.0", Now: "dddddddd-0000-4000-8000-000000000004", Since: time.Now().Add(time.Hour)},
	} {
		if path, _ := keep(t, c, trial); path == own {
			t.Errorf("%s has the log of another", name)
		}
	}
}

func TestTheOldestLogsGoFirst(t *testing.T) {
	c := host(t)
	c.Files, c.Bytes = 3, 3500
	c.Journalctl = journalctl(t, "yes 0123456789 | head -n 60")
	for i := range 5 {
		boot := fmt.Sprintf("bbbbbbbb-0000-4000-8000-00000000000%d", i)
		path, _ := keep(t, c, Trial{Version: "2.0.0", Boot: boot, Now: boot})
		when := time.Unix(1764064800+int64(i), 0)
		check(t, os.Chtimes(path, when, when))
	}
	names := func() (names []string) {
		entries, err := os.ReadDir(c.Dir)
		check(t, err)
		for _, entry := range entries {
			names = append(names, strings.TrimPrefix(entry.Name(), "2.0.0-bbbbbbbb0000400080000000000000"))
		}
		return names
	}
	if got := names(); !slices.Equal(got, []string{"02.log", "03.log", "04.log"}) {
		t.Errorf("by number, these are left: %v", got)
	}
	c.Journalctl = journalctl(t, "yes 0123456789 | head -n 200")
	boot := "bbbbbbbb-0000-4000-8000-000000000009"
	keep(t, c, Trial{Version: "2.0.0", Boot: boot, Now: boot})
	if got := names(); !slices.Equal(got, []string{"04.log", "09.log"}) {
		t.Errorf("by size, these are left: %v", got)
	}
	// The same trial again is the same file.
	keep(t, c, Trial{Version: "2.0.0", Boot: boot, Now: boot})
	if got := names(); !slices.Equal(got, []string{"04.log", "09.log"}) {
		t.Errorf("after the same trial, these are left: %v", got)
	}
}

func TestAFolderThatCannotBeWrittenIsAnError(t *testing.T) {
	c := host(t)
	c.Dir = filepath.Join(c.Kmsg, "x")
	write(t, c.Kmsg, "", 0o600)
	if path, err := Keep(t.Context(), c, Trial{Version: "2.0.0", Now: after, After: arming}); err == nil || path != "" {
		t.Errorf("got %q, %v", path, err)
	}
}

func TestAVersionOrABootIDThatIsNoneNamesNoFileElsewhere(t *testing.T) {
	c := host(t)
	path, _ := keep(t, c, Trial{Version: "../../x", Boot: "../y", Now: after, After: arming})
	if filepath.Dir(path) != c.Dir || filepath.Base(path) != "unknown-bbbbbbbb000040008000000000000002.log" {
		t.Errorf("kept as %s", path)
	}
}

func FuzzLogsAreMadeHarmless(f *testing.F) {
	f.Add("plain\n\x1b]0;title\x07\u202eevil\u2066\xff\x9b\r\n", 3)
	f.Add(strings.Repeat("\x00", 5000), 1)
	f.Add(strings.Repeat("x", 1500), 1)
	f.Fuzz(func(t *testing.T, raw string, lines int) {
		const most = 2000
		kept := text{raw: []byte(raw)}.clean(max(0, lines%50), most)
		if len(kept) > most {
			t.Errorf("%d bytes are kept", len(kept))
		}
		for _, r := range kept {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%q is kept", r)
			}
		}
		for line := range strings.Lines(kept) {
			if len(line) > lineMost+1 {
				t.Errorf("a line of %d bytes is kept", len(line))
			}
			if clean(strings.TrimSuffix(line, "\n")) != strings.TrimSuffix(line, "\n") {
				t.Errorf("%q changes when it is cleaned again", line)
			}
		}
	})
}

func FuzzKernelRecords(f *testing.F) {
	f.Add([]byte("6,1,1500000,-;usb\n SUBSYSTEM=usb\n"), []byte("Panic#1 Part2\nx\n"))
	f.Add([]byte(";\n,,;\n6,1,99999999999999999999,-;x\n"), []byte("Oops#99999999999 Part1\n"))
	f.Fuzz(func(t *testing.T, kmsg, panicked []byte) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "kmsg"), string(kmsg), 0o600)
		write(t, filepath.Join(dir, "dmesg-efi-1"), string(panicked), 0o600)
		raw, err := readKmsg(filepath.Join(dir, "kmsg"), 500)
		check(t, err)
		if words := (Config{Bytes: 500, Pstore: []string{dir}}).pstore(time.Time{}); len(raw) > 500 || len(words) > 500 {
			t.Errorf("%d and %d bytes are kept", len(raw), len(words))
		}
		parseBoots(kmsg)
	})
}
