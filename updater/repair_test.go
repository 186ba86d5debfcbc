package updater_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/testhost"
)

// newRottenFleet is a host whose committed release, 1.1.0 in slot b, rotted: it
// runs 1.0.0 in its place, and the repository has both.
func newRottenFleet(t testing.TB) *fleet {
	t.Helper()
	f := newFleet(t)
	f.repository.Publish(t, f.old)
	f.repository.Publish(t, f.next)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	f.host.SetVariable(t, "LoaderEntryOneShot", "proa-a.efi") // as proa-init does
	f.boot(t, partitions.SlotA)
	return f
}

// rot damages two chunks of slot b, a leaf hash, the top block, the superblock
// and the kernel image.
func (f *fleet) rot(t testing.TB) {
	t.Helper()
	root, tree := f.host.Offset(partitions.RoleRootB), f.host.Offset(partitions.RoleVerityB)
	chunk := f.next.ChunkSize
	for _, at := range []int64{
		root + 3*chunk + 17, root + 3*chunk + 5*verity.BlockSize, root + 7*chunk,
		tree + 70, tree + verity.TopOffset + 9, tree + verity.LeafOffset(f.next.Root.Blocks) + 40,
	} {
		damage(t, f.host, at)
	}
	damageFile(t, f.kernel(), 700)
}

func (f *fleet) kernel() string { return f.host.Path("esp/EFI/Linux/proa-b.efi") }

func damageFile(t testing.TB, path string, at int) {
	t.Helper()
	content, err := os.ReadFile(path)
	check(t, err)
	content[at] ^= 1
	check(t, os.WriteFile(path, content, 0o600))
}

func (f *fleet) repair(t testing.TB, options updater.RepairOptions) updater.Repaired {
	t.Helper()
	done, err := f.host.Updater(t, nil).Repair(context.Background(), options)
	check(t, err)
	return done
}

// slotB is the partitions of slot b, and its kernel image.
func slotB(t testing.TB, h *testhost.Host) (disk, kernel []byte) {
	t.Helper()
	all, err := os.ReadFile(h.Path("disk.raw"))
	check(t, err)
	kernel, err = os.ReadFile(h.Path("esp/EFI/Linux/proa-b.efi"))
	check(t, err)
	return all[h.Offset(partitions.RoleRootB):h.Offset(partitions.RoleState)], kernel
}

func TestRepairFetchesOnlyWhatIsDamaged(t *testing.T) {
	f := newRottenFleet(t)
	want, wantKernel := slotB(t, f.host)
	if done := f.repair(t, updater.RepairOptions{}); done.Result != updater.RepairWhole || done.Downloaded != int64(len(f.next.Index())) {
		t.Errorf("a whole slot: %+v", done)
	}
	f.rot(t)
	root := manifests.ArtifactPath(f.next.Transport.Root.Digest)
	f.repository.Served(root)
	done := f.repair(t, updater.RepairOptions{Slot: partitions.SlotB})
	chunks := f.next.Chunks[3].Encoded + f.next.Chunks[7].Encoded
	if served := f.repository.Served(root); served != chunks || done.Downloaded != chunks+int64(len(f.next.UKI)+len(f.next.Index())) {
		t.Errorf("the repository sent %d bytes, the agent counted %d: want %d of the root image", served, done.Downloaded, chunks)
	}
	if done.Result != updater.RepairRepaired || done.Version != "1.1.0" || len(done.Damaged) != 4 {
		t.Errorf("%+v", done)
	}
	got, kernel := slotB(t, f.host)
	if !bytes.Equal(kernel, wantKernel) || !bytes.Equal(got, want) {
		t.Error("the slot is not what it was")
	}
	f.boot(t, partitions.SlotB)
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/root", got[:1<<20], 0o600))
	check(t, os.WriteFile(dir+"/verity", got[1<<20:], 0o600))
	out, err := exec.Command("veritysetup", "verify", dir+"/root", dir+"/verity", manifests.HexBytes(f.next.Root.Hash[:]).String()).CombinedOutput()
	if err != nil {
		t.Errorf("veritysetup: %v\n%s", err, out)
	}
}

func TestRepairFindsTheReleaseByWhateverClueIsLeft(t *testing.T) {
	loseJournal := func(t *testing.T, f *fleet) {
		disk, err := os.OpenFile(f.host.Path("disk.raw"), os.O_RDWR, 0)
		check(t, err)
		_, err = disk.WriteAt(make([]byte, partitions.StateSize), f.host.Offset(partitions.RoleState))
		check(t, errors.Join(err, disk.Close()))
	}
	loseKernel := func(t *testing.T, f *fleet) { check(t, os.WriteFile(f.kernel(), []byte("nothing"), 0o600)) }
	loseTop := func(t *testing.T, f *fleet) {
		damage(t, f.host, f.host.Offset(partitions.RoleVerityB)+verity.TopOffset)
	}
	for name, lose := range map[string][]func(*testing.T, *fleet){
		"journal lost":             {loseJournal, loseTop},
		"kernel image lost":        {loseKernel, loseTop},
		"both lost":                {loseJournal, loseKernel},
		"kernel image misleads":    {misname},
		"kernel image alone tells": {loseJournal},
	} {
		t.Run(name, func(t *testing.T) {
			f := newRottenFleet(t)
			want, wantKernel := slotB(t, f.host)
			for _, l := range lose {
				l(t, f)
			}
			f.repair(t, updater.RepairOptions{})
			if got, kernel := slotB(t, f.host); !bytes.Equal(kernel, wantKernel) || !bytes.Equal(got[:2<<20], want[:2<<20]) {
				t.Error("the slot is not what it was")
			}
			f.boot(t, partitions.SlotB)
		})
	}
}

// misname damages the root hash in the kernel image, which stays a number.
func misname(t *testing.T, f *fleet) {
	content, err := os.ReadFile(f.kernel())
	check(t, err)
	at := bytes.Index(content, []byte(manifests.HexBytes(f.next.Root.Hash[:]).String()))
	old := content[at]
	content[at] = '0'
	if old == '0' {
		content[at] = '1'
	}
	check(t, os.WriteFile(f.kernel(), content, 0o600))
}

func TestRepairRefusesWhatItMustNotTouch(t *testing.T) {
	for name, test := range map[string]struct {
		options updater.RepairOptions
		prepare func(t *testing.T, f *fleet)
		want    string
	}{
		"the running slot": {updater.RepairOptions{Slot: partitions.SlotA}, func(*testing.T, *fleet) {}, "slot a is running"},
		"a blocked release": {updater.RepairOptions{}, func(t *testing.T, f *fleet) {
			rewrite(t, f.host, func(r *journal.Record) { r.Block(journal.Blocked{Release: r.Target.Release, Reason: "bad"}) })
		}, "blocked on this host"},
		"a cut installation": {updater.RepairOptions{}, func(t *testing.T, f *fleet) {
			rewrite(t, f.host, func(r *journal.Record) { r.Phase = journal.Writing })
		}, "run the update again"},
		"a release with a lower security epoch": {updater.RepairOptions{}, func(t *testing.T, f *fleet) {
			rewrite(t, f.host, func(r *journal.Record) { r.SecurityEpoch = 5 })
		}, "security epoch 0"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newRottenFleet(t)
			f.rot(t)
			test.prepare(t, f)
			before, kernel := slotB(t, f.host)
			_, err := f.host.Updater(t, nil).Repair(t.Context(), test.options)
			var refusal *updater.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v: want a refusal with %q", err, test.want)
			}
			if after, kernelAfter := slotB(t, f.host); !bytes.Equal(after, before) || !bytes.Equal(kernel, kernelAfter) {
				t.Error("something was written")
			}
		})
	}
	t.Run("an empty slot", func(t *testing.T) {
		f := newFleet(t)
		var refusal *updater.Refusal
		if _, err := f.host.Updater(t, nil).Repair(t.Context(), updater.RepairOptions{}); !errors.As(err, &refusal) {
			t.Errorf("error %v: want a refusal", err)
		}
	})
	t.Run("a release that the repository does not have", func(t *testing.T) {
		f := newFleet(t)
		f.host.Install(t, partitions.SlotB, testhost.NewRelease(t, testhost.Spec{Version: "0.9.0"}))
		var refusal *updater.Refusal
		if _, err := f.host.Updater(t, nil).Repair(t.Context(), updater.RepairOptions{}); !errors.As(err, &refusal) {
			t.Errorf("error %v: want a refusal", err)
		}
	})
}

// rewrite changes the journal as a later session of the agent would find it.
func rewrite(t testing.TB, h *testhost.Host, change func(*journal.Record)) {
	t.Helper()
	r := record(t, h)
	change(&r)
	disk, err := hostfs.OS{}.OpenWritable(h.Path("disk.raw"))
	check(t, err)
	defer disk.Close()
	check(t, journal.New(hostfs.Section(disk, h.Offset(partitions.RoleState), partitions.StateSize)).Write(r))
}

func TestCheckSaysWhatIsDamagedAndWritesNothing(t *testing.T) {
	f := newRottenFleet(t)
	if done := f.repair(t, updater.RepairOptions{Check: true}); done.Result != updater.RepairWhole {
		t.Errorf("a whole slot: %+v", done)
	}
	damage(t, f.host, f.host.Offset(partitions.RoleRootB)+5*verity.BlockSize)
	damageFile(t, f.kernel(), 5000)
	before, kernel := slotB(t, f.host)
	done := f.repair(t, updater.RepairOptions{Check: true})
	if text := strings.Join(done.Damaged, ","); done.Result != updater.RepairDamaged || text != "kernel image,data block 5 at byte 20480" {
		t.Errorf("%+v", done)
	}
	f.repository.Intercept = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	done, err := f.host.Updater(t, nil).Repair(t.Context(), updater.RepairOptions{Check: true})
	if err != nil || done.Result != updater.RepairDamaged || len(done.Damaged) != 1 || len(done.Notes) != 1 {
		t.Errorf("without the repository: %+v, %v", done, err)
	}
	if after, kernelAfter := slotB(t, f.host); !bytes.Equal(after, before) || !bytes.Equal(kernel, kernelAfter) {
		t.Error("something was written")
	}
}

func TestHostileRepositoryGetsNothingIntoASlot(t *testing.T) {
	f := newRottenFleet(t)
	f.rot(t)
	root := "/" + manifests.ArtifactPath(f.next.Transport.Root.Digest)
	before, kernel := slotB(t, f.host)
	f.repository.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != root {
			return false
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bytes.Repeat([]byte{7}, len(f.next.Frames))))
		return true
	}
	_, err := f.host.Updater(t, nil).Repair(t.Context(), updater.RepairOptions{})
	var untrusted *updater.UntrustedError
	if !errors.As(err, &untrusted) {
		t.Errorf("error %v: want one of trust", err)
	}
	if after, kernelAfter := slotB(t, f.host); !bytes.Equal(after, before) || !bytes.Equal(kernel, kernelAfter) {
		t.Error("something was written")
	}
}

// noWorse is a check that every sector of slot b is what it was or what it
// should be, likewise the kernel image.
func noWorse(t testing.TB, f *fleet) func(testing.TB, *testhost.Host) {
	t.Helper()
	before, kernel := slotB(t, f.host)
	whole := &fleet{f.repository, f.old, f.next, f.host.Copy(t, t.TempDir())}
	whole.repair(t, updater.RepairOptions{})
	after, _ := slotB(t, whole.host)
	return func(t testing.TB, h *testhost.Host) {
		t.Helper()
		got, gotKernel := slotB(t, h)
		for at := 0; at < len(got); at += 512 {
			sector := got[at : at+512]
			if !bytes.Equal(sector, before[at:at+512]) && !bytes.Equal(sector, after[at:at+512]) {
				t.Fatalf("the sector at %d of slot b is neither as it was nor as it should be", at)
			}
		}
		if !bytes.Equal(gotKernel, kernel) && !bytes.Equal(gotKernel, f.next.UKI) {
			t.Fatal("the kernel image is neither as it was nor as it should be")
		}
	}
}

func TestPowerCutDuringARepairLeavesASlotNoWorse(t *testing.T) {
	f := newRottenFleet(t)
	f.rot(t)
	judge := noWorse(t, f)
	cutEverywhere(t, f, func(h *testhost.Host, fs *powercut.Recorder) {
		done, err := h.Updater(t, fs).Repair(context.Background(), updater.RepairOptions{})
		check(t, err)
		if done.Result != updater.RepairRepaired {
			t.Fatalf("%+v", done)
		}
	}, func(t testing.TB, h *testhost.Host) {
		judge(t, h)
		if _, err := h.Updater(t, quick(h)).Repair(context.Background(), updater.RepairOptions{}); err != nil {
			t.Fatalf("the next repair: %v", err)
		}
		h.SetVariable(t, "LoaderEntryOneShot", "proa-b.efi")
		if booted := h.Boot(t); booted.Slot != partitions.SlotB {
			t.Fatalf("booted slot %s", booted.Slot)
		}
	})
}

func TestRepairThatCannotWriteLeavesASlotNoWorse(t *testing.T) {
	f := newRottenFleet(t)
	f.rot(t)
	judge := noWorse(t, f)
	for n := 0; ; n++ {
		fault := []error{unix.EIO, unix.ENOSPC, unix.EROFS}[n%3]
		h := f.host.Copy(t, filepath.Join(t.TempDir(), fmt.Sprint(n)))
		fs := failOnce(h.Dir, n, fault)
		_, err := h.Updater(t, fs).Repair(context.Background(), updater.RepairOptions{})
		if err == nil && len(fs.Ops()) <= n {
			return // there was no such operation any more
		}
		if !errors.Is(err, fault) {
			t.Fatalf("operation %d fails with %v: the repair says %v", n, fault, err)
		}
		judge(t, h)
		if _, err := h.Updater(t, quick(h)).Repair(context.Background(), updater.RepairOptions{}); err != nil {
			t.Fatalf("operation %d failed, the next repair: %v", n, err)
		}
	}
}
