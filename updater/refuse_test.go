package updater_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/testhost"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// indexed makes the chunk index anew after a change.
func indexed(change func(*testhost.Release)) func(*testhost.Release) {
	return func(r *testhost.Release) {
		change(r)
		index := r.Index()
		r.Transport.Index = manifests.FetchFile{Size: int64(len(index)), Digest: manifests.DigestOf(index)}
	}
}

// TestRefusedReleaseLeavesTheHostAsItWas publishes what must not be installed.
func TestRefusedReleaseLeavesTheHostAsItWas(t *testing.T) {
	other := testhost.NewRelease(t, testhost.Spec{Version: "9"})
	for name, test := range map[string]struct {
		spec   testhost.Spec
		change func(*testhost.Release)
		want   string
	}{
		"older":                {spec: testhost.Spec{Version: "0.9"}, want: "older than the running 1.0.0"},
		"older pre-release":    {spec: testhost.Spec{Version: "1.0.0~rc1"}, want: "older than the running 1.0.0"},
		"same version again":   {spec: testhost.Spec{Version: "1.0.0", Blocks: 100}, want: "another root hash"},
		"too large":            {spec: testhost.Spec{Version: "2", Blocks: 257}, want: "partition root-b has 1048576 bytes: the release needs 1052672"},
		"product":              {change: func(r *testhost.Release) { r.Release.Product = "barge" }, want: "it is of product barge"},
		"architecture":         {change: func(r *testhost.Release) { r.Release.Arch = manifests.ARM64 }, want: "it is for arm64"},
		"other release's text": {change: func(r *testhost.Release) { r.Transport.Release = other.Transport.UKI.Digest }, want: "transport is for release"},
		"chunk missing":        {change: indexed(func(r *testhost.Release) { r.Chunks = r.Chunks[1:] }), want: "blocks: want"},
		"chunks of another image": {change: indexed(func(r *testhost.Release) {
			r.Release.Root.Hash = bytes.Clone(r.Release.Root.Hash)
			r.Root = other.Root
		}), want: "chunk index: is of root hash"},
		"frames beyond the file's end": {change: func(r *testhost.Release) { r.Transport.Root.Size = 9 }, want: "its root image has 9"},
		"kernel of another release":    {change: func(r *testhost.Release) { r.ReplaceUKI(other.UKI) }, want: "its kernel image boots root hash"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			if test.spec.Version == "" {
				test.spec.Version = "2"
			}
			release := testhost.NewRelease(t, test.spec)
			if test.change != nil {
				test.change(release)
			}
			f.repository.Publish(t, release)
			before := f.host.Bootable(t)
			_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
			wantRefusal(t, err, test.want)
			if !bytes.Equal(f.host.Bootable(t), before) {
				t.Error("the host was changed")
			}
		})
	}
}

func TestLowerSecurityEpochIsRefused(t *testing.T) {
	repository := testhost.NewRepository(t)
	host := testhost.New(t, repository, testhost.NewRelease(t, testhost.Spec{Version: "1.0.0", SecurityEpoch: 3}))
	repository.Publish(t, testhost.NewRelease(t, testhost.Spec{Version: "2", SecurityEpoch: 2}))
	_, err := host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
	wantRefusal(t, err, "security epoch 2: this host demands 3")
}

func TestSecurityEpochRisesWhenBothSlotsSatisfyIt(t *testing.T) {
	f := newFleet(t)
	for _, step := range []struct {
		version manifests.Version
		epoch   uint64 // of the release
		floor   uint64 // of the host, once the release leads
	}{{"2", 5, 0}, {"3", 5, 5}, {"4", 9, 5}, {"5", 7, 5}} {
		release := testhost.NewRelease(t, testhost.Spec{Version: step.version, SecurityEpoch: step.epoch})
		f.host.Know(release)
		f.repository.Publish(t, release)
		_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
		if step.version == "5" {
			wantRefusal(t, err, "security epoch 7: this host demands 9")
			return
		}
		check(t, err)
		f.host.Boot(t)
		f.judge(t)
		if got := record(t, f.host).SecurityEpoch; got != step.floor {
			t.Errorf("after %s the host demands %d: want %d", step.version, got, step.floor)
		}
	}
}

// record reads the host's journal.
func record(t testing.TB, h *testhost.Host) journal.Record {
	t.Helper()
	disk, err := hostfs.OS{}.Open(h.Path("disk.raw"))
	check(t, err)
	defer disk.Close()
	r, found, err := journal.New(hostfs.Section(disk, h.Offset(partitions.RoleState), partitions.StateSize)).Read()
	if err != nil || !found {
		t.Fatalf("journal: %t, %v", found, err)
	}
	return r
}

func TestUntrustedRepositoryIsRefused(t *testing.T) {
	for name, change := range map[string]func(*testhost.Repository){
		"timestamp not signed": func(r *testhost.Repository) { edit(t, r, "metadata/timestamp.json", `"sig":"`, `"sig":"00`) },
		"timestamp gone back":  func(r *testhost.Repository) { edit(t, r, "metadata/timestamp.json", `"version":4`, `"version":3`) },
		"target changed": func(r *testhost.Repository) {
			editGlob(t, r, "targets/releases/boat/amd64/1.1.0/*.release.json", "1.1.0", "1.9.0")
		},
		"root image changed": func(r *testhost.Repository) {
			editGlob(t, r, "artifacts/*/*", "\x28\xb5\x2f\xfd", "\x28\xb5\x2f\xfe")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			change(f.repository)
			_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
			var untrusted *updater.UntrustedError
			if !errors.As(err, &untrusted) {
				t.Errorf("error %v: want one of trust", err)
			}
			f.boot(t, partitions.SlotA)
		})
	}
}

func edit(t testing.TB, r *testhost.Repository, name, old, text string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.Dir, name))
	check(t, err)
	changed := strings.Replace(string(content), old, text, 1)
	if changed == string(content) {
		changed = strings.Replace(string(content), strings.ReplaceAll(old, ":", ": "), text, 1)
	}
	if changed == string(content) {
		t.Fatalf("%s has no %q:\n%.200s", name, old, content)
	}
	r.Write(t, name, []byte(changed))
}

// editGlob changes every file that matches and has the old text.
func editGlob(t testing.TB, r *testhost.Repository, pattern, old, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(r.Dir, pattern))
	check(t, err)
	changed := 0
	for _, name := range names {
		content, err := os.ReadFile(name)
		check(t, err)
		if bytes.Contains(content, []byte(old)) {
			check(t, os.WriteFile(name, bytes.Replace(content, []byte(old), []byte(text), 1), 0o600))
			changed++
		}
	}
	if changed == 0 {
		t.Fatalf("no %s has %q", pattern, old)
	}
}

func TestRepositoryOutOfReachIsANetworkError(t *testing.T) {
	f := newFleet(t)
	f.host.URL = "http://127.0.0.1:1"
	f.host.Configure(t, "")
	_, err := f.host.Updater(t, nil).Check(context.Background())
	var network *updater.NetworkError
	if !errors.As(err, &network) {
		t.Errorf("error %v: want one of the network", err)
	}
	status, err := f.host.Updater(t, nil).Status(context.Background(), true)
	check(t, err)
	if status.NotAsked == "" {
		t.Error("status does not say why nothing is available")
	}
}

func TestSecondAgentIsToldThatTheFirstIsRunning(t *testing.T) {
	f := newFleet(t)
	var second error
	f.repository.Intercept = func(http.ResponseWriter, *http.Request) bool {
		if second == nil {
			_, second = f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
		}
		return false
	}
	f.update(t)
	if !errors.Is(second, updater.ErrBusy) {
		t.Errorf("second update: %v, want busy", second)
	}
}

func TestDownloadLostAtAnyChunkGoesOnWithoutFetchingTwice(t *testing.T) {
	chunks := len(newFleet(t).next.Chunks)
	for lost := range chunks {
		f := newFleet(t)
		root := manifests.ArtifactPath(f.next.Transport.Root.Digest)
		keep := int64(10) // bytes of the chunk that is lost
		for _, chunk := range f.next.Chunks[:lost] {
			keep += chunk.Encoded
		}
		f.repository.Intercept = cutAt(root, f.next.Frames, keep)
		_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
		var network *updater.NetworkError
		if !errors.As(err, &network) {
			t.Fatalf("chunk %d: error %v, want one of the network", lost, err)
		}
		f.repository.Served(root)
		f.repository.Intercept = nil
		f.update(t)
		if want := f.next.Transport.Root.Size - keep + 10; f.repository.Served(root) > want {
			t.Errorf("chunk %d: fetched more than the %d bytes that were missing", lost, want)
		}
		f.boot(t, partitions.SlotB)
	}
}

// cutAt serves a file up to a byte, and then refuses it.
func cutAt(name string, content []byte, at int64) func(http.ResponseWriter, *http.Request) bool {
	served := false
	return func(w http.ResponseWriter, r *http.Request) bool {
		if strings.TrimPrefix(r.URL.Path, "/") != name {
			return false
		}
		if served {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		served = true
		w.Header().Set("Content-Range", strings.Replace("bytes 0-LAST/*", "LAST", jsonNumber(len(content)-1), 1))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(content[:at])
		return true
	}
}

func jsonNumber(n int) string {
	text, _ := json.Marshal(n)
	return string(text)
}

func TestDiskErrorsAreNamedAndLeaveTheCommittedSlot(t *testing.T) {
	for _, errno := range []error{unix.ENOSPC, unix.EROFS, unix.EIO} {
		f := newFleet(t)
		for n := 0; ; n++ {
			if n > 1000 {
				t.Fatal("the update never ends")
			}
			h := f.host.Copy(t, t.TempDir())
			failed := failOnce(h.Dir, n, errno)
			_, err := h.Updater(t, failed).Update(context.Background(), updater.UpdateOptions{})
			if err == nil {
				break
			}
			if !errors.Is(err, errno) {
				t.Fatalf("operation %d: error %v, want %v", n, err, errno)
			}
			if left, _ := filepath.Glob(h.Path("esp/EFI/Linux/*.new")); len(left) > 0 {
				t.Errorf("operation %d: %v keeps its space", n, left)
			}
			booted, err := h.TryBoot(t)
			if err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
			if booted.Slot != partitions.SlotA {
				continue // the very last operation can fail after the trial is armed
			}
			if _, err := h.Updater(t, quick(h)).Update(context.Background(), updater.UpdateOptions{Now: true}); err != nil {
				t.Fatalf("operation %d: the next run: %v", n, err)
			}
		}
	}
}
