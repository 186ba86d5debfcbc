package devmapper

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func testVerity() Verity {
	return Verity{
		DataDevice: "/dev/vda2", HashDevice: "/dev/vda3", Blocks: 1234,
		RootHash: bytes.Repeat([]byte{0xab}, 32), Salt: []byte{1, 2, 0xff},
	}
}

// The words are those of the kernel's verity.rst, "Construction Parameters".
func TestTableIsTheKernelsVerityLine(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	v := testVerity()
	if got, err := v.table(); err != nil || got != "1 /dev/vda2 /dev/vda3 4096 4096 1234 1 sha256 "+hash+" 0102ff" {
		t.Errorf("got %q, %v", got, err)
	}
	v.Salt, v.OnCorruption, v.HashStartBlock = nil, Restart, 7
	if got, err := v.table(); err != nil || got != "1 /dev/vda2 /dev/vda3 4096 4096 1234 7 sha256 "+hash+" - 1 restart_on_corruption" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUnfitTargetsAreRefused(t *testing.T) {
	for _, test := range []struct {
		want   string
		change func(*Verity)
	}{
		{"root hash of 31 bytes", func(v *Verity) { v.RootHash = v.RootHash[1:] }},
		{"root hash of 0 bytes", func(v *Verity) { v.RootHash = nil }},
		{"0 data blocks", func(v *Verity) { v.Blocks = 0 }},
		{"data blocks", func(v *Verity) { v.Blocks = 1 << 63 }},
		{"without blanks", func(v *Verity) { v.DataDevice = "/dev/vda2 /dev/null" }},
		{"absolute", func(v *Verity) { v.HashDevice = "" }},
	} {
		v := testVerity()
		test.change(&v)
		if _, err := v.table(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
	}
	for _, test := range []struct {
		device      string
		start, size int64
		want        string
	}{
		{"/dev/sr0", 100, 512, "whole sectors"},
		{"/dev/sr0", -512, 512, "whole sectors"},
		{"/dev/sr0", 512, 0, "whole sectors"},
		{"/dev/sr0 0", 512, 512, "without blanks"},
		{"sr0", 512, 512, "absolute"},
	} {
		if _, err := CreateLinear("x", test.device, test.start, test.size); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("linear: got %v, want an error with %q", err, test.want)
		}
	}
	for _, name := range []string{"", "a/b", "a\x00b", strings.Repeat("x", 128)} {
		if _, err := (request{name: name}).encode(); err == nil {
			t.Errorf("device name %q was taken", name)
		}
	}
}

// x/sys generates these types from the kernel's header.
func TestRequestHasTheLayoutOfTheKernelsHeader(t *testing.T) {
	if unsafe.Sizeof(unix.DmIoctl{}) != headerSize || unsafe.Sizeof(unix.DmTargetSpec{}) != specSize {
		t.Fatal("the sizes differ from the kernel's header")
	}
	b, err := request{name: "root", flags: unix.DM_READONLY_FLAG, target: &target{length: 8, kind: "verity", params: "1 x"}}.encode()
	if err != nil {
		t.Fatal(err)
	}
	var header unix.DmIoctl
	var spec unix.DmTargetSpec
	if err := binary.Read(bytes.NewReader(b), binary.NativeEndian, &header); err != nil {
		t.Fatal(err)
	}
	if err := binary.Read(bytes.NewReader(b[header.Data_start:]), binary.NativeEndian, &spec); err != nil {
		t.Fatal(err)
	}
	if header.Version[0] != 4 || header.Data_size != uint32(len(b)) || header.Target_count != 1 ||
		header.Flags != unix.DM_READONLY_FLAG || untilZero(header.Name[:]) != "root" {
		t.Errorf("header %+v", header)
	}
	if spec.Length != 8 || untilZero(spec.Target_type[:]) != "verity" || untilZero(b[headerSize+specSize:]) != "1 x" {
		t.Errorf("target %+v", spec)
	}
}

// reply is an answer as the kernel would write it.
func reply(minor uint32, params ...string) []byte {
	b := make([]byte, bufferSize)
	binary.NativeEndian.PutUint32(b[16:], headerSize)
	binary.NativeEndian.PutUint32(b[20:], uint32(len(params)))
	binary.NativeEndian.PutUint64(b[40:], unix.Mkdev(253, minor))
	at := headerSize
	for _, p := range params {
		copy(b[at+24:], "verity")
		copy(b[at+specSize:], p)
		next := (at - headerSize + specSize + len(p) + 8) / 8 * 8
		binary.NativeEndian.PutUint32(b[at+20:], uint32(next))
		at = headerSize + next
	}
	return b
}

func TestStateTellsTheRootHashAndCorruption(t *testing.T) {
	line := "1 254:2 254:3 4096 4096 1234 1 sha256 " + strings.Repeat("ab", 32) + " - 1 restart_on_corruption"
	for _, test := range []struct {
		table, status []string
		want          string // of an error
		corrupt       bool
	}{
		{[]string{line}, []string{"V"}, "", false},
		{[]string{line}, []string{"C"}, "", true},
		{[]string{line}, []string{""}, "want V or C", false},
		{[]string{"1 254:2"}, []string{"V"}, "10 words", false},
		{[]string{strings.Replace(line, "ab", "xy", 1)}, []string{"V"}, "64 hex digits", false},
		{nil, []string{"V"}, "want one", false},
		{[]string{line, line}, []string{"V"}, "want one", false},
	} {
		table, err := decode(reply(3, test.table...), true)
		if err != nil {
			t.Fatal(err)
		}
		status, err := decode(reply(3, test.status...), true)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseState(table, status)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("table %q, status %q: got %v, want an error with %q", test.table, test.status, err, test.want)
			}
			continue
		}
		if err != nil || s.Path != "/dev/dm-3" || s.Corrupt != test.corrupt || !bytes.Equal(s.RootHash, testVerity().RootHash) {
			t.Errorf("table %q, status %q: got %+v, %v", test.table, test.status, s, err)
		}
	}
}

// The kernel counts next from the first target (drivers/md/dm-ioctl.c,
// retrieve_status), unlike in requests.
func TestEveryTargetOfAnAnswerIsRead(t *testing.T) {
	a, err := decode(reply(0, "one", "a longer two", "three"), true)
	if err != nil || len(a.targets) != 3 || a.targets[1].params != "a longer two" || a.targets[2].params != "three" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(reply(1, "V")[:400])
	f.Add(reply(0, "1 a", "2 b")[:500])
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := decode(b, true); err == nil {
			_, _ = parseState(a, a)
		}
	})
}
