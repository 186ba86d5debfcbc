package updater_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/testhost"
)

// withKernel is a release of a root image that has the kernel as a file, as its
// transport says.
func withKernel(t testing.TB, version manifests.Version, kernel []byte) *testhost.Release {
	t.Helper()
	const at = 5 * verity.BlockSize
	image := testhost.Content(string(version), 150*verity.BlockSize)
	copy(image[at:], kernel)
	r := testhost.FromImage(t, testhost.Spec{Version: version}, image)
	r.UKI = testhost.NewUKI("quiet "+cmdline.Boot{Root: r.Root}.String(), kernel)
	file := manifests.FetchFile{Size: int64(len(r.UKI)), Digest: manifests.DigestOf(r.UKI)}
	for n := range r.Release.Artifacts {
		if a := &r.Release.Artifacts[n]; a.Name == manifests.UKIFile {
			a.Size, a.Digest = file.Size, file.Digest
		}
	}
	r.Transport.UKI = manifests.UKI{FetchFile: file}
	cuts, err := ukifile.Cuts(bytes.NewReader(r.UKI), file.Size)
	check(t, err)
	for n, from := range cuts[:len(cuts)-1] {
		content := r.UKI[from:cuts[n+1]]
		part := manifests.UKIPart{Size: int64(len(content)), Digest: manifests.DigestOf(content), Root: -1}
		if bytes.Equal(content, kernel) {
			part.Root = at
		}
		r.Transport.UKI.Parts = append(r.Transport.UKI.Parts, part)
	}
	return r
}

// kernelFleet is a fleet of two such releases.
func kernelFleet(t testing.TB, old, next []byte) *fleet {
	t.Helper()
	f := &fleet{repository: testhost.NewRepository(t), old: withKernel(t, "1.0.0", old), next: withKernel(t, "1.1.0", next)}
	f.host = testhost.New(t, f.repository, f.old)
	f.host.Know(f.next)
	f.repository.Publish(t, f.next)
	return f
}

func TestOfAKernelImageOnlyWhatIsNowhereElseIsFetched(t *testing.T) {
	const size = 100 << 10
	kernel, other := testhost.Content("kernel", size), testhost.Content("other kernel", size)
	for name, test := range map[string]struct {
		old, next []byte
		disturb   func(f *fleet)
		whole     bool // nearly all of it is fetched
		noted     bool // because its parts do not make it
	}{
		"the kernel that runs":         {old: kernel, next: kernel},
		"a kernel of the new root":     {old: other, next: kernel},
		"a kernel that is not in root": {old: other, next: kernel, whole: true, disturb: func(f *fleet) { f.next.Transport.UKI.Parts[3].Root -= verity.BlockSize }},
		"no kernel image to take from": {old: kernel, next: kernel, disturb: func(f *fleet) {
			check(t, os.Truncate(f.host.Path("esp/EFI/Linux/proa-a.efi"), 700))
		}},
		"a part that nobody has": {old: other, next: kernel, whole: true, disturb: func(f *fleet) {
			f.next.Transport.UKI.Parts[3].Digest = f.old.Transport.UKI.Digest
		}},
		"parts that make another file": {old: kernel, next: kernel, whole: true, noted: true, disturb: func(f *fleet) {
			parts := f.next.Transport.UKI.Parts
			parts[1], parts[2] = parts[2], parts[1]
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := kernelFleet(t, test.old, test.next)
			if test.disturb != nil {
				test.disturb(f)
				f.repository.Publish(t, f.next)
			}
			uki := manifests.ArtifactPath(f.next.Transport.UKI.Digest)
			f.repository.Served(uki)
			done := f.update(t)
			if noted := strings.Contains(strings.Join(done.Notes, "; "), "the kernel image was fetched whole"); noted != test.noted {
				t.Errorf("notes %q", done.Notes)
			}
			served := f.repository.Served(uki)
			if whole := served >= size; whole != test.whole {
				t.Errorf("%d bytes of %d were fetched", served, len(f.next.UKI))
			}
			got, err := os.ReadFile(f.host.Path("esp/EFI/Linux/proa-b.efi"))
			check(t, err)
			if !bytes.Equal(got, f.next.UKI) {
				t.Error("the kernel image is another one")
			}
			f.boot(t, partitions.SlotB)
		})
	}
}

func TestPartsOfAKernelImageThatWereFetchedBeforeACutStay(t *testing.T) {
	const size = 100 << 10
	f := kernelFleet(t, testhost.Content("other kernel", size), testhost.Content("kernel", size))
	for n := range f.next.Transport.UKI.Parts {
		f.next.Transport.UKI.Parts[n].Root = -1
	}
	f.repository.Publish(t, f.next)
	begun := bytes.Clone(f.next.UKI)
	clear(begun[:1024]) // with the command line, which no other has
	check(t, os.WriteFile(f.host.Path("state/uki.download"), begun, 0o600))
	uki := manifests.ArtifactPath(f.next.Transport.UKI.Digest)
	f.repository.Served(uki)
	f.update(t)
	if served := f.repository.Served(uki); served == 0 || served >= size {
		t.Errorf("%d bytes were fetched", served)
	}
}

// What was looked at before must be what is installed: here parts that were put
// together are of a kernel image that boots the release, and that one is of another.
func TestAKernelImageThatIsFetchedWholeAfterAllIsLookedAtToo(t *testing.T) {
	kernel := testhost.Content("kernel", 100<<10)
	f := kernelFleet(t, kernel, kernel)
	parts, good := f.next.Transport.UKI.Parts, f.next.UKI
	f.next.UKI = testhost.NewUKI("quiet "+cmdline.Boot{Root: f.old.Root}.String(), kernel)
	uki := &f.next.Release.Artifacts[2]
	uki.Size, uki.Digest = int64(len(f.next.UKI)), manifests.DigestOf(f.next.UKI)
	f.next.Transport.UKI = manifests.UKI{FetchFile: manifests.FetchFile{Size: uki.Size, Digest: uki.Digest}, Parts: parts}
	f.repository.Publish(t, f.next)
	check(t, os.WriteFile(f.host.Path("state/uki.download"), good, 0o600))
	_, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
	var refusal *updater.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "its kernel image boots root hash") {
		t.Errorf("error %v, want it refused", err)
	}
	if _, err := os.Stat(f.host.Path("esp/EFI/Linux/proa-b.efi")); err == nil {
		t.Error("it was installed")
	}
	f.boot(t, partitions.SlotA)
}
