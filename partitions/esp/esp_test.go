package esp

import (
	"bytes"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

func TestCommittedSlotIsOneByteOfOneSector(t *testing.T) {
	a, b := LoaderConf(partitions.SlotA), LoaderConf(partitions.SlotB)
	if len(a) != len(b) || int64(len(a)) != LoaderConfSize || len(a) > partitions.SectorSize {
		t.Fatalf("lengths %d and %d: want both %d and at most a sector", len(a), len(b), LoaderConfSize)
	}
	if a[LetterOffset] != 'a' || b[LetterOffset] != 'b' {
		t.Errorf("letters %q and %q at byte %d", a[LetterOffset], b[LetterOffset], LetterOffset)
	}
	a[LetterOffset] = 'b'
	if !bytes.Equal(a, b) {
		t.Errorf("more than the letter differs:\n%s\n%s", a, b)
	}
	if want := "default " + partitions.SlotB.UKI() + "\n"; !strings.HasPrefix(string(b), want) {
		t.Errorf("%q does not begin with %q", b, want)
	}
}

func TestOnlyTheTwoExactFilesNameACommittedSlot(t *testing.T) {
	for _, slot := range partitions.Slots() {
		if got, err := ParseCommitted(LoaderConf(slot)); err != nil || got != slot {
			t.Errorf("slot %s: %v, %v", slot, got, err)
		}
	}
	whole := string(LoaderConf(partitions.SlotA))
	for name, content := range map[string]string{
		"empty":           "",
		"cut":             whole[:len(whole)-1],
		"longer":          whole + "\n",
		"zero bytes":      whole + "\x00",
		"other letter":    strings.Replace(whole, "proa-a", "proa-c", 1),
		"capital letter":  strings.Replace(whole, "proa-a", "proa-A", 1),
		"glob":            strings.Replace(whole, "proa-a", "proa-*", 1),
		"carriage return": strings.ReplaceAll(whole, "\n", "\r\n"),
		"second default":  whole + "default proa-b.efi\n",
		"menu":            strings.Replace(whole, "timeout 0", "timeout 9", 1),
		"zeros":           strings.Repeat("\x00", len(whole)),
		"a sector":        strings.Repeat("default ", 64),
	} {
		slot, err := ParseCommitted([]byte(content))
		if err == nil {
			t.Errorf("%s: taken for slot %s", name, slot)
		} else if len(err.Error()) > 1000 || !strings.Contains(err.Error(), "want exactly") {
			t.Errorf("%s: error %q", name, err)
		}
	}
}

func TestLoaderPassesOverTemporaryNames(t *testing.T) {
	for _, slot := range partitions.Slots() {
		if got, want := UKIPath(slot), "EFI/Linux/proa-"+slot.String()+".efi"; got != want {
			t.Errorf("UKI at %s: want %s", got, want)
		}
		if got, want := TempUKIPath(slot), "EFI/Linux/proa-"+slot.String()+".new"; got != want {
			t.Errorf("temporary UKI at %s: want %s", got, want)
		}
	}
	if got := LoaderPath("amd64"); got != "EFI/BOOT/BOOTX64.EFI" {
		t.Errorf("loader for amd64 at %s", got)
	}
	if got := LoaderPath("arm64"); got != "EFI/BOOT/BOOTAA64.EFI" {
		t.Errorf("loader for arm64 at %s", got)
	}
}

func FuzzParseCommitted(f *testing.F) {
	for _, slot := range partitions.Slots() {
		f.Add(LoaderConf(slot))
	}
	f.Add([]byte("default proa-b.efi\r\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		slot, err := ParseCommitted(content)
		if err == nil && !bytes.Equal(content, LoaderConf(slot)) {
			t.Errorf("%q taken for slot %s", content, slot)
		}
	})
}
