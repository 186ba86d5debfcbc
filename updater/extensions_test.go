package updater_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/extensions"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/testhost"
)

// extending is a fleet whose next release has extensions.
func extending(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t)
	f.offer(t, testhost.Spec{Version: "1.1.0", Extensions: map[string]int{"debug": 300 << 10, "site": 5000}})
	return f
}

// offer publishes another next release.
func (f *fleet) offer(t *testing.T, spec testhost.Spec) {
	t.Helper()
	f.next = testhost.NewRelease(t, spec)
	f.host.Know(f.next)
	f.repository.Publish(t, f.next)
}

// wantAttached demands that systemd would find an extension, whole and with its root
// hash.
func wantAttached(t testing.TB, h *testhost.Host, x manifests.Extension) {
	t.Helper()
	content, err := os.ReadFile(h.Path("run/extensions/" + x.Name + ".raw"))
	if err != nil || manifests.DigestOf(content) != x.Digest {
		t.Fatalf("extension %s is not attached as it should be: %d bytes, %v", x.Name, len(content), err)
	}
	if hash, err := os.ReadFile(h.Path("run/extensions/" + x.Name + ".roothash")); err != nil || strings.TrimSpace(string(hash)) != x.RootHash.String() {
		t.Fatalf("extension %s is opened by root hash %s, %v: want %s", x.Name, hash, err, x.RootHash)
	}
}

// wantStored demands that exactly these releases have their images in the store.
func wantStored(t testing.TB, h *testhost.Host, releases ...*testhost.Release) {
	t.Helper()
	var want, got []string
	for _, r := range releases {
		for _, x := range r.Extensions.Extensions {
			want = append(want, x.Digest.Hex()+".raw")
		}
	}
	entries, err := os.ReadDir(h.Path("extensions"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" {
			got = append(got, entry.Name())
		}
	}
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Fatalf("the store holds %v: want %v", got, want)
	}
}

func (f *fleet) attached(t *testing.T) {
	t.Helper()
	for _, x := range f.next.Extensions.Extensions {
		wantAttached(t, f.host, x)
	}
}

func TestExtensionsComeAndGoWithTheirRelease(t *testing.T) {
	f := extending(t)
	f.update(t)
	if names, _ := filepath.Glob(f.host.Path("run/extensions/*")); len(names) > 0 {
		t.Errorf("attached before their release is booted: %v", names)
	}
	f.boot(t, partitions.SlotB)
	f.attached(t)
	if v := f.judge(t); v.Outcome != "committed" {
		t.Fatalf("verdict %+v", v)
	}
	for _, x := range f.status(t).Extensions {
		if x.State != extensions.Attached || x.Version != "1.1.0" {
			t.Errorf("status has %+v", x)
		}
	}
	first := f.next
	wantStored(t, f.host, first)

	f.offer(t, testhost.Spec{Version: "1.2.0", Extensions: map[string]int{"debug": 1000}})
	f.host.AddHealthCheck(t, "broken", "exit 1")
	f.update(t)
	f.boot(t, partitions.SlotA)
	f.attached(t)
	f.judge(t)
	wantStored(t, f.host, first, f.next)
	f.boot(t, partitions.SlotB)
	f.next = first
	f.attached(t)
	f.judge(t)

	// Those of a release that is in no slot any more go with the next one.
	f.host.AddHealthCheck(t, "broken", "exit 0")
	f.offer(t, testhost.Spec{Version: "1.3.0"})
	f.update(t)
	wantStored(t, f.host, first)
	f.boot(t, partitions.SlotA)
	f.judge(t)
	f.offer(t, testhost.Spec{Version: "1.4.0"})
	f.update(t)
	wantStored(t, f.host)
}

func TestARollbackBringsTheOldExtensions(t *testing.T) {
	f := extending(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	first := f.next
	f.offer(t, testhost.Spec{Version: "1.2.0", Extensions: map[string]int{"debug": 1000}})
	f.update(t)
	f.boot(t, partitions.SlotA)
	f.judge(t)
	if _, err := f.host.Updater(t, nil).Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.boot(t, partitions.SlotB)
	f.next = first
	f.attached(t)
}

func TestARollbackWithoutItsExtensionsIsRefused(t *testing.T) {
	f := extending(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	first := f.next
	f.offer(t, testhost.Spec{Version: "1.2.0"})
	f.update(t)
	f.boot(t, partitions.SlotA)
	f.judge(t)
	list := f.host.Path("extensions/" + manifests.HexBytes(first.Root.Hash[:]).String() + ".json")
	text, err := os.ReadFile(list)
	check(t, err)
	check(t, os.WriteFile(list, text[:len(text)/2], 0o600))
	_, err = f.host.Updater(t, nil).Rollback(t.Context())
	wantRefusal(t, err, "nobody knows which extensions slot b needs: "+list)
	check(t, os.WriteFile(list, text, 0o600))
	check(t, os.Remove(f.host.Path("extensions/"+first.Extensions.Extensions[0].Digest.Hex()+".raw")))
	_, err = f.host.Updater(t, nil).Rollback(t.Context())
	wantRefusal(t, err, "the extension debug 1.1.0 of slot b is not here any more")
}

// TestAReleaseWhoseExtensionsDoNotBelongToItIsRefused finds the slot that does not
// run as it was.
func TestAReleaseWhoseExtensionsDoNotBelongToItIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r *testhost.Release)
		config string
		want   string
	}{
		"another version": {func(r *testhost.Release) { r.Extensions.Version = "1.0.9" }, "", "extensions are for boat 1.0.9 on amd64: want boat 1.1.0"},
		"another image":   {func(r *testhost.Release) { r.Extensions.Extensions[0].Size++ }, "", "extension debug: 307201 bytes"},
		"no image": {func(r *testhost.Release) {
			r.Release.Artifacts = slices.DeleteFunc(r.Release.Artifacts, func(a manifests.Artifact) bool { return a.Name == "site.sysext.raw" })
		}, "", "the release has no artifact site.sysext.raw"},
		"nonsense":      {func(r *testhost.Release) { r.Extensions.Schema = 7 }, "", "schema 7"},
		"not wanted so": {func(*testhost.Release) {}, "extensions: [debug, tracing]\n", "it has no extension tracing, which this host is configured to want"},
	} {
		t.Run(name, func(t *testing.T) {
			f := extending(t)
			f.host.Configure(t, test.config)
			test.change(f.next)
			text := f.next.ExtensionsText(t)
			for i, a := range f.next.Release.Artifacts {
				if a.Name == manifests.ExtensionsFile {
					f.next.Release.Artifacts[i].Size, f.next.Release.Artifacts[i].Digest = int64(len(text)), manifests.DigestOf(text)
				}
			}
			f.next.More = append(f.next.More, text)
			f.repository = testhost.NewRepository(t)
			f.repository.Publish(t, f.next)
			f.host = testhost.New(t, f.repository, f.old)
			f.host.Configure(t, test.config)
			_, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
			wantRefusal(t, err, test.want)
			if s := f.status(t); s.Pending != nil || s.Installing != nil {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestAHostHasTheExtensionsThatItWants(t *testing.T) {
	f := extending(t)
	f.host.Configure(t, "extensions: [site]\n")
	f.update(t)
	f.boot(t, partitions.SlotB)
	if v := f.judge(t); v.Outcome != "committed" {
		t.Fatalf("verdict %+v", v)
	}
	site, _ := f.next.Extensions.Find("site")
	debug, _ := f.next.Extensions.Find("debug")
	wantAttached(t, f.host, site)
	if n := f.repository.Served(manifests.ArtifactPath(debug.Digest)); n > 0 {
		t.Errorf("%d bytes of what is not wanted were fetched", n)
	}
	if all := f.status(t).Extensions; len(all) != 2 || all[0].State != extensions.Unwanted || all[1].State != extensions.Attached {
		t.Errorf("status has %+v", all)
	}

	// What is wanted later comes with the next look at the repository.
	f.host.Configure(t, "")
	if problems := strings.Join(f.status(t).Problems, "; "); !strings.Contains(problems, "extension debug 1.1.0 is not here") {
		t.Errorf("problems: %s", problems)
	}
	done, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
	if err != nil || done.Result != updater.ResultUpToDate || done.Downloaded != debug.Size {
		t.Errorf("%+v, %v", done, err)
	}
	if problems := strings.Join(f.status(t).Problems, "; "); !strings.Contains(problems, "the next boot attaches it") {
		t.Errorf("problems: %s", problems)
	}
	f.boot(t, partitions.SlotB)
	wantAttached(t, f.host, debug)
	if problems := f.status(t).Problems; len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
}

func TestATrialWithoutAnExtensionGoesBack(t *testing.T) {
	f := extending(t)
	f.update(t)
	check(t, os.Remove(f.host.Path("extensions/"+f.next.Extensions.Extensions[0].Digest.Hex()+".raw")))
	f.boot(t, partitions.SlotB)
	if v := f.judge(t); v.Outcome != "went back" || !strings.Contains(v.Reason, "extension debug 1.1.0 is not attached: missing") {
		t.Errorf("verdict %+v", v)
	}
}

func TestAnExtensionThatWasCutIsGoneOnWith(t *testing.T) {
	f := extending(t)
	debug := f.next.Extensions.Extensions[0]
	path := "/" + manifests.ArtifactPath(debug.Digest)
	const first = 100 << 10
	cut, asked := true, 0
	f.repository.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path || !cut {
			return false
		}
		if asked++; asked > 1 {
			http.Error(w, "gone", http.StatusForbidden)
			return true
		}
		content, err := os.ReadFile(filepath.Join(f.repository.Dir, path))
		check(t, err)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		if r.Header.Get("Range") != "" {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(content[:first])
		check(t, http.NewResponseController(w).Flush())
		panic(http.ErrAbortHandler)
	}
	if _, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{}); err == nil || !strings.Contains(err.Error(), "fetching the extensions: extension debug") {
		t.Fatalf("the cut update: %v", err)
	}
	part := f.host.Path("extensions/" + debug.Digest.Hex() + ".part")
	info, err := os.Stat(part)
	if err != nil || info.Size() == 0 {
		t.Fatalf("nothing is left to go on with: %v", err)
	}
	if s := f.status(t); s.Pending != nil {
		t.Errorf("a trial is pending without its extensions: %+v", s.Pending)
	}
	cut = false
	f.repository.Served(strings.TrimPrefix(path, "/"))
	done := f.update(t)
	if n := f.repository.Served(strings.TrimPrefix(path, "/")); n != debug.Size-info.Size() {
		t.Errorf("the second attempt fetched %d bytes: want the %d that lacked", n, debug.Size-info.Size())
	}
	t.Logf("downloaded %d", done.Downloaded)
	f.boot(t, partitions.SlotB)
	f.attached(t)
}

func TestWhatIsLeftOfAnExtensionAndIsWrongIsFetchedAnew(t *testing.T) {
	f := extending(t)
	debug := f.next.Extensions.Extensions[0]
	check(t, os.MkdirAll(f.host.Path("extensions"), 0o755))
	for name, content := range map[string][]byte{".part": bytes.Repeat([]byte{7}, 1000), ".raw": bytes.Repeat([]byte{7}, int(debug.Size))} {
		check(t, os.WriteFile(f.host.Path("extensions/"+debug.Digest.Hex()+name), content, 0o600))
	}
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.attached(t)
}

func TestAnExtensionThatIsNotWhatWasSignedIsNotArmed(t *testing.T) {
	f := extending(t)
	debug := f.next.Extensions.Extensions[0]
	f.repository.Write(t, manifests.ArtifactPath(debug.Digest), bytes.Repeat([]byte{7}, int(debug.Size)))
	_, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
	var untrusted *updater.UntrustedError
	if !errors.As(err, &untrusted) || !strings.Contains(err.Error(), "extension debug") {
		t.Errorf("%v: want it not trusted", err)
	}
	if s := f.status(t); s.Pending != nil {
		t.Errorf("a trial is pending: %+v", s.Pending)
	}
	wantStored(t, f.host)
}

// full is a disk that has no room for extensions.
type full struct{ hostfs.OS }

func (d full) Create(name string) (hostfs.File, error) {
	f, err := d.OS.Create(name)
	if err == nil && strings.HasSuffix(name, ".part") && strings.Contains(name, "extensions/") && !strings.HasSuffix(name, ".json.part") {
		return fullFile{f}, nil
	}
	return f, err
}

type fullFile struct{ hostfs.File }

func (f fullFile) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > 4096 {
		return 0, unix.ENOSPC
	}
	return f.File.WriteAt(p, off)
}

func TestAFullDiskGetsItsSpaceBackAndTheCommittedSlotStays(t *testing.T) {
	f := extending(t)
	_, err := f.host.Updater(t, full{}).Update(t.Context(), updater.UpdateOptions{})
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("%v: want %v", err, unix.ENOSPC)
	}
	wantStored(t, f.host)
	f.boot(t, partitions.SlotA)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.attached(t)
}

func TestExtensionsThatCannotFitAreRefusedBeforeTheSlotIsGivenUp(t *testing.T) {
	f := newFleet(t)
	f.next = testhost.NewRelease(t, testhost.Spec{Version: "1.1.0", Extensions: map[string]int{"debug": 1000}})
	// No disk has that much.
	f.next.Extensions.Extensions[0].Size = 1 << 49
	text := f.next.ExtensionsText(t)
	for i, a := range f.next.Release.Artifacts {
		switch a.Name {
		case manifests.ExtensionsFile:
			f.next.Release.Artifacts[i].Size, f.next.Release.Artifacts[i].Digest = int64(len(text)), manifests.DigestOf(text)
		case "debug.sysext.raw":
			f.next.Release.Artifacts[i].Size = 1 << 49
		}
	}
	f.next.More = append(f.next.More, text)
	f.repository.Publish(t, f.next)
	_, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
	wantRefusal(t, err, "bytes free: its extensions need")
	if s := f.status(t); s.Installing != nil {
		t.Errorf("status %+v", s.Installing)
	}
}

func TestAPlanCountsWhatExtensionsCost(t *testing.T) {
	f := extending(t)
	p, err := f.host.Updater(t, nil).Plan(t.Context())
	check(t, err)
	if want := int64(300<<10 + 5000); p.Download.Extensions != want || p.Download.Total < want {
		t.Errorf("plan %+v: want %d bytes for extensions", p.Download, want)
	}
}

func TestAMachineFromTheFactoryGetsItsExtensions(t *testing.T) {
	repository := testhost.NewRepository(t)
	release := testhost.NewRelease(t, testhost.Spec{Version: "1.0.0", Extensions: map[string]int{"debug": 5000}})
	repository.Publish(t, release)
	f := &fleet{repository: repository, next: release, host: testhost.New(t, repository, release)}
	check(t, f.host.Updater(t, nil).CompleteExtensions(t.Context()))
	wantStored(t, f.host, release)
	path := manifests.ArtifactPath(release.Extensions.Extensions[0].Digest)
	repository.Served(path)
	check(t, f.host.Updater(t, nil).CompleteExtensions(t.Context()))
	if n := repository.Served(path); n > 0 {
		t.Errorf("%d bytes were fetched once more", n)
	}
	f.boot(t, partitions.SlotA)
	f.attached(t)

	// The next update keeps them for the way back.
	f.offer(t, testhost.Spec{Version: "1.1.0"})
	f.update(t)
	wantStored(t, f.host, release)
}
