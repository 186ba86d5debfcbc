package updater_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/lastwords"
)

// withLog is an agent on the host whose journalctl prints its arguments and
// knows the boots that the host had.
func (f *fleet) withLog(t *testing.T, boots ...string) *updater.Updater {
	t.Helper()
	list := ""
	for _, boot := range boots {
		list += " 0 " + strings.ReplaceAll(boot, "-", "") + " Wed 2199-01-02 10:00:00 UTC\n"
	}
	script := "#!/bin/sh\ncase \"$*\" in *--list-boots*) cat << .\n" + list + ".\n;; *) echo \"$1\" \"$2\";; esac\n"
	check(t, os.WriteFile(f.host.Path("journalctl"), []byte(script), 0o755))
	check(t, os.MkdirAll(f.host.Path("journal"), 0o755))
	host := f.host.Host()
	host.LastWords = lastwords.Config{
		Dir: f.host.Path("failed"), Journalctl: f.host.Path("journalctl"), Journal: f.host.Path("journal"), Pstore: []string{f.host.Path("pstore")},
	}
	settings, err := updater.LoadSettings(f.host.Path("agent.yaml"))
	check(t, err)
	u, err := updater.New(updater.Config{Host: host, Settings: settings})
	check(t, err)
	return u
}

func (f *fleet) bootID(t *testing.T) string {
	t.Helper()
	id, err := os.ReadFile(f.host.Path("boot_id"))
	check(t, err)
	return strings.TrimSpace(string(id))
}

func TestTheLogOfAnUnhealthyTrialIsKeptBeforeTheReset(t *testing.T) {
	f := newFleet(t)
	f.host.AddHealthCheck(t, "20-gateway", "echo 503; exit 1")
	f.update(t)
	f.boot(t, partitions.SlotB)
	failed := f.bootID(t)
	if _, err := f.withLog(t).Judge(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.boot(t, partitions.SlotA)
	// What the next boot finds on the disk is less.
	v, err := f.withLog(t).Judge(context.Background())
	check(t, err)
	id := strings.ReplaceAll(failed, "-", "")
	path := filepath.Join(f.host.Path("failed"), "1.1.0-"+id+".log")
	if v.Last == nil || v.Last.Journal != path {
		t.Fatalf("the trial's result is %+v: want the log %s", v.Last, path)
	}
	if tail := lastwords.Tail(path, 5); !slices.Equal(tail, []string{"--boot=" + id + " --lines=200"}) {
		t.Errorf("kept are %q", tail)
	}
}

func TestTheLogOfATrialWithoutAVerdictIsKeptByTheNextBoot(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	armed := f.bootID(t)
	f.boot(t, partitions.SlotB)
	failed := f.bootID(t)
	f.boot(t, partitions.SlotA)
	v, err := f.withLog(t, armed, failed, f.bootID(t)).Judge(context.Background())
	check(t, err)
	id := strings.ReplaceAll(failed, "-", "")
	path := filepath.Join(f.host.Path("failed"), "1.1.0-"+id+".log")
	if v.Last == nil || v.Last.Journal != path {
		t.Fatalf("the trial's result is %+v: want the log %s", v.Last, path)
	}
	want := []string{"--directory=" + f.host.Path("journal") + " _BOOT_ID=" + id}
	if tail := lastwords.Tail(path, 5); !slices.Equal(tail, want) {
		t.Errorf("kept are %q, want %q", tail, want)
	}
}

func TestALogThatCannotBeKeptHoldsNothingUp(t *testing.T) {
	f := newFleet(t)
	f.host.AddHealthCheck(t, "20-gateway", "echo 503; exit 1")
	f.update(t)
	f.boot(t, partitions.SlotB)
	u := f.withLog(t)
	check(t, os.WriteFile(f.host.Path("failed"), nil, 0o600))
	if v, err := u.Judge(context.Background()); err != nil || v.Outcome != "went back" || f.host.Resets(t) != 1 {
		t.Errorf("verdict %+v, %v, %d resets", v, err, f.host.Resets(t))
	}
	f.boot(t, partitions.SlotA)
	if v, err := u.Judge(context.Background()); err != nil || v.Last == nil || v.Last.Journal != "" {
		t.Errorf("verdict %+v, %v", v, err)
	}
}
