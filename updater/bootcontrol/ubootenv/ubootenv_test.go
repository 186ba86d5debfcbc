package ubootenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

const (
	testSize   = 0x400
	deviceSize = 8 << 10
)

// newStore is an environment of mkenvimage's making, of as many copies as
// offsets, in one file or, without offsets, in two files; and its fw_env.config.
func newStore(t testing.TB, text string, offsets ...int64) (Store, string) {
	t.Helper()
	dir := t.TempDir()
	in, image, config := filepath.Join(dir, "in"), filepath.Join(dir, "image"), filepath.Join(dir, "fw_env.config")
	check(t, os.WriteFile(in, []byte(text), 0o600))
	args := []string{"-s", fmt.Sprint(testSize), "-o", image}
	if len(offsets) != 1 {
		args = append(args, "-r")
	}
	run(t, "mkenvimage", append(args, in)...)
	raw, err := os.ReadFile(image)
	check(t, err)
	var lines string
	device := make([]byte, deviceSize)
	for _, offset := range offsets {
		lines += fmt.Sprintf("%s %#x 0x%x\n", filepath.Join(dir, "device"), offset, testSize)
		copy(device[offset:], raw)
	}
	check(t, os.WriteFile(filepath.Join(dir, "device"), device, 0o600))
	if len(offsets) == 0 {
		for _, name := range []string{"uboot.env", "uboot-redund.env"} {
			check(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
			lines += fmt.Sprintf("%s 0x0 %x\n", filepath.Join(dir, name), testSize)
		}
	}
	check(t, os.WriteFile(config, []byte("# of a test\n\n"+lines), 0o600))
	places, err := ParseConfig([]byte(lines))
	check(t, err)
	return Store{&powercut.Recorder{Dir: dir}, places}, config
}

// list is the variables as fw_printenv prints them, by name.
func list(e *Environment) string {
	names := e.Names()
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s=%s\n", name, e.Get(name))
	}
	return b.String()
}

func printenv(t testing.TB, config string) string {
	t.Helper()
	lines := strings.SplitAfter(run(t, "fw_printenv", "-c", config), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestWhatMkenvimageMakesIsRead(t *testing.T) {
	for name, offsets := range map[string][]int64{"single": {0}, "redundant": {0, 0x1000}, "files": nil} {
		s, config := newStore(t, "b=2\na=1=2\nlong="+strings.Repeat("x", 500)+"\n", offsets...)
		e, err := s.Read()
		check(t, err)
		if got, want := list(e), printenv(t, config); got != want || !strings.Contains(got, "a=1=2\n") {
			t.Errorf("%s: read\n%s\nfw_printenv\n%s", name, got, want)
		}
	}
}

func TestWritesTakeTurnsWithUBootsOwnTool(t *testing.T) {
	t.Parallel()
	for name, offsets := range map[string][]int64{"offsets": {0x200, 0x1000}, "files": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, config := newStore(t, "kept=by others\nbootlimit=3\n", offsets...)
			random := rand.New(rand.NewPCG(3, 4))
			for range 20 {
				key, value := []string{"a", "ab", "proa_once"}[random.IntN(3)], []string{"", "1", "a longer = value"}[random.IntN(3)]
				if random.IntN(2) == 0 {
					run(t, "fw_setenv", "-c", config, key, value)
				} else {
					e, err := s.Read()
					check(t, err)
					check(t, e.Set(key, value))
					check(t, s.Write(e))
				}
				e, err := s.Read()
				check(t, err)
				if got, want := list(e), printenv(t, config); got != want || e.Get(key) != value || e.Get("kept") != "by others" {
					t.Fatalf("%s=%q: read\n%s\nfw_printenv\n%s", key, value, got, want)
				}
			}
		})
	}
}

// copies writes two copies with their counts; a negative one is damaged.
func copies(t testing.TB, s Store, counts ...int) {
	t.Helper()
	for i, count := range counts {
		e := &Environment{room: testSize - headerRedundant}
		check(t, e.Set("copy", fmt.Sprint(i)))
		raw := e.image(byte(count), testSize)
		if count < 0 {
			raw[100] ^= 1
		}
		check(t, os.WriteFile(s.Places[i].Path, raw, 0o600))
	}
}

func TestCopyInForceIsTheOneThatUBootsToolTakes(t *testing.T) {
	t.Parallel()
	for _, counts := range [][]int{{1, 1}, {1, 2}, {2, 1}, {0, 255}, {255, 0}, {254, 255}, {255, 254}, {255, 1}, {1, 255}, {0, 0}, {-1, 0}, {0, -1}} {
		s, config := newStore(t, "x=1\n")
		copies(t, s, counts...)
		e, err := s.Read()
		check(t, err)
		if got, want := list(e), printenv(t, config); got != want {
			t.Errorf("counts %d: read %q, fw_printenv %q", counts, got, want)
		}
		// The next write is in force, and leaves what was so.
		active := e.Get("copy")
		check(t, e.Set("new", "1"))
		check(t, s.Write(e))
		if got := printenv(t, config); got != "copy="+active+"\nnew=1\n" {
			t.Errorf("counts %d: after a write fw_printenv says %q", counts, got)
		}
		if ops := s.FS.(*powercut.Recorder).Ops(); strings.HasSuffix(ops[0].Name, filepath.Base(s.Places[active[0]-'0'].Path)) {
			t.Errorf("counts %d: wrote over the copy in force", counts)
		}
	}
}

func TestWriteIsOneOfTheOtherCopyThenASync(t *testing.T) {
	s, _ := newStore(t, "a=1\n", 0, 0x1000)
	e, err := s.Read()
	check(t, err)
	check(t, s.Write(e))
	var did []string
	for _, op := range s.FS.(*powercut.Recorder).Ops() {
		did = append(did, op.String())
	}
	if want := []string{"write device 4096+1024", "sync device"}; !slices.Equal(did, want) {
		t.Errorf("did %q: want %q", did, want)
	}
}

func TestEnvironmentWithoutASecondCopyIsOnlyRead(t *testing.T) {
	s, _ := newStore(t, "a=1\n", 0)
	e, err := s.Read()
	check(t, err)
	if err := s.Write(e); !errors.Is(err, ErrNotRedundant) {
		t.Errorf("write: %v", err)
	}
	if ops := s.FS.(*powercut.Recorder).Ops(); len(ops) > 0 {
		t.Errorf("did %v", ops)
	}
}

// seal is a redundant copy with a body and the CRC of it.
func seal(body []byte) []byte {
	raw := make([]byte, testSize)
	copy(raw[headerRedundant:], body)
	binary.LittleEndian.PutUint32(raw, crc32.ChecksumIEEE(raw[headerRedundant:]))
	return raw
}

func TestDamagedEnvironmentIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"zeros":         {make([]byte, testSize), "another CRC"},
		"no end":        {seal(bytes.Repeat([]byte("a=1\x00"), testSize)[:testSize-headerRedundant]), "two NULs"},
		"no equals":     {seal([]byte("abc\x00\x00")), "want NAME=VALUE"},
		"no name":       {seal([]byte("=1\x00\x00")), "want NAME=VALUE"},
		"too short":     {seal(nil)[:100], "has 100 bytes"},
		"not there now": {nil, "no such file"},
	} {
		s, _ := newStore(t, "x=1\n")
		for _, place := range s.Places {
			check(t, os.Remove(place.Path))
			if test.raw != nil {
				check(t, os.WriteFile(place.Path, test.raw, 0o600))
			}
		}
		_, err := s.Read()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v: want one with %q", name, err, test.want)
		}
		if err := s.Write(&Environment{room: testSize}); name != "no end" && name[:2] != "no" && err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func TestEnvironmentHasAnEnd(t *testing.T) {
	s, config := newStore(t, "a=1\n")
	e, err := s.Read()
	check(t, err)
	room := testSize - headerRedundant - len("a=1\x00") - len("b=\x00\x00")
	if err := e.Set("b", strings.Repeat("x", room+1)); !errors.Is(err, ErrFull) {
		t.Errorf("one more than fits: %v", err)
	}
	if e.Get("b") != "" {
		t.Error("it was set all the same")
	}
	check(t, e.Set("b", strings.Repeat("x", room)))
	check(t, s.Write(e))
	if got := printenv(t, config); got != list(e) {
		t.Errorf("fw_printenv %q", got)
	}
	for _, name := range []string{"", "a=b", "a\x00"} {
		if err := e.Set(name, "1"); err == nil {
			t.Errorf("set %q", name)
		}
	}
}

func TestConfigIsRefusedByTheRuleItBreaks(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "names 0 places",
		"# /dev/a 0 400\n":                       "names 0 places",
		"/a 0 400\n/b 0 400\n/c 0 400":           "names 3 places",
		"/a 0":                                   "2 columns",
		"/a 0 400 400 1 0":                       "6 columns",
		"a 0 400":                                "absolute path",
		"/dev/mtd1 0 4000 4000":                  "raw flash",
		"/dev/ubi0:env 0 1f000":                  "raw flash",
		"/dev/../dev/mtd1 0 4000":                "raw flash",
		"/a x 400":                               `offset "x"`,
		"/a 0x7fffffffffffffff 400":              "offset",
		"/a 0 400g":                              "size",
		"/a 0 6":                                 "size",
		"/a 0 100001":                            "size",
		"/a 0 -400":                              "size",
		"/a 0 400\n/b 0 800":                     "want the same",
		"/a 0 400\n/a 0x200 400":                 "overlap",
		"/a 0x10 400\n/./a 0x10 400":             "overlap",
		"/a 0 0xffffffffffffffffffffffffffffff1": "size",
	} {
		if c, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v: want an error with %q", text, c, err, want)
		}
	}
	c, err := ParseConfig([]byte("# two\n /dev/mmcblk0p8\t-0x4000 2000 # last\n/dev/mmcblk0p8 0x2000 0x2000 0x2000 1"))
	check(t, err)
	if want := (Config{{"/dev/mmcblk0p8", -0x4000, 0x2000}, {"/dev/mmcblk0p8", 0x2000, 0x2000}}); !slices.Equal(c, want) {
		t.Errorf("%+v: want %+v", c, want)
	}
}

func TestNegativeOffsetCountsFromTheEnd(t *testing.T) {
	s, config := newStore(t, "a=1\n", 0x200, 0x1000)
	for i := range s.Places {
		s.Places[i].Offset -= deviceSize
	}
	e, err := s.Read()
	check(t, err)
	check(t, e.Set("b", "2"))
	check(t, s.Write(e))
	if got, want := printenv(t, config), "a=1\nb=2\n"; got != want {
		t.Errorf("fw_printenv says %q: want %q", got, want)
	}
}

func TestCopiesThatOverlapOnTheirDeviceAreRefused(t *testing.T) {
	s, _ := newStore(t, "a=1\n", 0, 0x1000)
	s.Places[1].Offset = 0x200 - deviceSize
	if _, err := s.Read(); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("read: %v", err)
	}
}

// unreadable is a file system on which a file cannot be read.
type unreadable struct {
	hostfs.FS
	name string
}

func (u unreadable) Open(name string) (hostfs.File, error) {
	if name == u.name {
		return nil, os.ErrPermission
	}
	return u.FS.Open(name)
}

func TestCopyThatCannotBeReadIsNotTakenForADamagedOne(t *testing.T) {
	s, _ := newStore(t, "x=1\n")
	copies(t, s, 1, 2)
	s.FS = unreadable{s.FS, s.Places[1].Path}
	if e, err := s.Read(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("read %v, %v", e, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a=1\x00b=2\x00\x00"))
	f.Add([]byte("a=1\x00a=2\x00\x00\xff\xff"))
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < 2 {
			return
		}
		e, err := parse(body)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		raw := e.image(1, int64(len(body))+headerRedundant)
		again, err := parse(raw[headerRedundant:])
		if err != nil || list(again) != list(e) {
			t.Fatalf("%q became %q: %v", body, raw, err)
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("/dev/a 0x0 400 # x\n/dev/b -0x400 400 400 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		if len(c) < 1 || len(c) > 2 {
			t.Fatalf("%d places", len(c))
		}
		for _, l := range c {
			if l.Size < headerRedundant+2 || l.Size > sizeMost || !filepath.IsAbs(l.Path) {
				t.Fatalf("%+v", l)
			}
		}
	})
}
