package testhost

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/bootcontrol"
)

// Controls are the names of the backends that UseControl knows.
func Controls() []string { return bootcontrol.Names() }

// UseControl lays a new host out for another backend, as an installer would, and
// boots it.
func (h *Host) UseControl(t testing.TB, name string) {
	t.Helper()
	write := func(name string, content []byte) { check(t, os.WriteFile(h.Path(name), content, 0o600)) }
	if name != bootcontrol.NameOneShot {
		check(t, os.RemoveAll(h.Path("efivars"))) // firmware without variables
	}
	switch name {
	case bootcontrol.NameCounted:
		proof := esp.Entry{Proof: true, Committed: partitions.SlotA, Done: 1}
		write("esp/"+esp.LoaderConfPath, esp.LayoutCounted.Conf(partitions.SlotA))
		check(t, os.MkdirAll(h.Path("esp/loader/entries"), 0o755))
		write("esp/loader/entries/"+proof.Name(), proof.Content())
	case bootcontrol.NameGRUB:
		env, err := bootcontrol.NewGRUBEnv(partitions.SlotA)
		check(t, err)
		check(t, os.MkdirAll(h.Path("esp/grub"), 0o755))
		write("esp/grub/grubenv", env)
		h.choose(t, name)
	case bootcontrol.NameUBoot:
		for _, copied := range []string{"uboot.env", "uboot-redund.env"} {
			cmd := exec.Command("mkenvimage", "-r", "-s", fmt.Sprint(ubootSize), "-o", h.Path(copied), "-")
			cmd.Stdin = strings.NewReader("proa_slot=a\nproa_booted=a\nothers=" + strings.Repeat("x", 1200) + "\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("mkenvimage: %v\n%s", err, out)
			}
		}
		write("fw_env.config", nil)
		h.pointUBoot(t)
		h.choose(t, name)
	}
	h.Boot(t)
}

// ubootSize is of several sectors, which can be torn.
const ubootSize = 0x800

func (h *Host) choose(t testing.TB, name string) {
	check(t, os.WriteFile(h.Path("esp/"+bootcontrol.ChoicePath), []byte(name+"\n"), 0o600))
	check(t, os.Remove(h.Path("esp/"+esp.LoaderConfPath)))
}

// pointUBoot makes the fw_env.config of a host with U-Boot name that host's files.
func (h *Host) pointUBoot(t testing.TB) {
	if _, err := os.Stat(h.Path("fw_env.config")); err != nil {
		return
	}
	text := fmt.Sprintf("%s 0x0 %#x\n%s 0x0 %#x\n", h.Path("uboot.env"), ubootSize, h.Path("uboot-redund.env"), ubootSize)
	check(t, os.WriteFile(h.Path("fw_env.config"), []byte(text), 0o600))
}
