package grubenv

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// editenv runs GRUB's own tool.
func editenv(t testing.TB, file string, args ...string) string {
	t.Helper()
	out, err := exec.Command("grub-editenv", append([]string{file}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("grub-editenv %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	check(t, err)
	return raw
}

func TestNewBlockIsTheOneThatGRUBMakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "grubenv")
	editenv(t, file, "create")
	if got, want := New().Bytes(), read(t, file); !bytes.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// The names are prefixes of each other, and the values need all escapes.
var (
	someNames  = []string{"a", "aa", "ab", "proa_once", "saved_entry"}
	someValues = []string{"", "0", "b", "gnulinux-advanced>x", `back\slash`, `end\`, "two\nlines", "\n", "#", "a=b", `\`, strings.Repeat("x", 470)}
)

func TestEveryEditGivesTheBytesOfGRUBsOwnTool(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "grubenv")
	random := rand.New(rand.NewPCG(1, 2))
	full := 0
	for range 2 {
		editenv(t, file, "create")
		b := New()
		for range 40 {
			name, value := someNames[random.IntN(len(someNames))], someValues[random.IntN(len(someValues))]
			if random.IntN(4) == 0 {
				b.Unset(name)
				editenv(t, file, "unset", name)
			} else if err := b.Set(name, value); err == nil {
				editenv(t, file, "set", name+"="+value)
			} else if out, theirs := exec.Command("grub-editenv", file, "set", name+"="+value).CombinedOutput(); theirs == nil {
				t.Fatalf("set %s to %q: %v, but GRUB says %q", name, value, err, out)
			} else if full++; !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			if got, want := b.Bytes(), read(t, file); !bytes.Equal(got, want) {
				t.Fatalf("after %s=%q:\ngot\n%q\nwant\n%q", name, value, got, want)
			}
			back, err := Parse(read(t, file))
			check(t, err)
			var list strings.Builder
			for _, name := range back.Names() {
				value, _ := back.Get(name)
				fmt.Fprintf(&list, "%s=%s\n", name, value)
			}
			if got, want := list.String(), editenv(t, file, "list"); got != want {
				t.Fatalf("read\n%q\nwant\n%q", got, want)
			}
		}
	}
	if full == 0 {
		t.Error("no block was ever full")
	}
}

// block is content with signature and padding.
func block(lines string) []byte {
	raw := []byte(signature + lines)
	return append(raw, bytes.Repeat([]byte("#"), Size-len(raw))...)
}

func TestDamagedBlockIsRefusedByTheRuleItBreaks(t *testing.T) {
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"empty":         {nil, "0 bytes: want 1024"},
		"one sector":    {block("")[:512], "512 bytes"},
		"longer":        {append(block(""), '#'), "1025 bytes"},
		"zeros":         {make([]byte, Size), "it begins with"},
		"no equals":     {block("abc\n"), "want NAME=VALUE"},
		"empty line":    {block("a=1\n\nb=2\n"), "want NAME=VALUE"},
		"no name":       {block("=1\n"), "variable name"},
		"twice":         {block("a=1\nb=1\na=2\n"), `"a" is there twice`},
		"no newline":    {block("a=1"), "behind the last whole line"},
		"NUL":           {block("a=\x001\n"), "a NUL"},
		"zeroed sector": {append(block("a=1\n")[:512], make([]byte, 512)...), "at byte 512"},
		"torn":          {append(block("x=1\nb=" + strings.Repeat("y", 600) + "\n")[:512], block("")[512:]...), "behind the last whole line"},
		"open escape":   {append(block("")[:Size-2], "\\\n"...), "behind the last whole line"},
	} {
		if _, err := Parse(test.raw); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v: want one with %q", name, err, test.want)
		}
	}
}

func TestNamesAndValuesThatCannotBeWrittenAreRefused(t *testing.T) {
	b := New()
	for _, name := range []string{"", "a=b", "#a", "a\nb", `a\`, "a\x00"} {
		if err := b.Set(name, "1"); err == nil {
			t.Errorf("set %q", name)
		}
	}
	if err := b.Set("a", "\x00"); err == nil {
		t.Error("set a NUL")
	}
	if !bytes.Equal(b.Bytes(), New().Bytes()) {
		t.Error("the block changed")
	}
}

// newFile is a recorded file whose variables are of one letter, but for one
// that reaches into the second sector.
func newFile(t testing.TB) (File, *powercut.Recorder) {
	t.Helper()
	dir := t.TempDir()
	b := New()
	check(t, b.Set("one", "0"))
	check(t, b.Set("long", strings.Repeat("x", 500)))
	check(t, b.Set("late", "0"))
	check(t, os.WriteFile(filepath.Join(dir, "grubenv"), b.Bytes(), 0o600))
	recorder := &powercut.Recorder{Dir: dir}
	return File{recorder, filepath.Join(dir, "grubenv")}, recorder
}

func TestChangeIsOneWriteOfTheFirstSectorInPlace(t *testing.T) {
	f, recorder := newFile(t)
	for range 2 { // the second time, nothing is new
		b, err := f.Read()
		check(t, err)
		check(t, b.Set("one", "b"))
		check(t, f.Write(b))
	}
	var did []string
	for _, op := range recorder.Ops() {
		did = append(did, op.String())
	}
	if want := []string{"write grubenv 0+512", "sync grubenv", "write grubenv 0+512", "sync grubenv"}; !slices.Equal(did, want) {
		t.Errorf("did %q: want %q", did, want)
	}
	if got, want := editenv(t, f.Path, "list"), "one=b\nlong="+strings.Repeat("x", 500)+"\nlate=0\n"; got != want {
		t.Errorf("GRUB reads %q", got)
	}
}

func TestChangeThatReachesTheSecondSectorWritesNothing(t *testing.T) {
	for name, change := range map[string]func(*Block) error{
		"longer":       func(b *Block) error { return b.Set("one", "bb") },
		"shorter":      func(b *Block) error { return b.Set("one", "") },
		"new":          func(b *Block) error { return b.Set("new", "1") },
		"removed":      func(b *Block) error { b.Unset("one"); return nil },
		"in the other": func(b *Block) error { return b.Set("late", "1") },
	} {
		f, recorder := newFile(t)
		b, err := f.Read()
		check(t, err)
		check(t, change(b))
		if err := f.Write(b); !errors.Is(err, ErrMoves) {
			t.Errorf("%s: %v", name, err)
		}
		if ops := recorder.Ops(); len(ops) > 0 {
			t.Errorf("%s: did %v", name, ops)
		}
	}
}

func TestFirstSectorEndsAtByte512(t *testing.T) {
	b := New()
	room := SectorSize - len(b.Bytes()[:bytes.Index(b.Bytes(), []byte("##"))]) - len("a=\n")
	for length, want := range map[int]bool{room: true, room + 1: false} {
		check(t, b.Set("a", strings.Repeat("x", length)))
		if got := b.InFirstSector("a"); got != want {
			t.Errorf("a value of %d bytes: %v", length, got)
		}
	}
	if b.InFirstSector("b") {
		t.Error("a variable that is not there is in the first sector")
	}
}

// cached is a medium that loses what was written, behind a cache that shows it
// until it is dropped.
type cached struct {
	hostfs.OS
	content []byte
}

type cachedFile struct {
	hostfs.File
	cache *cached
}

func (c *cached) OpenWritable(name string) (hostfs.File, error) {
	f, err := c.OS.Open(name)
	return cachedFile{f, c}, err
}

func (c *cached) Open(name string) (hostfs.File, error) {
	f, err := c.OS.Open(name)
	return cachedFile{f, c}, err
}

func (f cachedFile) WriteAt(p []byte, _ int64) (int, error) {
	f.cache.content = bytes.Clone(p)
	return len(p), nil
}

func (f cachedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if off < int64(len(f.cache.content)) {
		copy(p[:n], f.cache.content[off:])
	}
	return n, err
}

func (f cachedFile) Sync() error { return nil }

func (f cachedFile) Drop(int64, int64) error {
	f.cache.content = nil
	return nil
}

func TestWriteThatTheMediumLosesIsAnError(t *testing.T) {
	f, _ := newFile(t)
	f.FS = &cached{}
	b, err := f.Read()
	check(t, err)
	check(t, b.Set("one", "b"))
	if err := f.Write(b); err == nil || !strings.Contains(err.Error(), "did not keep") {
		t.Errorf("write: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New().Bytes())
	f.Add(block("a=1\nb=x\\\ny\\\\\n# c\n"))
	f.Add(block("a=1\na=2"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Parse(raw)
		if err != nil {
			if !errors.Is(err, ErrDamaged) || len(err.Error()) > 8<<10 {
				t.Fatalf("error %v", err)
			}
			return
		}
		if !bytes.Equal(b.Bytes(), raw) {
			t.Fatalf("wrote %q for %q", b.Bytes(), raw)
		}
		for _, name := range b.Names() {
			value, ok := b.Get(name)
			if !ok {
				t.Fatalf("no %q", name)
			}
			before := b.Bytes()
			if err := b.Set(name, value); err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			// A backslash before any other character is not how we write it.
			if again, _ := b.Get(name); again != value {
				t.Fatalf("%s=%q became %q in %q", name, value, again, before)
			}
		}
		if _, err := Parse(b.Bytes()); err != nil {
			t.Fatal(err)
		}
	})
}
