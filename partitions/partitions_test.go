package partitions

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestEachSlotIsTheOthersOther(t *testing.T) {
	for _, slot := range Slots() {
		if slot.Other() == slot || slot.Other().Other() != slot {
			t.Errorf("slot %s has the other %s", slot, slot.Other())
		}
		parsed, err := ParseSlot(slot.String())
		if err != nil || parsed != slot {
			t.Errorf("ParseSlot(%q) = %s, %v", slot.String(), parsed, err)
		}
		if got, ok := SlotOfUKI(strings.ToUpper(slot.UKI())); !ok || got != slot {
			t.Errorf("SlotOfUKI(%q) = %s, %v", strings.ToUpper(slot.UKI()), got, ok)
		}
	}
	for _, s := range []string{"", "A", "c", "ab", "none"} {
		if slot, err := ParseSlot(s); err == nil {
			t.Errorf("%q is taken for slot %s", s, slot)
		}
	}
	for _, name := range []string{"", "proa-none.efi", "proa-a.efi.new", "proa-b.new", "proa-a+3.efi"} {
		if slot, ok := SlotOfUKI(name); ok {
			t.Errorf("%q is taken for slot %s", name, slot)
		}
	}
	if _, err := Slot(0).MarshalText(); err == nil {
		t.Error("no slot is written as text")
	}
}

// TestGUIDsAreStoredInMixedOrder uses the ESP's type as it stands on disks.
func TestGUIDsAreStoredInMixedOrder(t *testing.T) {
	raw := TypeESP.Disk()
	if got, want := hex.EncodeToString(raw[:]), "28732ac11ff8d211ba4b00a0c93ec93b"; got != want {
		t.Errorf("type of the ESP on the disk %s: want %s", got, want)
	}
	if GUIDFromDisk(raw) != TypeESP {
		t.Errorf("%s came back as %s", TypeESP, GUIDFromDisk(raw))
	}
	upper, err := ParseGUID(strings.ToUpper(TypeESP.String()))
	if err != nil || upper != TypeESP {
		t.Errorf("in capitals: %s, %v", upper, err)
	}
	for _, s := range []string{
		"", "c12a7328f81f11d2ba4b00a0c93ec93b", "{c12a7328-f81f-11d2-ba4b-00a0c93ec93b}",
		"c12a7328-f81f-11d2-ba4b-00a0c93ec93", "c12a7328-f81f-11d2-ba4b-00a0c93ec93g",
		"c12a7328-f81f-11d2-ba4b00-a0c93ec93b", "c12a732-8f81f-11d2-ba4b-00a0c93ec93b",
	} {
		if g, err := ParseGUID(s); err == nil {
			t.Errorf("%q is taken for %s", s, g)
		}
	}
}

func TestDerivedGUIDsDependOnSeedAndNameAlone(t *testing.T) {
	g := DeriveGUID("seed", "disk")
	if g != DeriveGUID("seed", "disk") || g == DeriveGUID("seed", "esp") || g == DeriveGUID("other", "disk") || g == DeriveGUID("seed\x00", "disk") {
		t.Errorf("GUID %s", g)
	}
	if g[6]>>4 != 8 || g[8]>>6 != 2 {
		t.Errorf("GUID %s: want version 8 and the variant of RFC 9562", g)
	}
}

func TestPlanHasEveryRoleOnAWholeMiB(t *testing.T) {
	layout, err := Plan("seed", "arm64", Sizes{ESP: ESPMinimum, Root: 5<<20 + 1, Verity: 1, Var: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	next := int64(Alignment)
	guids := map[GUID]bool{layout.DiskGUID: true}
	roles := []Role{RoleESP, RoleRootA, RoleVerityA, RoleRootB, RoleVerityB, RoleState, RoleVar}
	for i, p := range layout.Partitions {
		if p.Number != i+1 || p.Role != roles[i] || p.Start != next || p.Size <= 0 || p.Size%Alignment != 0 || guids[p.GUID] {
			t.Errorf("partition %d: %+v", i+1, p)
		}
		guids[p.GUID] = true
		next += p.Size
	}
	if len(layout.Partitions) != len(roles) || layout.DiskSize != next+Alignment {
		t.Errorf("%d partitions on a disk of %d bytes", len(layout.Partitions), layout.DiskSize)
	}
	for _, slot := range Slots() {
		root, ok := layout.Find(slot.Root())
		if !ok || root.Size != 6<<20 || root.Type != TypeRoot("arm64") {
			t.Errorf("root of slot %s: %+v", slot, root)
		}
		if verity, ok := layout.Find(slot.Verity()); !ok || verity.Type != TypeVerity("arm64") {
			t.Errorf("hash tree of slot %s: %+v", slot, verity)
		}
	}
}

func TestPlanRefusesImpossibleSizes(t *testing.T) {
	good := Sizes{ESP: ESPMinimum, Root: 1 << 20, Verity: 1 << 20, Var: 1 << 20}
	for name, change := range map[string]func(*Sizes){
		"esp under the minimum": func(s *Sizes) { s.ESP = ESPMinimum - 1 },
		"root of 0":             func(s *Sizes) { s.Root = 0 },
		"verity of -1":          func(s *Sizes) { s.Verity = -1 },
		"var of 0":              func(s *Sizes) { s.Var = 0 },
		"root of 2^63-1":        func(s *Sizes) { s.Root = 1<<63 - 1 },
		"roots of 2^61 each":    func(s *Sizes) { s.Root = 1 << 61 },
	} {
		sizes := good
		change(&sizes)
		if layout, err := Plan("seed", "amd64", sizes); err == nil {
			t.Errorf("%s: accepted with a disk of %d bytes", name, layout.DiskSize)
		}
	}
}
