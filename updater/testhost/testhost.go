// Package testhost makes hosts out of plain files, and repositories for them,
// for tests: a disk image with a real partition table, a folder for the boot
// partition, one for EFI variables. Host.Boot plays firmware, loader and
// proa-init on them, from what is there and with no knowledge of the updater.
package testhost

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/extensions"
	"github.com/proa-os/proa/updater/hostfs"
)

const mib = 1 << 20

// place is where a partition of a test disk is, in MiB.
type place struct {
	role        partitions.Role
	kind        partitions.GUID
	start, size int64
}

// lay puts the partitions one after another.
func lay(rootMiB int64) []place {
	verityMiB := rootMiB/64 + 1
	places := []place{
		{role: partitions.RoleESP, kind: partitions.TypeESP, size: 1}, // its files are in a folder
		{role: partitions.RoleRootA, kind: partitions.TypeRoot("amd64"), size: rootMiB},
		{role: partitions.RoleVerityA, kind: partitions.TypeVerity("amd64"), size: verityMiB},
		{role: partitions.RoleRootB, kind: partitions.TypeRoot("amd64"), size: rootMiB},
		{role: partitions.RoleVerityB, kind: partitions.TypeVerity("amd64"), size: verityMiB},
		{role: partitions.RoleState, kind: partitions.TypeState, size: 1},
	}
	next := int64(1)
	for i := range places {
		places[i].start = next
		next += places[i].size
	}
	return places
}

// Host is a host of plain files under Dir.
type Host struct {
	Dir      string
	URL      string // of its repository
	releases map[[32]byte]*Release
	places   []place
	boots    int
	more     string // lines of agent.yaml
}

// New is a host that runs the release, committed in slot a, and knows the
// repository. Slot b is empty, and as large as slot a: 1 MiB.
func New(t testing.TB, repository *Repository, release *Release) *Host {
	t.Helper()
	return NewSized(t, repository.URL, repository.Root(t), release, 1)
}

// NewSized is New for any repository and with slots for a root image of the
// given MiB.
func NewSized(t testing.TB, url string, trustRoot []byte, release *Release, rootMiB int64) *Host {
	t.Helper()
	h := &Host{Dir: filepath.Join(MemoryDir(t), "host"), URL: url, releases: map[[32]byte]*Release{}, places: lay(rootMiB)}
	for _, dir := range []string{"esp/" + esp.UKIFolder, "esp/" + esp.ConfFolder, "efivars", "run", "state", "health.d"} {
		check(t, os.MkdirAll(h.Path(dir), 0o755))
	}
	h.makeDisk(t)
	check(t, os.WriteFile(h.Path("esp/"+esp.LoaderConfPath), esp.LoaderConf(partitions.SlotA), 0o600))
	check(t, os.WriteFile(h.Path("root.json"), trustRoot, 0o600))
	h.Configure(t, "")
	h.Install(t, partitions.SlotA, release)
	h.Boot(t)
	return h
}

// makeDisk writes the table with a tool that is not ours.
func (h *Host) makeDisk(t testing.TB) {
	t.Helper()
	last := h.places[len(h.places)-1]
	size := (last.start + last.size + 1) * mib
	args := []string{"-a", "1"}
	for i, p := range h.places {
		args = append(args,
			"-n", fmt.Sprintf("%d:%d:+%dM", i+1, p.start*mib/512, p.size),
			"-t", fmt.Sprintf("%d:%s", i+1, p.kind),
			"-c", fmt.Sprintf("%d:%s", i+1, p.role))
	}
	head, tail := sgdisk(t, size, args)
	disk, err := os.OpenFile(h.Path("disk.raw"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	check(t, err)
	defer disk.Close()
	_, err = disk.WriteAt(head, 0)
	check(t, err)
	_, err = disk.WriteAt(tail, size-mib)
	check(t, err)
}

// Path is a file of the host.
func (h *Host) Path(name string) string { return filepath.Join(h.Dir, name) }

// Configure writes agent.yaml with more lines than the repository.
func (h *Host) Configure(t testing.TB, more string) {
	t.Helper()
	h.more = more
	text := "repository: " + h.URL + "\nhealthTimeout: 1s\nhealthLimit: 1s\n" + more
	check(t, os.WriteFile(h.Path("agent.yaml"), []byte(text), 0o600))
}

// Host is the host for the updater.
func (h *Host) Host() updater.Host {
	return updater.Host{
		Disk:        h.Path("disk.raw"),
		ESP:         h.Path("esp"),
		EFIVars:     h.Path("efivars"),
		FWEnv:       h.Path("fw_env.config"),
		Run:         h.Path("run"),
		Boot:        h.Path("run/boot.json"),
		Cmdline:     h.Path("cmdline"),
		BootID:      h.Path("boot_id"),
		Image:       h.Path("image.json"),
		RecoveryKey: h.Path("recovery-key"),
		Root:        h.Path("root"),
		Release:     h.Path("state.json"),
		Etc:         h.Path("etc"),
		VarFormat:   h.Path("format.json"),
		TrustRoot:   h.Path("root.json"),
		State:       h.Path("state"),
		Config:      []string{h.Path("agent.yaml")},
		HealthDirs:  []string{h.Path("health.d")},
		Extensions:  h.Extensions(),
		ResetFile:   h.Path("reset"),
	}
}

// Extensions is where the host has what concerns them. Its systemd would look into
// the folders of run.
func (h *Host) Extensions() extensions.Host {
	return extensions.Host{
		List: h.Path("extensions.json"), Store: h.Path("extensions"), Run: h.Path("run"), Record: h.Path("run/extensions.json"), Root: h.Path("root"),
	}
}

// attachExtensions does what proa-extensions.service does.
func (h *Host) attachExtensions(t testing.TB) {
	settings, err := updater.LoadSettings(h.Path("agent.yaml"))
	check(t, err)
	_, err = h.Extensions().Attach(settings.Extensions)
	check(t, err)
}

// File writes the host as proa-agent's --host reads it.
func (h *Host) File(t testing.TB) string {
	t.Helper()
	v := h.Host()
	text := fmt.Sprintf("disk: %s\nesp: %s\nefivars: %s\nrun: %s\nboot: %s\ncmdline: %s\nbootId: %s\nimage: %s\nroot: %s\nrelease: %s\netc: %s\nvarFormat: %s\nrecoveryKey: %s\ntrustRoot: %s\nstate: %s\nconfig: [%s]\nhealthDirs: [%s]\nresetFile: %s\nsystemctl: \"\"\nlastWords: {dir: \"\"}\nextensions: {list: %s, store: %s, run: %s, record: %s, root: %s}\n",
		v.Disk, v.ESP, v.EFIVars, v.Run, v.Boot, v.Cmdline, v.BootID, v.Image, v.Root, v.Release, v.Etc, v.VarFormat, v.RecoveryKey, v.TrustRoot, v.State, v.Config[0], v.HealthDirs[0], v.ResetFile,
		v.Extensions.List, v.Extensions.Store, v.Extensions.Run, v.Extensions.Record, v.Extensions.Root)
	check(t, os.WriteFile(h.Path("host.yaml"), []byte(text), 0o600))
	return h.Path("host.yaml")
}

// Updater is an agent on the host; fs nil means the real file system.
func (h *Host) Updater(t testing.TB, fs hostfs.FS) *updater.Updater {
	t.Helper()
	settings, err := updater.LoadSettings(h.Path("agent.yaml"))
	check(t, err)
	u, err := updater.New(updater.Config{Host: h.Host(), Settings: settings, FS: fs})
	check(t, err)
	return u
}

// Install puts a release into a slot, as an installer would.
func (h *Host) Install(t testing.TB, slot partitions.Slot, r *Release) {
	t.Helper()
	h.Know(r)
	leaves := verity.LeafHashes(nil, r.Root.Salt, r.Image)
	tree, err := verity.NewTree(leaves, r.Root.Salt)
	check(t, err)
	disk, err := os.OpenFile(h.Path("disk.raw"), os.O_RDWR, 0)
	check(t, err)
	defer disk.Close()
	_, err = disk.WriteAt(r.Image, h.Offset(slot.Root()))
	check(t, err)
	check(t, tree.Store(io.NewOffsetWriter(disk, h.Offset(slot.Verity())), [16]byte{}))
	check(t, os.WriteFile(h.Path("esp/"+esp.UKIPath(slot)), r.UKI, 0o600))
}

// Know makes Boot recognise a release.
func (h *Host) Know(releases ...*Release) {
	for _, r := range releases {
		h.releases[r.Root.Hash] = r
	}
}

// Offset is where a partition of the disk begins, in bytes.
func (h *Host) Offset(role partitions.Role) int64 {
	offset, _ := h.span(role)
	return offset
}

func (h *Host) span(role partitions.Role) (offset, size int64) {
	for _, p := range h.places {
		if p.role == role {
			return p.start * mib, p.size * mib
		}
	}
	panic("testhost: no partition " + role)
}

// AddHealthCheck adds an executable with the given shell script.
func (h *Host) AddHealthCheck(t testing.TB, name, script string) {
	t.Helper()
	check(t, os.WriteFile(h.Path("health.d/"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
}

// Resets is how often the machine was reset or rebooted by the agent.
func (h *Host) Resets(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(h.Path("reset"))
	if os.IsNotExist(err) {
		return 0
	}
	check(t, err)
	return strings.Count(string(text), "\n")
}

// Copy is an independent copy of the host.
func (h *Host) Copy(t testing.TB, dir string) *Host {
	t.Helper()
	check(t, copyTree(h.Dir, dir))
	copied := *h
	copied.Dir = dir
	copied.Configure(t, h.more)
	copied.pointUBoot(t)
	return &copied
}

// writeBoot writes what proa-init and the kernel say about a boot.
func (h *Host) writeBoot(t testing.TB, slot partitions.Slot, line string, r *Release) {
	t.Helper()
	h.boots++
	check(t, os.WriteFile(h.Path("cmdline"), []byte(line+"\n"), 0o600))
	check(t, os.WriteFile(h.Path("boot_id"), fmt.Appendf(nil, "%08x-0000-4000-8000-%012x\n", h.boots, time.Now().UnixNano()&(1<<48-1)), 0o600))
	h.writeJSON(t, "run/boot.json", map[string]any{
		"slot": slot, "rootHash": manifests.HexBytes(r.Root.Hash[:]), "disk": h.Path("disk.raw"),
	})
	check(t, os.WriteFile(h.Path("state.json"), r.StateText(t), 0o600))
	check(t, os.RemoveAll(h.Path("extensions.json")))
	if len(r.Extensions.Extensions) > 0 {
		check(t, os.WriteFile(h.Path("extensions.json"), r.ExtensionsText(t), 0o600))
	}
	check(t, os.RemoveAll(h.Path("run/extensions.json"))) // no boot outlives another
	check(t, os.RemoveAll(h.Path("run/extensions")))
	h.writeJSON(t, "image.json", manifests.Image{
		Schema: 1, Product: r.Release.Product, Version: r.Release.Version, Arch: r.Release.Arch,
		Epoch: r.Release.Epoch, SecurityEpoch: r.Release.SecurityEpoch,
	})
	h.attachExtensions(t)
}

func (h *Host) writeJSON(t testing.TB, name string, v any) {
	text, err := json.Marshal(v)
	check(t, err)
	check(t, os.WriteFile(h.Path(name), text, 0o600))
}
