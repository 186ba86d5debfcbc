package formats

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// Some time passes between the two, which the programs would write down.
func TestTheSameReleaseGivesTheSameBytes(t *testing.T) {
	folder := newRelease(t)
	// Raw is a copy; OVA and GCE have what VMDK and AWS are.
	for _, format := range []Format{Zstd, QCOW2, VHD, OVA, GCE, ISO, PXE} {
		first := digests(t, converted(t, folder, format))
		t.Setenv("TZ", "Asia/Tokyo")
		mask := syscall.Umask(0o077)
		second := digests(t, converted(t, folder, format))
		syscall.Umask(mask)
		if !slices.Equal(first, second) {
			t.Errorf("%s: %q, then %q", format, first, second)
		}
	}
}

// digests are those of a file or of all files in a folder.
func digests(t *testing.T, path string) []string {
	t.Helper()
	out := run(t, "sh", "-c", "cd "+filepath.Dir(path)+" && find "+filepath.Base(path)+" -type f -exec sha256sum {} +")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return lines
}

// stopper ends a context when a step begins.
type stopper struct {
	at   string
	stop func()
}

func (s stopper) Step(name string, total int64) progress.Step {
	if strings.HasPrefix(name, s.at) {
		s.stop()
	}
	return progress.Silent().Step(name, total)
}

func TestAConversionThatEndsEarlyLeavesNothing(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	for format, at := range map[Format]string{
		Raw: "write", Zstd: "write", QCOW2: "qemu-img", VHD: "digest", OVA: "write ova", GCE: "write", ISO: "xorriso", PXE: "pack",
	} {
		ctx, stop := context.WithCancel(t.Context())
		parent := t.TempDir()
		_, err := tryConvert(ctx, Config{Release: folder, Format: format, Output: filepath.Join(parent, "out"), Progress: stopper{at, stop}})
		stop()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want %v", format, err, context.Canceled)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", format, left, err)
		}
	}
}

func TestWhatIsThereIsReplacedOnlyWhenAskedAndOnlyByItsLike(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	for _, format := range []Format{Raw, PXE} {
		out := converted(t, folder, format)
		c := Config{Release: folder, Format: format, Output: out}
		if _, err := tryConvert(t.Context(), c); !errors.Is(err, ErrExists) {
			t.Errorf("%s again: got %v, want %v", format, err, ErrExists)
		}
		c.Replace = true
		if _, err := tryConvert(t.Context(), c); err != nil {
			t.Errorf("%s: replacing: %v", format, err)
		}
		if left, err := os.ReadDir(filepath.Dir(out)); err != nil || len(left) != 1 {
			t.Errorf("%s: %v is there, %v", format, left, err)
		}
		other := map[Format]Format{Raw: PXE, PXE: Raw}[format]
		c.Format = other
		if _, err := tryConvert(t.Context(), c); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "nothing that a conversion to "+string(other)+" made") {
			t.Errorf("%s in the place of %s: got %v", other, format, err)
		}
	}
	mine := filepath.Join(t.TempDir(), "mine")
	check(t, os.MkdirAll(filepath.Join(mine, "photos"), 0o755))
	if _, err := tryConvert(t.Context(), Config{Release: folder, Format: PXE, Output: mine, Replace: true}); !errors.Is(err, ErrExists) {
		t.Errorf("somebody's folder: got %v, want %v", err, ErrExists)
	}
}

func TestBadInputIsRefusedByName(t *testing.T) {
	t.Parallel()
	folder := newRelease(t)
	spoil := func(name string, change func([]byte) []byte) string {
		other := filepath.Join(t.TempDir(), "spoilt")
		check(t, os.CopyFS(other, os.DirFS(folder)))
		content, err := os.ReadFile(filepath.Join(other, name))
		check(t, err)
		check(t, os.WriteFile(filepath.Join(other, name), change(content), 0o644))
		return other
	}
	flip := func(content []byte) []byte {
		content[len(content)/2] ^= 1
		return content
	}
	for _, test := range []struct {
		want string
		c    Config
	}{
		{`format "vdi": want one of raw, raw.zst, qcow2`, Config{Format: "vdi"}},
		{"format qcow2 takes no words", Config{Format: QCOW2, Words: []string{"quiet"}}},
		{"format raw has nothing to sign", Config{Format: Raw, Sign: func(program []byte) ([]byte, error) { return program, nil }}},
		{"the key is in a drawer", Config{Format: PXE, Sign: func([]byte) ([]byte, error) { return nil, errors.New("the key is in a drawer") }}},
		{"format iso needs the proa program", Config{Format: ISO, Installer: []byte{}}},
		{`word "a b": want one word`, Config{Format: PXE, Words: []string{"a b"}}},
		{`word "": want one word`, Config{Format: PXE, Words: []string{""}}},
		{"proa.verity", Config{Format: PXE, Words: []string{"proa.verity=off"}}},
		{"it takes 2047", Config{Format: PXE, Words: []string{strings.Repeat("x", 2047)}}},
		{"no release.json", Config{Format: Raw, Release: t.TempDir()}},
		{"check release: disk.raw has", Config{Format: Raw, Release: spoil(manifests.DiskFile, flip)}},
		{"check release: root.erofs has", Config{Format: ISO, Release: spoil(manifests.RootFile, flip)}},
		{"check release: loader.efi has", Config{Format: PXE, Release: spoil(manifests.LoaderFile, flip)}},
		{"has no layout.json", Config{Format: Raw, Release: spoil(manifests.ReleaseFile, func(content []byte) []byte {
			return []byte(strings.Replace(string(content), manifests.LayoutFile, "lay.out", 1))
		})}},
	} {
		parent := t.TempDir()
		if test.c.Release == "" {
			test.c.Release = folder
		}
		test.c.Output = filepath.Join(parent, "out")
		if _, err := tryConvert(t.Context(), test.c); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", test.want, left, err)
		}
	}
}

func TestAMissingProgramIsNamedBeforeAnythingIsDone(t *testing.T) {
	folder := newRelease(t)
	t.Setenv("PATH", t.TempDir())
	for format, want := range map[Format]string{QCOW2: "qemu-utils", VHD: "qemu-utils", VMDK: "qemu-utils", OVA: "qemu-utils", ISO: "xorriso"} {
		parent := t.TempDir()
		_, err := tryConvert(t.Context(), Config{Release: folder, Format: format, Output: filepath.Join(parent, "new", "out")})
		var missing *MissingError
		if !errors.As(err, &missing) || missing.Package != want {
			t.Errorf("%s: got %v, want that %s is missing", format, err, want)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", format, left, err)
		}
	}
	if path, err := tryConvert(t.Context(), Config{Release: folder, Format: Raw, Output: filepath.Join(t.TempDir(), "out")}); err != nil {
		t.Errorf("%s needs no program: %v", path, err)
	}
}

func TestAProgramThatFailsIsQuoted(t *testing.T) {
	folder, bin := newRelease(t), t.TempDir()
	script := "#!/bin/sh\nprintf '    (5.00/100%%)\\r' >&2; echo 'no space for clusters' >&2; exit 3\n"
	check(t, os.WriteFile(filepath.Join(bin, "qemu-img"), []byte(script), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	_, err := tryConvert(t.Context(), Config{Release: folder, Format: QCOW2, Output: filepath.Join(t.TempDir(), "out")})
	if want := "write qcow2: qemu-img: exit status 3: no space for clusters"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

// told adds up what is told to a step.
type told struct {
	progress.Step
	sum int64
}

func (s *told) Add(n int64) { s.sum += n }

func TestPercentsOfProgramsAreProgress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		p       program
		printed []string
		want    int64
	}{
		{qemuImg, []string{"    (0.00/100%)\r", "    (33.", "33/100%)\r    (100.00/100%)\r\n"}, 100},
		{xorriso, []string{"xorriso : UPDATE :  44.26% done\n", "Writing to 'x' completed.\n"}, 44},
		{xorriso, []string{"% done", "-5% done", "1e9% done", "abc% done"}, 0},
	} {
		step := &told{}
		f := follower{marker: []byte(test.p.percent), step: step}
		for _, text := range test.printed {
			_, err := f.Write([]byte(text))
			check(t, err)
		}
		if step.sum != test.want {
			t.Errorf("%s: %q told %d, want %d", test.p.name, test.printed, step.sum, test.want)
		}
	}
}

func FuzzFollower(f *testing.F) {
	f.Add("    (33.33/100%)\r", "xorriso : UPDATE :  44.26% done\n")
	f.Add("(", "/100%")
	f.Fuzz(func(t *testing.T, first, second string) {
		step := &told{}
		f := follower{marker: []byte(qemuImg.percent), step: step}
		for _, text := range []string{first, second} {
			if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatalf("wrote %d of %d bytes, %v", n, len(text), err)
			}
		}
		if step.sum < 0 || step.sum > 100 || len(f.last()) > 4000 {
			t.Errorf("told %d percent, and quotes %d bytes", step.sum, len(f.last()))
		}
	})
}
