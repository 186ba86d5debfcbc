package esp

import (
	"bytes"
	"path"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

func TestLayoutsDifferInOnePlaceOfOneSector(t *testing.T) {
	for _, slot := range partitions.Slots() {
		a, b := LayoutOneShot.Conf(slot), LayoutCounted.Conf(slot)
		copy(a[PatternOffset:PatternOffset+PatternSize], b[PatternOffset:])
		if !bytes.Equal(a, b) || int64(len(b)) != LoaderConfSize {
			t.Errorf("layouts differ elsewhere:\n%s\n%s", a, b)
		}
		for _, layout := range []Layout{LayoutOneShot, LayoutCounted} {
			conf := layout.Conf(slot)
			if got := string(conf[layout.Letter()]); got != slot.String() {
				t.Errorf("%s: letter %q: want %s", layout, got, slot)
			}
			conf[layout.Letter()] = slot.Other().String()[0]
			if !bytes.Equal(conf, layout.Conf(slot.Other())) {
				t.Errorf("%s: slots differ in more than the letter", layout)
			}
			if gotLayout, got, err := ParseLoaderConf(layout.Conf(slot)); err != nil || got != slot || gotLayout != layout {
				t.Errorf("%s: got %s, %s, %v", layout, gotLayout, got, err)
			}
		}
	}
	if _, _, err := ParseLoaderConf([]byte("default *-c[.+]??*\n")); err == nil {
		t.Error("slot c was taken")
	}
}

func TestEveryNameOfAnEntryFitsOneLongNameAndIsNoEntryWithoutIt(t *testing.T) {
	for _, e := range everyEntry() {
		name := e.Name()
		if len(name) > EntryNameMost {
			t.Errorf("%s: %d characters", name, len(name))
		}
		// Three letters is all that a short name has behind its dot.
		if short := path.Ext(name)[:4]; short == ".efi" || short == path.Ext(name) {
			t.Errorf("%s: its short name is an entry", name)
		}
		for _, spelling := range []string{name, strings.ToUpper(name)} {
			if got, err := ParseEntry(spelling); err != nil || got != e {
				t.Errorf("%s: got %+v, %v", spelling, got, err)
			}
		}
	}
}

func everyEntry() (all []Entry) {
	for _, slot := range partitions.Slots() {
		for left := range CountMost + 1 {
			for done := range CountMost + 1 {
				all = append(all, Entry{false, slot, left, done}, Entry{true, slot, left, done})
			}
		}
	}
	return all
}

// path.Match stands for the loader's own matching.
func TestTheLoaderConsidersTheCommittedKernelAndItsTrialsOnly(t *testing.T) {
	ids := []string{
		"proa-a.efi", "proa-b.efi", "proa-a~1.efi", "proa-a.new", "proa-b.new", "t-a.conf", "t-b.conf", "p-a.conf", "t-a_1-~1.con",
		"x-a.efi", "-a.xy", "-a.x", "-a.", "-a", "", "a-b-a+1", "a-b-a+12", "auto-reboot-to-firmware-setup", "auto-efi-default", "-a-a.conf",
	}
	for _, e := range everyEntry() {
		ids = append(ids, e.Name())
	}
	for _, slot := range partitions.Slots() {
		line, _, _ := strings.Cut(string(LayoutCounted.Conf(slot)), "\n")
		pattern := strings.TrimPrefix(line, "default ")
		for _, id := range ids {
			want, err := path.Match(pattern, id)
			if err != nil {
				t.Fatal(err)
			}
			if got := MatchesDefault(id, slot); got != want {
				t.Errorf("%q while %s is committed: %v, want %v", id, slot, got, want)
			}
			if e, err := ParseEntry(id); err == nil && want != (e.Committed == slot) {
				t.Errorf("%s matches %s: %v", id, pattern, want)
			}
		}
		if !MatchesDefault(slot.UKI(), slot) || MatchesDefault(slot.Other().UKI(), slot) {
			t.Errorf("%s does not choose between kernel images", pattern)
		}
	}
}

func TestIDsOfTheLoaderNameTheirSlot(t *testing.T) {
	for id, want := range map[string]string{
		"proa-a.efi": "a", "PROA-B.EFI": "b", "t-a+1-0.conf": "b", "t-b+0-9.conf": "a", "t-a.conf": "b", "T-B.CONF": "a", "p-a+1-0.conf": "a", "p-b.conf": "b",
		"t-c.conf": "", "t-a+1.conf": "", "t-a+1-0": "", "": "", ".conf": "", "other.efi": "", "t-a+0-0.conf.conf": "",
	} {
		slot, ok := SlotOfEntry(id)
		if got := map[bool]string{true: slot.String()}[ok]; got != want {
			t.Errorf("%q: slot %q, want %q", id, got, want)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, name := range []string{"t-a+1-0.conf", "P-B+0-9.CONF", "t-a.conf", "T-A_1-~1.CON", "t-a+1-0.confx", "t-a+\xff-0.conf", "t-ſ+1-0.conf"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		SlotOfEntry(name)
		e, err := ParseEntry(name)
		if err != nil {
			if len(err.Error()) > 300 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if !strings.EqualFold(e.Name(), name) || e.Left > CountMost || e.Done > CountMost || !MatchesDefault(name, e.Committed) {
			t.Fatalf("%q: %+v", name, e)
		}
	})
}
