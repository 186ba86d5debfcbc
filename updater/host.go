package updater

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/strictyaml"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater/bootcontrol"
	"github.com/proa-os/proa/updater/extensions"
	"github.com/proa-os/proa/updater/lastwords"
)

// Host is where everything is on a host. Tests and benches point it at plain
// files and folders; nothing then needs root.
type Host struct {
	Disk         string   `yaml:"disk"`         // the disk; empty means the one that proa-init names in Boot
	ESP          string   `yaml:"esp"`          // the mounted boot partition; empty means that the agent mounts it
	EFIVars      string   `yaml:"efivars"`      // the folder of EFI variables
	FWEnv        string   `yaml:"fwEnv"`        // the fw_env.config: where U-Boot's environment is
	Run          string   `yaml:"run"`          // the agent's folder for what does not outlive a boot: lock, mount point
	Boot         string   `yaml:"boot"`         // boot.json, written by proa-init
	Cmdline      string   `yaml:"cmdline"`      // the kernel's command line
	BootID       string   `yaml:"bootId"`       // the kernel's random id of this boot
	Image        string   `yaml:"image"`        // image.json of the running release
	Root         string   `yaml:"root"`         // the root file system; empty means the running one
	Release      string   `yaml:"release"`      // state.json of the running release
	Etc          string   `yaml:"etc"`          // the folder on /var of what the machine changed in /etc
	VarFormat    string   `yaml:"varFormat"`    // says which format /var has
	RecoveryKey  string   `yaml:"recoveryKey"`  // the key that opens an encrypted /var
	TrustRoot    string   `yaml:"trustRoot"`    // the TUF root that came with the image
	RegistryAuth string   `yaml:"registryAuth"` // credentials for a repository in a registry, if it wants any
	State        string   `yaml:"state"`        // the agent's folder on /var: trusted metadata, downloads
	Config       []string `yaml:"config"`       // agent.yaml; later ones win
	HealthDirs   []string `yaml:"healthDirs"`   // folders of health checks; a name in a later one hides those of earlier ones
	Systemctl    string   `yaml:"systemctl"`    // the program that knows systemd's units; empty means that nothing is asked of it
	// Extensions is where those of the running release are, and what has become of them.
	Extensions extensions.Host `yaml:"extensions"`
	// LastWords is where the end of a failed boot's log comes from and is kept; nothing is
	// kept without a folder.
	LastWords lastwords.Config `yaml:"lastWords"`
	// ResetFile is a file that is written to in place of a reset, one word a line: for hosts
	// of plain files. Empty means a real reset.
	ResetFile string `yaml:"resetFile"`
}

// DefaultHost is a real host.
func DefaultHost() Host {
	return Host{
		EFIVars:      "/sys/firmware/efi/efivars",
		FWEnv:        bootcontrol.FWEnvConfig,
		Run:          "/run/proa",
		Boot:         "/run/proa/boot.json",
		Cmdline:      "/proc/cmdline",
		BootID:       "/proc/sys/kernel/random/boot_id",
		Image:        "/" + manifests.ImagePath,
		Release:      "/" + manifests.StatePath,
		Etc:          "/var/lib/proa/etc",
		VarFormat:    "/" + manifests.VarFormatPath,
		RecoveryKey:  "/var/lib/proa/recovery-key",
		TrustRoot:    "/" + manifests.TrustRootPath,
		RegistryAuth: "/etc/proa/registry-auth.json",
		State:        "/var/lib/proa/agent",
		Config:       []string{"/" + manifests.AgentConfigPath, "/etc/proa/agent.yaml"},
		HealthDirs:   []string{"/usr/lib/proa/health.d", "/etc/proa/health.d"},
		Systemctl:    "systemctl",
		Extensions: extensions.Host{
			List:   "/" + manifests.ExtensionsPath,
			Store:  "/var/lib/proa/extensions",
			Run:    "/run",
			Record: "/run/proa/extensions.json",
			Root:   "/",
		},
		LastWords: lastwords.Config{Dir: "/var/lib/proa/agent/failed"},
	}
}

// LoadHost reads a Host from a YAML file whose keys replace those of
// DefaultHost.
func LoadHost(path string) (Host, error) {
	host := DefaultHost()
	data, err := regular.Read(path, 64<<10)
	if err != nil {
		return Host{}, err
	}
	if err := strictyaml.Decode(path, data, &host).Err(); err != nil {
		return Host{}, err
	}
	return host, nil
}

// facts are what is known about this boot before the disk is opened.
type facts struct {
	Slot   partitions.Slot
	Root   verity.Root // from the kernel's command line, which the signed UKI carries
	Disk   string
	BootID string
	Image  manifests.Image
}

// bootRecord is boot.json, as proa-init writes it.
type bootRecord struct {
	Slot     partitions.Slot    `json:"slot"`
	RootHash manifests.HexBytes `json:"rootHash"`
	Disk     string             `json:"disk"`
}

// facts reads them and holds what proa-init noted against the command line.
func (h Host) facts() (facts, error) {
	var f facts
	line, err := readSmall(h.Cmdline)
	if err != nil {
		return facts{}, err
	}
	boot, err := cmdline.Parse(line)
	if err != nil {
		return facts{}, fmt.Errorf("this machine does not run a proa release: %w", err)
	}
	if boot.Live {
		return facts{}, errors.New("this is a live system, which is not updated")
	}
	f.Root = boot.Root
	var record bootRecord
	if err := readJSON(h.Boot, &record); err != nil {
		return facts{}, err
	}
	if !bytes.Equal(record.RootHash, boot.Root.Hash[:]) {
		return facts{}, fmt.Errorf("%s has root hash %s: the kernel's command line has %x", h.Boot, record.RootHash, boot.Root.Hash)
	}
	if record.Slot != partitions.SlotA && record.Slot != partitions.SlotB {
		return facts{}, fmt.Errorf("%s names no slot", h.Boot)
	}
	f.Slot, f.Disk = record.Slot, record.Disk
	if h.Disk != "" {
		f.Disk = h.Disk
	}
	if f.BootID, err = readSmall(h.BootID); err != nil {
		return facts{}, err
	}
	if f.BootID == "" {
		return facts{}, fmt.Errorf("%s is empty", h.BootID)
	}
	return f, readImage(h.Image, &f.Image)
}

func readImage(path string, image *manifests.Image) error {
	if err := readJSON(path, image); err != nil {
		return err
	}
	var err error
	switch {
	case image.Schema != 1:
		err = fmt.Errorf("schema %d: this version reads schema 1", image.Schema)
	case image.Version == "" || image.Arch == "":
		err = errors.New("no version or no architecture")
	default:
		err = manifests.CheckName("product", image.Product)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readJSON(path string, into any) error {
	data, err := regular.Read(path, 64<<10)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readSmall reads a one-line file, also of procfs.
func readSmall(path string) (string, error) {
	data, err := regular.Read(path, 64<<10)
	return strings.TrimSpace(string(data)), err
}
